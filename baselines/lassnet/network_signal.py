"""From waveforms to magnitudes, and from a mask back to a waveform.

Everything here stays in float32 whatever the precision of the network: phases do not survive
fewer digits. FFTs replace the original's convolutions with DFT matrices (1e-6 of the peak).

The original gives 512 · floor(N / 512) samples and drops the rest. Here the mixture is continued
by reflection to a whole number of hops, which adds one frame; the network sees the same frames as
in the original, and the new one takes the mask of the frame before it. So all N samples come back,
and those that the original gives are the same.

Source: Liu et al., arXiv 2203.15147; behaviour of the official code (8979776).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# B batch, N samples, T = N // hop + 1 frames, K = n_fft / 2 + 1 frequency bins


def to_spectrum(mixture: Tensor, n_fft: int) -> Tensor:
    """Spectrum of a batch, (B, N) -> (B, T or T + 1, K) complex64; hops are n_fft / 2.

    There are T + 1 frames where N is no multiple of the hop.

    Args:
        mixture: N must exceed n_fft / 2, the width of the reflection at both ends.
        n_fft: frame length in samples.
    """
    hop = n_fft // 2
    with torch.autocast(mixture.device.type, enabled=False):
        signal = functional.pad(mixture.float(), (0, -mixture.shape[-1] % hop), mode="reflect")
        window = _window(n_fft, signal)
        # Transposed to the order in which the FFT writes it.
        return torch.stft(
            signal, n_fft, hop, window=window, pad_mode="reflect", return_complex=True
        ).transpose(1, 2)


def to_waveform(logits: Tensor, spectrum: Tensor, n_fft: int, length: int) -> Tensor:
    """The estimate of a batch, (B, N): the masked mixture with the mixture's phase.

    Args:
        logits: (B, T, K), of the mask.
        spectrum: of the mixture, as `to_spectrum` gives it.
        n_fft: as for `to_spectrum`.
        length: N.
    """
    with torch.autocast(logits.device.type, enabled=False):
        mask = torch.sigmoid(logits.float())
        if spectrum.shape[1] > mask.shape[1]:
            mask = torch.cat([mask, mask[:, -1:]], dim=1)
        masked = (spectrum * mask).transpose(1, 2)
        window = _window(n_fft, mask)
        return torch.istft(masked, n_fft, n_fft // 2, window=window)[..., :length]


def _window(n_fft: int, like: Tensor) -> Tensor:
    return torch.hann_window(n_fft, periodic=True, dtype=like.dtype, device=like.device)
