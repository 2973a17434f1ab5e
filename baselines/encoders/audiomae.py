"""Audio-MAE's ViT-B encoder as a query encoder, pre-trained or fine-tuned.

Which of the two a checkpoint is, its names tell; both give 768 numbers. The authors published no
protocol for frozen embeddings: the mean over patches is our choice for the pre-trained one, and
what the classifier reads for the fine-tuned one.

Source: Huang et al., "Masked Autoencoders that Listen", NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sepbench.baselines.checkpoints import fit, numpy_scalars, read_checkpoint
from sepbench.baselines.encoders.clips import checkpoint_path, encode_equal, loaded, pad_to
from sepbench.baselines.encoders.kaldi_fbank import BANDS, FRAMES, SAMPLE_RATE, SHORTEST, image
from sepbench.harness.api import EncoderCard
from sepbench.harness.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

# Only the training needs these.
_DECODER = ("decoder_", "mask_token")
_AT_ONCE = 16 * FRAMES * BANDS


class AudioMae:
    """768-d mean over the patches, 16 kHz.

    Args:
        checkpoint: the pre-trained or the fine-tuned ViT-B; None for the installed pre-trained
            one.
    """

    card = EncoderCard(
        name="audiomae",
        kind="audio",
        dimension=768,
        sample_rate=SAMPLE_RATE,
        crop="first 10.24 s; shorter padded as in training",
        summary="Audio-MAE ViT-B, masked autoencoder on AudioSet",
        licence="CC BY-NC 4.0 (its readme says CC BY 4.0): not for commercial use",
        paper="Huang et al., Masked Autoencoders that Listen, NeurIPS 2022",
        verified="the official classes, pre-trained and fine-tuned end, with filled weights: 5e-5; "
        "the published checkpoints were not opened",
    )
    weights: ClassVar[Mapping[str, str]] = {"checkpoint": "audiomae"}

    def __init__(self, checkpoint: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.device = "cpu"
        self._network: Any = None

    def load(self, device: str) -> None:
        """Read the checkpoint and put the network on the device.

        Raises:
            MissingWeightsError: no checkpoint given or installed.
            CheckpointError: a file that is damaged or made for another network.
        """
        path = checkpoint_path(self.checkpoint, self.weights["checkpoint"])
        self.load_state(read_state(path), device, what=str(path))

    def load_state(
        self, state: Mapping[str, Tensor], device: str, *, what: str = "audiomae"
    ) -> None:
        """As `load`, from tensors already read, named as in the published checkpoints."""
        self._network = build(state, what=what).to(device)
        self.device = device

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 768) of mono clips (N,) at 16 kHz.

        Raises:
            BaselineLoadError: not loaded.
            QueryError: a clip that is empty or not finite.
        """
        return encode_equal(
            clips,
            name=self.card.name,
            dimension=self.card.dimension,
            device=self.device,
            prepare=lambda clip: image(pad_to(clip, SHORTEST)),
            embed=loaded(self._network, self.card.name),
            at_once=_AT_ONCE,
        )


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a published checkpoint, which keeps them under "model".

    Raises:
        CheckpointError: damaged, unsafe, or without a state dict.
    """
    from argparse import Namespace  # plain values: the training's options, beside the tensors

    held = read_checkpoint(path, allow=[Namespace, *numpy_scalars()])
    state = held.get("model", held)
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path}: what stands under 'model' is not a state dict.")
    return dict(state)


def build(state: Mapping[str, Tensor], *, what: str) -> Any:
    """The network with its weights, on the CPU, in eval mode.

    Raises:
        CheckpointError: other tensors than those of Audio-MAE's ViT-B.
    """
    import torch

    from sepbench.baselines.encoders.network_audiomae import AudioMae as Network

    with torch.device("meta"):
        network = Network(finetuned="fc_norm.weight" in state)
    fit(network, state, what=what, ignored=lambda name: name.startswith(_DECODER))
    return network.eval()


def check(path: str | Path) -> str:
    """One line about a checkpoint.

    Raises:
        CheckpointError: it is not Audio-MAE's ViT-B.
    """
    network = build(read_state(path), what=str(path))
    return f"Audio-MAE ViT-B, {'fine-tuned' if network.finetuned else 'pre-trained'}"
