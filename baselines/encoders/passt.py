"""PaSST as a query encoder, on its authors' package (`hear21passt`).

The package's "base" module for the HEAR evaluation: class scores and embedding one after the
other, windows of ten seconds with a hop of 2.5 s for longer clips. Its network is built without the
download it would start, and takes its weights from a checkpoint; what it prints is kept from the
output.

Source: Koutini et al., "Efficient Training of Audio Transformers with Patchout", Interspeech 2022.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sepbench.baselines.checkpoints import fit, read_checkpoint
from sepbench.baselines.encoders.clips import checkpoint_path, encode_equal, loaded, pad_to
from sepbench.harness.api import EncoderCard
from sepbench.harness.errors import MissingExtraError

if TYPE_CHECKING:
    from torch import Tensor

_ARCHITECTURE = "passt_s_swa_p16_128_ap476"
_SHORTEST = 5120  # samples: one patch of 16 frames, hop 320
_AT_ONCE = 80 * 32_000  # samples: 8 clips of ten seconds


class Passt:
    """1295-d: 527 class scores (logits) and the 768-d embedding, 32 kHz.

    Args:
        checkpoint: `passt-s-f128-p16-s10-ap.476-swa.pt`; None for the installed one.
    """

    card = EncoderCard(
        name="passt",
        kind="audio",
        dimension=1295,
        sample_rate=32_000,
        crop="up to 10 s whole; longer: mean over windows of 10 s, 2.5 s apart, reflected at the "
        "ends; below 0.16 s zeros at the end",
        summary="PaSST-S, patches 10 apart, trained on AudioSet; HEAR's base form",
        licence="Apache-2.0 (package and code; none stated for the weights)",
        paper="Koutini et al., Efficient Training of Audio Transformers with Patchout, 2022",
        verified="the package's own scene embeddings (0.0.26) with drawn weights, clips of 0.5 to "
        "12 s: 1e-6; the published checkpoint was not opened",
    )
    weights: ClassVar[Mapping[str, str]] = {"checkpoint": "passt"}

    def __init__(self, checkpoint: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.device = "cpu"
        self._network: Any = None

    def load(self, device: str) -> None:
        """Read the checkpoint and put the network on the device.

        Raises:
            MissingExtraError: the package is not installed.
            MissingWeightsError: no checkpoint given or installed.
            CheckpointError: a file that is damaged or made for another network.
        """
        path = checkpoint_path(self.checkpoint, self.weights["checkpoint"])
        self.load_state(read_checkpoint(path), device, what=str(path))

    def load_state(self, state: Mapping[str, Tensor], device: str, *, what: str = "passt") -> None:
        """As `load`, from tensors already read, named as in the published checkpoint."""
        self._network = build(state, what=what).to(device)
        self.device = device

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 1295) of mono clips (N,) at 32 kHz.

        Raises:
            BaselineLoadError: not loaded.
            QueryError: a clip that is empty or not finite.
        """
        network = loaded(self._network, self.card.name)

        def embed(batch: Tensor) -> Tensor:
            found: Tensor = network.get_scene_embeddings(batch)
            return found.to(self.device)  # those of long clips come back on the CPU

        with _quiet():
            return encode_equal(
                clips,
                name=self.card.name,
                dimension=self.card.dimension,
                device=self.device,
                prepare=lambda clip: pad_to(clip, _SHORTEST),
                embed=embed,
                at_once=_AT_ONCE,
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the package's prints and warnings, and without a trace in the random generator.

    It prints shapes at its first call, warns of clips that are not ten seconds long, uses functions
    of torch that are on their way out, and draws (for an augmentation that it then leaves out).
    """
    import torch

    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[]),
    ):
        warnings.simplefilter("ignore")
        yield


def build(state: Mapping[str, Any], *, what: str) -> Any:
    """The package's network and front end with these weights, on the CPU, in eval mode.

    Raises:
        MissingExtraError: the package is not installed.
        CheckpointError: other tensors than those of this PaSST.
    """
    with _quiet():
        try:
            networks = import_module("hear21passt.models.passt")
            front_ends = import_module("hear21passt.models.preprocess")
            wrappers = import_module("hear21passt.wrapper")
        except ImportError as error:
            raise MissingExtraError(
                "The encoder passt", error.name or "hear21passt", "passt"
            ) from error

        network = networks.get_model(arch=_ARCHITECTURE, pretrained=False)
        # As hear21passt.base builds it.
        front_end = front_ends.AugmentMelSTFT(
            n_mels=128,
            sr=32_000,
            win_length=800,
            hopsize=320,
            n_fft=1024,
            freqm=48,
            timem=192,
            htk=False,
            fmin=0.0,
            fmax=None,
            norm=1,
            fmin_aug_range=10,
            fmax_aug_range=2000,
        )
        fit(network, state, what=what)
        return wrappers.PasstBasicWrapper(mel=front_end, net=network, mode="all").eval()


def check(path: str | Path) -> str:
    """One line about a checkpoint.

    Raises:
        MissingExtraError: the package, whose network it is fitted to, is not installed.
        CheckpointError: it is not this PaSST's.
    """
    build(read_checkpoint(path), what=str(path))
    return "PaSST-S, patches 10 apart, 1295-d"
