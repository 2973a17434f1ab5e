"""A short-time Fourier transform made of convolutions with DFT matrices, forth and back.

How the published separators compute it: every frame times every row of a windowed DFT matrix, as a
strided convolution, and back as a matrix product with the inverse DFT and an overlap-add. It stands
in for their code where ours is timed and held against it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# B batch, N samples, T frames, K = n_fft / 2 + 1 frequency bins


class ConvolutionStft(nn.Module):
    """Centred frames with reflection at both ends, periodic Hann window.

    Args:
        n_fft: frame and window length in samples.
        hop: samples between frames.
    """

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        window = torch.hann_window(n_fft, periodic=True, dtype=torch.float64)
        dft = torch.fft.fft(torch.eye(n_fft, dtype=torch.float64))  # symmetric
        forth = dft[: n_fft // 2 + 1] * window
        self.register_buffer("real", forth.real.float()[:, None])
        self.register_buffer("imaginary", forth.imag.float()[:, None])
        back = dft.conj() / n_fft * window[:, None]
        self.register_buffer("back_real", back.real.float()[:, :, None])
        self.register_buffer("back_imaginary", back.imag.float()[:, :, None])
        self.register_buffer("overlap", window.square().float())

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part, (B, N) -> (B, T, K) twice."""
        half = self.n_fft // 2
        padded = functional.pad(signal[:, None], (half, half), mode="reflect")
        real = functional.conv1d(padded, self.real, stride=self.hop)
        imaginary = functional.conv1d(padded, self.imaginary, stride=self.hop)
        return real.transpose(1, 2), imaginary.transpose(1, 2)

    def inverse(self, real: Tensor, imaginary: Tensor, length: int) -> Tensor:
        """The signal of a spectrum, (B, T, K) twice -> (B, N)."""
        half = self.n_fft // 2
        # The negative frequencies of a real signal: mirrored and conjugated.
        full_real = torch.cat([real, real[..., 1:-1].flip(-1)], -1).transpose(1, 2)
        full_imaginary = torch.cat([imaginary, -imaginary[..., 1:-1].flip(-1)], -1).transpose(1, 2)
        frames = functional.conv1d(full_real, self.back_real) - functional.conv1d(
            full_imaginary, self.back_imaginary
        )
        total = (frames.shape[-1] - 1) * self.hop + self.n_fft
        weights = self.overlap[None, :, None].expand(1, -1, frames.shape[-1])
        added, norm = (
            functional.fold(part, (1, total), (1, self.n_fft), stride=(1, self.hop))[:, 0, 0]
            for part in (frames, weights)
        )
        signal: Tensor = added / norm.clamp(min=1e-11)
        return signal[:, half : half + length]
