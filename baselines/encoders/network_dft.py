"""The matrices of torchlibrosa's STFT, which published checkpoints hold and an FFT replaces here.

Written into the checkpoints that a training makes, so that the originals' strict loaders find them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dft_matrices(n_fft: int) -> dict[str, Tensor]:
    """The windowed DFT as convolutions, there and back, and the squared window.

    Source: torchlibrosa's STFT and ISTFT, as the published checkpoints keep them: shapes
        (n_fft / 2 + 1, 1, n_fft), (n_fft, n_fft, 1) and (n_fft,).
    """
    places = torch.arange(n_fft, dtype=torch.float64)
    window = torch.hann_window(n_fft, periodic=True, dtype=torch.float64)
    angles = 2 * math.pi * (places[:, None] * places % n_fft) / n_fft  # (n_fft, n_fft)
    there = slice(None, n_fft // 2 + 1)
    found = {
        "stft.conv_real.weight": (angles.cos() * window)[there, None],
        "stft.conv_imag.weight": -(angles.sin() * window)[there, None],
        "istft.conv_real.weight": (angles.cos() * window[:, None] / n_fft)[..., None],
        "istft.conv_imag.weight": (angles.sin() * window[:, None] / n_fft)[..., None],
        "istft.ola_window": window.square(),
    }
    return {name: value.float() for name, value in found.items()}
