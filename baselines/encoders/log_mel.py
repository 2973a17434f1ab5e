"""Log-mel spectrograms in decibels, as PANNs, HTS-AT and CLAP take them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# B clips, N samples, T frames, K frequency bins, M mel bands

FLOOR = 1e-10  # of the mel power: silence is -100 dB


@dataclass(frozen=True, kw_only=True, slots=True)
class LogMel:
    """A front end.

    Attributes:
        sample_rate: Hz.
        n_fft: FFT and window, samples.
        hop: samples between frames.
        low: lower edge of the lowest band, Hz.
        high: upper edge of the highest band, Hz.
        bands: M.
    """

    sample_rate: int
    n_fft: int
    hop: int
    low: float
    high: float
    bands: int = 64

    def __call__(self, clips: Tensor) -> Tensor:
        """Log-mel power in dB.

        Args:
            clips: (B, N), N > n_fft / 2, in [-1, 1] nominally; the level counts.

        Returns:
            (B, T, M), T = floor(N / hop) + 1. 10 log10 of the power in each band, at least -100;
            periodic Hann, centred frames, reflection at the ends.
        """
        import torch

        spectrum = torch.stft(
            clips,
            self.n_fft,
            self.hop,
            window=torch.hann_window(self.n_fft, device=clips.device),
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()  # (B, K, T)
        mel = power.transpose(1, 2) @ mel_matrix(self).to(clips.device)
        return 10 * mel.clamp(min=FLOOR).log10()


@cache
def mel_matrix(front: LogMel) -> Tensor:
    """Triangles on Slaney's scale, each with an area of 1: librosa's defaults.

    Worked out in float64: torchaudio's float32 bands put some frames 1e-3 dB off.

    Returns:
        (K, M) float32, on the CPU.
    """
    import torch

    with torch.inference_mode(False):  # kept for later calls, which may be outside of that mode
        ends = _to_mel(front.low), _to_mel(front.high)
        edges = _to_hertz(torch.linspace(*ends, front.bands + 2, dtype=torch.float64))
        bins = torch.linspace(0, front.sample_rate / 2, front.n_fft // 2 + 1, dtype=torch.float64)
        widths = edges.diff()
        rising = (bins[:, None] - edges[:-2]) / widths[:-1]
        falling = (edges[2:] - bins[:, None]) / widths[1:]
        triangles = torch.minimum(rising, falling).clamp(min=0)  # (K, M)
        return (triangles * 2 / (edges[2:] - edges[:-2])).float()


# Slaney's scale: 200/3 Hz a mel up to 1 kHz, from there 27 mels to a factor of 6.4.
_BEND_HZ, _BEND_MEL = 1000.0, 15.0
_STEP = math.log(6.4) / 27


def _to_mel(hertz: float) -> float:
    if hertz < _BEND_HZ:
        return hertz * _BEND_MEL / _BEND_HZ
    return _BEND_MEL + math.log(hertz / _BEND_HZ) / _STEP


def _to_hertz(mel: Tensor) -> Tensor:
    import torch

    above = _BEND_HZ * ((mel - _BEND_MEL) * _STEP).exp()
    return torch.where(mel < _BEND_MEL, mel * _BEND_HZ / _BEND_MEL, above)


PANNS = LogMel(sample_rate=32_000, n_fft=1024, hop=320, low=50, high=14_000)
PANNS_16K = LogMel(sample_rate=16_000, n_fft=512, hop=160, low=50, high=8_000)
