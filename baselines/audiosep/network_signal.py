"""From waveforms to what the network sees, and from its three maps back to a waveform.

Everything here stays in float32 whatever the precision of the network: phases do not survive
fewer digits. FFTs replace the original's convolutions with DFT matrices (2e-6 of the peak).

Source: section "mask estimation" of Liu et al., arXiv 2308.05037; revision 944583f of the code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# B batch, N samples, T frames, K = n_fft / 2 + 1 frequency bins

FLOOR = 1e-10  # of the power and of the phase mask's length


class MixtureSpectrum(NamedTuple):
    """A mixture as magnitude and direction, (B, T, K) each. In silence the direction is short."""

    magnitude: Tensor
    cosine: Tensor
    sine: Tensor


def to_spectrum(mixture: Tensor, n_fft: int, hop: int) -> MixtureSpectrum:
    """Spectrum of a batch, (B, N) -> (B, T = N // hop + 1, K) three times.

    Args:
        mixture: N must exceed n_fft / 2, the width of the reflection at both ends.
        n_fft: frame length in samples.
        hop: samples between frames.
    """
    with torch.autocast(mixture.device.type, enabled=False):
        signal = mixture.float()
        spectrum = torch.stft(
            signal,
            n_fft,
            hop,
            window=_window(n_fft, signal),
            pad_mode="reflect",
            return_complex=True,
        ).transpose(1, 2)  # (B, T, K), the order in which the FFT writes it
        real, imaginary = spectrum.real, spectrum.imag
        magnitude = (real.square() + imaginary.square()).clamp(min=FLOOR).sqrt()
        return MixtureSpectrum(magnitude, real / magnitude, imaginary / magnitude)


def to_waveform(
    maps: Tensor, spectrum: MixtureSpectrum, n_fft: int, hop: int, length: int
) -> Tensor:
    """The estimate of a batch, (B, N).

    Args:
        maps: (B, 3, T' ≥ T, K - 1): magnitude mask, and the real and the imaginary part of the
            rotation, before their squashing. The bin at Nyquist has none and becomes zero.
        spectrum: of the mixture.
        n_fft: as for `to_spectrum`.
        hop: likewise.
        length: N.
    """
    with torch.autocast(maps.device.type, enabled=False):
        frames = spectrum.magnitude.shape[1]
        magnitude, cosine, sine = (part[..., :-1] for part in spectrum)
        mask, real, imaginary = maps[:, :, :frames].float().unbind(1)  # (B, T, K - 1)
        real, imaginary = torch.tanh(real), torch.tanh(imaginary)
        norm = (real.square() + imaginary.square()).sqrt().clamp(min=FLOOR)
        real, imaginary = real / norm, imaginary / norm
        level = magnitude * torch.sigmoid(mask)  # a ReLU would change nothing: both are positive
        estimate = torch.complex(
            level * (cosine * real - sine * imaginary), level * (sine * real + cosine * imaginary)
        )
        # The window overlaps itself everywhere, so the inverse always exists.
        return torch.istft(
            torch.nn.functional.pad(estimate, (0, 1)).transpose(1, 2),
            n_fft,
            hop,
            window=_window(n_fft, magnitude),
            length=length,
        )


def _window(n_fft: int, like: Tensor) -> Tensor:
    return torch.hann_window(n_fft, periodic=True, dtype=like.dtype, device=like.device)
