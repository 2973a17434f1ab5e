"""Mean and standard deviation of a log-mel spectrogram: what any learned encoder has to beat.

No weights. The front end is that of PANNs at 32 kHz.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sepbench.baselines.encoders.clips import encode_equal, pad_to
from sepbench.baselines.encoders.log_mel import PANNS
from sepbench.harness.api import EncoderCard

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 160 * 32_000  # samples: 16 clips of ten seconds


class LogMelStats:
    """128-d: the mean over time of each of 64 bands in dB, then their standard deviations."""

    card = EncoderCard(
        name="logmel-stats",
        kind="audio",
        dimension=2 * PANNS.bands,
        sample_rate=PANNS.sample_rate,
        crop="whole clip; below 32 ms zeros at its end",
        summary="mean and standard deviation over time of 64 log-mel bands; nothing learned",
        licence="MIT (no weights)",
        verified="closed forms; its front end is held against PANNs'",
    )

    def __init__(self) -> None:
        self.device = "cpu"

    def load(self, device: str) -> None:
        """Choose the device; there are no weights."""
        self.device = device

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Statistics (B, 128), in dB, of mono clips (N,) at 32 kHz. Silence: -100 and 0.

        Raises:
            QueryError: a clip that is empty or not finite.
        """
        return encode_equal(
            clips,
            name=self.card.name,
            dimension=self.card.dimension,
            device=self.device,
            prepare=lambda clip: pad_to(clip, PANNS.n_fft),
            embed=_statistics,
            at_once=_AT_ONCE,
        )


def _statistics(clips: Tensor) -> Tensor:
    """(b, N) -> (b, 128)."""
    import torch

    frames = PANNS(clips)  # (b, T, 64)
    return torch.cat([frames.mean(1), frames.std(1, correction=0)], dim=1)
