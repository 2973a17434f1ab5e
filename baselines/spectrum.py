"""Short-time spectra that come back to the signal they were made of, for any length.

Hann windows, centred frames. The signal is zero-padded on both sides (reflection, torch's
default, refuses signals shorter than half a frame) and at the end to a whole number of hops, so
that its last sample never falls on the vanishing edge of the last window.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# N samples, K = n_fft / 2 + 1 frequency bins, T = ceil(N / hop) + 1 frames, M mel bands


def stft(signal: Tensor, n_fft: int, hop: int) -> Tensor:
    """Complex spectrogram.

    Args:
        signal: (…, N) real, N ≥ 1.
        n_fft: frame length in samples, even.
        hop: samples between frames, at most n_fft / 2.

    Returns:
        (…, K, T) complex. Silence gives exact zeros.
    """
    import torch
    from torch.nn.functional import pad

    length = signal.shape[-1]
    whole = pad(signal.reshape(-1, length), (0, -length % hop))
    spectrum = torch.stft(
        whole,
        n_fft,
        hop,
        window=torch.hann_window(n_fft, dtype=signal.dtype, device=signal.device),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.reshape(*signal.shape[:-1], *spectrum.shape[-2:])


def istft(spectrum: Tensor, n_fft: int, hop: int, length: int) -> Tensor:
    """The signal whose spectrogram is nearest to the given one in the least-squares sense.

    Args:
        spectrum: (…, K, T) complex, as made by `stft` of a signal of `length` samples.
        n_fft: as in `stft`.
        hop: as in `stft`.
        length: N.

    Returns:
        (…, N) real; up to rounding the original where the spectrum is unchanged.

    Source: Griffin & Lim, IEEE TASSP 1984, eq. 6.
    """
    import torch

    leading = spectrum.shape[:-2]
    signal = torch.istft(
        spectrum.reshape(-1, *spectrum.shape[-2:]),
        n_fft,
        hop,
        window=torch.hann_window(n_fft, dtype=spectrum.real.dtype, device=spectrum.device),
        center=True,
        length=length + -length % hop,
    )
    return signal[:, :length].reshape(*leading, length)


def mel_weights(n_fft: int, bands: int, sample_rate: int) -> Tensor:
    """Triangular mel bands, (K, M).

    Each bin shares itself out between the two bands around it, so rows add up to 1 and the same
    matrix spreads values of bands over bins. Bands narrower than a bin may stay empty.
    """
    import torch

    hertz = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    mel = torch.log10(1 + hertz / 700) / math.log10(1 + sample_rate / 2 / 700)
    position = (mel * bands - 0.5).clamp(0, bands - 1)
    return (1 - (position[:, None] - torch.arange(bands)).abs()).clamp(min=0)


def stack_frames(frames: Tensor, context: int, stride: int) -> Tensor:
    """Each frame with those that follow it, (M, T) -> (context · M, T); zeros after the end.

    Block i holds frame t + i · stride.
    """
    import torch
    from torch.nn.functional import pad

    padded = pad(frames, (0, (context - 1) * stride))
    starts = range(0, context * stride, stride)
    return torch.cat([padded[:, start : start + frames.shape[1]] for start in starts])


def merge_frames(stacked: Tensor, context: int, stride: int) -> Tensor:
    """Mean of all blocks that tell of a frame, (context · M, T) -> (M, T); undoes stacking."""
    import torch

    length = stacked.shape[1]
    blocks = torch.chunk(stacked, context)
    total, count = torch.zeros_like(blocks[0]), stacked.new_zeros(length)
    for index, block in enumerate(blocks):
        start = min(index * stride, length)
        total[:, start:] += block[:, : length - start]
        count[start:] += 1
    return total / count
