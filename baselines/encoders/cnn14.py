"""CNN14 of PANNs as a query encoder, at 32 and at 16 kHz.

One architecture with two front ends and two checkpoints. A clip goes through in one piece, as in
the HEAR baseline: shorter ones are padded with zeros to a second, longer ones are not cut.

Source: Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern
Recognition", IEEE/ACM TASLP 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sepbench.baselines.checkpoints import fit, numpy_scalars, read_checkpoint
from sepbench.baselines.encoders.clips import checkpoint_path, encode_equal, loaded, pad_to
from sepbench.baselines.encoders.log_mel import PANNS, PANNS_16K, LogMel
from sepbench.harness.api import EncoderCard
from sepbench.harness.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

_PAPER = "Kong et al., PANNs, IEEE/ACM TASLP 2020"
_LICENCE = "code MIT; for the weights see their record (Zenodo 3987831)"
_VERIFIED = (
    "the official class with filled weights: log-mel to 1e-3 dB, embedding to 1e-5; the published "
    "checkpoint was not opened"
)
# The front end as the checkpoints keep it; this one is made here.
_MEL = "logmel_extractor.melW"
_FRONT_END = ("spectrogram_extractor.stft.", "logmel_extractor.")
# 16 clips of ten seconds: the first block makes 4096 numbers of each 320 samples.
_AT_ONCE_SECONDS = 160


class Cnn14:
    """2048-d embedding before the head for AudioSet's classes, 32 kHz.

    Args:
        checkpoint: `Cnn14_mAP=0.431.pth`; None for the installed one.
    """

    card = EncoderCard(
        name="cnn14",
        kind="audio",
        dimension=2048,
        sample_rate=32_000,
        crop="whole clip; below 1 s zeros at its end",
        summary="CNN14 of PANNs, trained on AudioSet",
        licence=_LICENCE,
        paper=_PAPER,
        verified=_VERIFIED,
    )
    weights: ClassVar[Mapping[str, str]] = {"checkpoint": "cnn14"}
    front: ClassVar[LogMel] = PANNS

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

    def load_state(self, state: Mapping[str, Tensor], device: str, *, what: str = "cnn14") -> None:
        """As `load`, from tensors already read, named as in the published checkpoint."""
        self._network = build(state, self.front, what=what).to(device)
        self.device = device

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 2048), none negative, of mono clips (N,) at `card.sample_rate`.

        Raises:
            BaselineLoadError: not loaded.
            QueryError: a clip that is empty or not finite.
        """
        network = loaded(self._network, self.card.name)
        return encode_equal(
            clips,
            name=self.card.name,
            dimension=self.card.dimension,
            device=self.device,
            prepare=lambda clip: pad_to(clip, self.front.sample_rate),
            embed=lambda batch: network(self.front(batch)),
            at_once=_AT_ONCE_SECONDS * self.front.sample_rate,
        )


class Cnn14At16k(Cnn14):
    """As Cnn14 at 16 kHz, with a checkpoint of its own.

    Args:
        checkpoint: `Cnn14_16k_mAP=0.438.pth`; None for the installed one.
    """

    card = EncoderCard(
        name="cnn14-16k",
        kind="audio",
        dimension=2048,
        sample_rate=16_000,
        crop="whole clip; below 1 s zeros at its end",
        summary="CNN14 of PANNs for audio at 16 kHz, trained on AudioSet",
        licence=_LICENCE,
        paper=_PAPER,
        verified=_VERIFIED,
    )
    weights: ClassVar[Mapping[str, str]] = {"checkpoint": "cnn14-16k"}
    front: ClassVar[LogMel] = PANNS_16K


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a published checkpoint, which keeps them under "model".

    Raises:
        CheckpointError: damaged, unsafe, or without a state dict.
    """
    held = read_checkpoint(path, allow=numpy_scalars())
    state = held.get("model", held)
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path}: what stands under 'model' is not a state dict.")
    return dict(state)


def build(state: Mapping[str, Tensor], front: LogMel, *, what: str) -> Any:
    """The network with its weights, on the CPU, in eval mode.

    Raises:
        CheckpointError: other tensors than CNN14's, or made for another front end.
    """
    import torch

    from sepbench.baselines.encoders.network_cnn14 import Cnn14 as Network

    bins = front.n_fft // 2 + 1
    if _MEL in state and tuple(state[_MEL].shape) != (bins, front.bands):
        # Without it the two variants could not be told apart: their networks are the same.
        raise CheckpointError(
            f"{what}: its mel bands are {tuple(state[_MEL].shape)}, not {(bins, front.bands)}. "
            f"It is made for another sample rate than {front.sample_rate} Hz; CNN14 has two "
            "checkpoints, cnn14 (32 kHz) and cnn14-16k."
        )
    with torch.device("meta"):
        network = Network()
    fit(network, state, what=what, ignored=lambda name: name.startswith(_FRONT_END))
    return network.eval()


def check(path: str | Path) -> str:
    """One line about a 32-kHz checkpoint.

    Raises:
        CheckpointError: it is not one.
    """
    build(read_state(path), PANNS, what=str(path))
    return "CNN14 at 32 kHz"


def check_16k(path: str | Path) -> str:
    """One line about a 16-kHz checkpoint.

    Raises:
        CheckpointError: it is not one.
    """
    build(read_state(path), PANNS_16K, what=str(path))
    return "CNN14 at 16 kHz"
