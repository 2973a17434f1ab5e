"""Wav2CLIP as a query encoder: sounds as vectors in CLIP's space of images and texts.

Its embeddings stand beside those of CLIP ViT-B/32, so they can query what was trained with CLIP's
texts; compare directions (cosine), for they are not normalised here.

Source: Wu et al., "Wav2CLIP: Learning Robust Audio Representations From CLIP", ICASSP 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sepbench.baselines.checkpoints import fit, read_checkpoint
from sepbench.baselines.encoders.clips import checkpoint_path, encode_equal, loaded, pad_to
from sepbench.harness.api import EncoderCard

if TYPE_CHECKING:
    from torch import Tensor

# The network's own; the file may hold the image side of the training beside it.
_PARTS = ("audio_encoder.", "audio_transform.")
_WINDOW = "audio_encoder.spectrogram.window"
_AT_ONCE = 160 * 16_000  # samples: 16 clips of ten seconds


class Wav2Clip:
    """512-d embedding, signed, not of length 1, 16 kHz.

    Args:
        checkpoint: `Wav2CLIP.pt`; None for the installed one.
    """

    card = EncoderCard(
        name="wav2clip",
        kind="audio",
        dimension=512,
        sample_rate=16_000,
        crop="whole clip, level taken out; below 257 samples zeros at its end",
        summary="Wav2CLIP, a ResNet-18 taught by CLIP ViT-B/32 on VGGSound",
        licence="MIT",
        paper="Wu et al., Wav2CLIP, ICASSP 2022",
        verified="the official class, one clip a batch, with filled weights: 1e-5; the published "
        "checkpoint was not opened",
    )
    weights: ClassVar[Mapping[str, str]] = {"checkpoint": "wav2clip"}

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
        self.load_state(read_checkpoint(path), device, what=str(path))

    def load_state(
        self, state: Mapping[str, Tensor], device: str, *, what: str = "wav2clip"
    ) -> None:
        """As `load`, from tensors already read, named as in the published checkpoint."""
        self._network = build(state, what=what).to(device)
        self.device = device

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 512) of mono clips (N,) at 16 kHz.

        Raises:
            BaselineLoadError: not loaded.
            QueryError: a clip that is empty or not finite.
        """
        network = loaded(self._network, self.card.name)
        from sepbench.baselines.encoders.network_wav2clip import SHORTEST, spectrogram

        return encode_equal(
            clips,
            name=self.card.name,
            dimension=self.card.dimension,
            device=self.device,
            prepare=lambda clip: pad_to(clip, SHORTEST),
            embed=lambda batch: network(spectrogram(batch)),
            at_once=_AT_ONCE,
        )


def build(state: Mapping[str, Any], *, what: str) -> Any:
    """The network with its weights, on the CPU, in eval mode.

    Raises:
        CheckpointError: other tensors than Wav2CLIP's.
    """
    import torch

    from sepbench.baselines.encoders.network_wav2clip import Wav2Clip as Network

    with torch.device("meta"):
        network = Network()
    fit(
        network,
        state,
        what=what,
        ignored=lambda name: name == _WINDOW or not name.startswith(_PARTS),
    )
    return network.eval()


def check(path: str | Path) -> str:
    """One line about a checkpoint.

    Raises:
        CheckpointError: it is not Wav2CLIP's.
    """
    build(read_checkpoint(path), what=str(path))
    return "Wav2CLIP, 512-d"
