"""VGGish as a query encoder: the mean over patches of 0.96 s.

Three outputs go by the name of "the VGGish embedding"; `output` chooses. The default is what the
HEAR baseline takes.

Source: Hershey et al., "CNN Architectures for Large-Scale Audio Classification", ICASSP 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from sepbench.baselines.checkpoints import fit, read_checkpoint
from sepbench.baselines.encoders.clips import checkpoint_path, encode_equal, loaded, pad_to
from sepbench.harness.api import EncoderCard
from sepbench.harness.errors import CheckpointError, SettingError

if TYPE_CHECKING:
    from torch import Tensor

# P patches

Output = Literal["activated", "raw", "quantised"]
_PCA = {"pca_eigen_vectors": (128, 128), "pca_means": (128, 1)}
# 160 s of patches; the layers behind them are wide, but not deep.
_AT_ONCE = 160 * 96 * 64


class VGGish:
    """128-d mean over a clip's patches, 16 kHz.

    Args:
        checkpoint: `vggish-10086976.pth`; None for the installed one.
        output: "activated", after the last ReLU (torchvggish without post-processing); "raw",
            before it (the current TensorFlow definition); "quantised", whitened and in 8 bits
            (torchvggish's default, AudioSet's released features), 0 to 255.
        pca: `vggish_pca_params-970ea276.pth`, which "quantised" needs.

    Raises:
        SettingError: an output that does not exist, or "quantised" without `pca`.
    """

    card = EncoderCard(
        name="vggish",
        kind="audio",
        dimension=128,
        sample_rate=16_000,
        crop="mean over whole patches of 0.96 s, the rest dropped; below 0.975 s zeros at the end",
        summary="VGGish, trained on YouTube-8M's videos",
        licence="Apache-2.0",
        paper="Hershey et al., CNN Architectures for Large-Scale Audio Classification, ICASSP 2017",
        verified="torchvggish with filled weights: patches 1e-4, embeddings 1e-5, 8-bit values to "
        "1; the published checkpoint was not opened",
    )
    weights: ClassVar[Mapping[str, str]] = {"checkpoint": "vggish"}

    def __init__(
        self,
        checkpoint: str | None = None,
        *,
        output: Output = "activated",
        pca: str | None = None,
    ) -> None:
        if output not in get_args(Output):
            raise SettingError(
                f"Encoder vggish: output={output!r} is not possible. "
                f"Give one of {', '.join(get_args(Output))}."
            )
        if output == "quantised" and not pca:
            raise SettingError(
                "Encoder vggish: output='quantised' needs pca=FILE, the whitening that belongs to "
                "the checkpoint (weights entry vggish-pca)."
            )
        self.checkpoint, self.output, self.pca = checkpoint, output, pca
        self.device = "cpu"
        self._network: Any = None
        self._whitening: dict[str, Tensor] = {}

    def load(self, device: str) -> None:
        """Read the checkpoint and put the network on the device.

        Raises:
            MissingWeightsError: no checkpoint given or installed.
            CheckpointError: a file that is damaged or made for another network.
        """
        path = checkpoint_path(self.checkpoint, self.weights["checkpoint"])
        whitening = read_pca(self.pca) if self.output == "quantised" and self.pca else {}
        self.load_state(read_checkpoint(path), device, pca=whitening, what=str(path))

    def load_state(
        self,
        state: Mapping[str, Tensor],
        device: str,
        *,
        pca: Mapping[str, Tensor] | None = None,
        what: str = "vggish",
    ) -> None:
        """As `load`, from tensors already read; `pca` as `read_pca` gives it."""
        self._network = build(state, what=what).to(device)
        self._whitening = {name: tensor.to(device) for name, tensor in (pca or {}).items()}
        self.device = device

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 128) of mono clips (N,) at 16 kHz.

        Raises:
            BaselineLoadError: not loaded.
            QueryError: a clip that is empty or not finite.
        """
        loaded(self._network, self.card.name)
        from sepbench.baselines.encoders.network_vggish import SHORTEST, patches

        return encode_equal(
            clips,
            name=self.card.name,
            dimension=self.card.dimension,
            device=self.device,
            prepare=lambda clip: patches(pad_to(clip, SHORTEST)),
            embed=self._mean,
            at_once=_AT_ONCE,
        )

    def _mean(self, batch: Tensor) -> Tensor:
        """(b, P, 96, 64) -> (b, 128)."""
        rows = self.embed_patches(batch.flatten(0, 1))  # (b · P, 128)
        return rows.reshape(*batch.shape[:2], -1).mean(1)

    def embed_patches(self, patches: Tensor) -> Tensor:
        """The chosen output of each patch, (P, 96, 64) -> (P, 128)."""
        from sepbench.baselines.encoders.network_vggish import quantise

        raw: Tensor = loaded(self._network, self.card.name)(patches)
        if self.output == "raw":
            return raw
        if self.output == "activated":
            return raw.relu()
        vectors, means = (self._whitening[name] for name in _PCA)
        return quantise(raw.relu(), vectors, means)


def build(state: Mapping[str, Any], *, what: str) -> Any:
    """The network with its weights, on the CPU, in eval mode.

    Raises:
        CheckpointError: other tensors than VGGish's.
    """
    import torch

    from sepbench.baselines.encoders.network_vggish import VGGish as Network

    with torch.device("meta"):
        network = Network()
    fit(network, state, what=what)
    return network.eval()


def read_pca(path: str | Path) -> dict[str, Tensor]:
    """The whitening: "pca_eigen_vectors" (128, 128) and "pca_means" (128, 1), float32.

    Raises:
        CheckpointError: damaged, unsafe, or other values.
    """
    import torch

    held = read_checkpoint(path, allow=_numpy_arrays())
    found = {}
    for name, shape in _PCA.items():
        if name not in held:
            raise CheckpointError(f"{path} holds no {name}; it is not VGGish's whitening.")
        values = torch.as_tensor(held[name], dtype=torch.float32)
        if name == "pca_means" and values.ndim == 1:
            values = values[:, None]
        if tuple(values.shape) != shape:
            raise CheckpointError(
                f"{path}: {name} has the shape {tuple(values.shape)}, not {shape}."
            )
        found[name] = values
    return found


def _numpy_arrays() -> list[Any]:
    """What a pickle needs to keep NumPy arrays, under the names old and new NumPy gave them."""
    import numpy as np

    from sepbench.baselines.checkpoints import numpy_scalars

    # The maker of empty arrays, which a pickle then gives their bytes.
    make = np.zeros(1).__reduce__()[0]
    return [
        (make, "numpy.core.multiarray._reconstruct"),
        (make, "numpy._core.multiarray._reconstruct"),
        np.ndarray,
        *numpy_scalars(),
    ]


def check(path: str | Path) -> str:
    """One line about a checkpoint.

    Raises:
        CheckpointError: it is not VGGish's.
    """
    build(read_checkpoint(path), what=str(path))
    return "VGGish, 128-d"


def check_pca(path: str | Path) -> str:
    """One line about a whitening.

    Raises:
        CheckpointError: it is not VGGish's.
    """
    read_pca(path)
    return "VGGish's whitening, 128 x 128"
