"""What CLAP's audio tower is fed: ten seconds at 48 kHz as a log-mel spectrogram.

Source: LAION-CLAP without fusion, as AudioSep uses it. Its torchlibrosa front end is a
convolution with DFT matrices; the FFT here agrees to 5e-4 dB at the floor, 5e-8 in the embedding.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from sepbench.harness.errors import QueryError

if TYPE_CHECKING:
    from torch import Tensor

# B batch, N samples, K frequency bins, T frames, M mel bands

SAMPLE_RATE = 48_000
WINDOW = 480_000  # samples: 10 s
CROP = "first 10 s; shorter repeated as often as it fits, then zero-padded"
N_FFT = 1024
HOP = 480
BANDS = 64
LOW_HZ, HIGH_HZ = 50.0, 14_000.0
FLOOR = 1e-10  # of the power, before the logarithm


def to_window(clip: Tensor, sample_rate: int, asked_by: str) -> Tensor:
    """Exactly 10 s at 48 kHz of a clip.

    Other rates are resampled by torchaudio's windowed sinc with its default arguments, as
    AudioSep does for its queries at 32 kHz. Longer clips keep their first 10 s; the original
    crops at random, so its embedding of a long clip is another one each time.

    Args:
        clip: mono samples (N,).
        sample_rate: Hz of the clip.
        asked_by: the encoder's name, for messages.

    Returns:
        (480000,) float32.

    Raises:
        QueryError: not mono, empty, or with NaN or infinite samples.
    """
    import torch

    if clip.ndim != 1:
        raise QueryError(f"{asked_by}: a clip has the shape {tuple(clip.shape)}; give mono (N,).")
    if clip.numel() == 0:
        raise QueryError(f"{asked_by}: a clip is empty. Give one with at least one sample.")
    if not torch.isfinite(clip).all():
        raise QueryError(
            f"{asked_by}: a clip holds NaN or infinite samples. Export the file again."
        )
    clip = clip.to(torch.float32)
    if sample_rate != SAMPLE_RATE:
        from torchaudio.functional import resample

        clip = resample(clip, sample_rate, SAMPLE_RATE)
    tiled = clip[:WINDOW].repeat(WINDOW // min(len(clip), WINDOW))
    return torch.nn.functional.pad(tiled, (0, WINDOW - len(tiled)))


def log_mel(windows: Tensor) -> Tensor:
    """Log-mel power in dB, (B, 480000) -> (B, T = 1001, M = 64). Silence is -100 dB."""
    import torch

    window = torch.hann_window(N_FFT, periodic=True, dtype=windows.dtype, device=windows.device)
    spectrum = torch.stft(
        windows, N_FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True
    )  # (B, K, T)
    power = spectrum.real.square() + spectrum.imag.square()
    mel = power.transpose(1, 2) @ _mel_weights().to(power)  # (B, T, M)
    return 10.0 * mel.clamp(min=FLOOR).log10()


@lru_cache(maxsize=1)
def _mel_weights() -> Tensor:
    """Triangles (K, M) on Slaney's scale, each with an area of 1: librosa's defaults.

    In float64: torchaudio's float32 bank puts some frames 2e-3 dB away from the original's.
    """
    import torch

    with torch.inference_mode(False):  # kept for later calls, which may be outside of that mode
        low, high = _to_mel(LOW_HZ), _to_mel(HIGH_HZ)
        edges = _to_hertz(torch.linspace(low, high, BANDS + 2, dtype=torch.float64))  # (M + 2,)
        bins = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / N_FFT  # (K,)
        widths = edges.diff()
        rising = (bins[:, None] - edges[:-2]) / widths[:-1]
        falling = (edges[2:] - bins[:, None]) / widths[1:]
        triangles = torch.minimum(rising, falling).clamp(min=0)  # (K, M)
        return triangles * 2 / (edges[2:] - edges[:-2])


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
