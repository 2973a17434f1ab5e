"""LASS-Net's separator conditioned on a class instead of a text.

The paper names the comparison and does not describe it; here a vector for each class stands where
the text's embedding stands, rectified like that one, and all else is the same.

Source: Liu et al., arXiv 2203.15147 (as a review of it tells); the rest is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sepbench.baselines.lassnet.network import NetworkConfig, UNet, frames_seen
from sepbench.baselines.lassnet.network_signal import to_spectrum, to_waveform

# B batch, N samples, D condition, E classes


class UNetTagNetwork(nn.Module):
    """A vector for each class, and the U-Net.

    Args:
        classes: E.
        config: sizes; None for LASS-Net's.
    """

    def __init__(self, classes: int, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        self.tags = nn.Embedding(classes, self.config.condition)
        self.UNet = UNet(self.config)

    def condition(self, numbers: Tensor) -> Tensor:
        """Conditions (B, D), zero or more everywhere, of class numbers (B,)."""
        return torch.relu(self.tags(numbers))

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Estimates for a batch, (B, N), (B, D) -> (B, N) float32. Silence gives silence."""
        n_fft, length = self.config.n_fft, mixture.shape[-1]
        spectrum = to_spectrum(mixture, n_fft)
        logits = self.UNet(frames_seen(spectrum, length, self.config), condition)
        return to_waveform(logits, spectrum, n_fft, length)
