"""The blocks of AudioSep's ResUNet30, as they are trained and as their tensors are named.

Every normalisation is followed by an additive FiLM: a vector beta, made of the condition, is
added to the channels before the activation.

Source: Liu et al., arXiv 2308.05037; layout of the published checkpoint (revision 944583f).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# B batch, C channels, T frames (height), F frequency bins (width)

SLOPE = 0.01  # of the leaky rectifier
MOMENTUM = 0.01  # of the batch statistics


def activate(features: Tensor, norm: nn.BatchNorm2d, beta: Tensor) -> Tensor:
    """lrelu(norm(x) + beta), with features (B, C, T, F) and beta (B, C)."""
    return functional.leaky_relu(norm(features) + beta[:, :, None, None], SLOPE)


class ResidualBlock(nn.Module):
    """Two pre-activated 3 x 3 convolutions and a shortcut, (B, in, T, F) -> (B, out, T, F)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs, momentum=MOMENTUM)
        self.bn2 = nn.BatchNorm2d(outputs, momentum=MOMENTUM)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, features: Tensor, beta1: Tensor, beta2: Tensor) -> Tensor:
        """Features (B, in, T, F) with betas (B, in) and (B, out)."""
        hidden = self.conv1(activate(features, self.bn1, beta1))
        hidden = self.conv2(activate(hidden, self.bn2, beta2))
        summed: Tensor = hidden + (features if self.shortcut is None else self.shortcut(features))
        return summed


class EncoderBlock(nn.Module):
    """A residual block, then average pooling.

    Args:
        inputs: channels.
        outputs: channels.
        pool: factors in time and frequency; (1, 1) pools nothing.
    """

    def __init__(self, inputs: int, outputs: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv_block1 = ResidualBlock(inputs, outputs)
        self.pool = pool

    def forward(self, features: Tensor, beta1: Tensor, beta2: Tensor) -> tuple[Tensor, Tensor]:
        """The pooled features, and the skip (B, out, T, F) from before the pooling."""
        skip = self.conv_block1(features, beta1, beta2)
        return functional.avg_pool2d(skip, self.pool), skip


class DecoderBlock(nn.Module):
    """A transposed convolution whose stride is its kernel, the skip beside it, a residual block.

    Args:
        inputs: channels.
        outputs: channels, of the skip too.
        up: factors in time and frequency.
    """

    def __init__(self, inputs: int, outputs: int, up: tuple[int, int]) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs, momentum=MOMENTUM)
        self.conv1 = nn.ConvTranspose2d(inputs, outputs, up, stride=up, bias=False)
        # In the checkpoint, and in no computation.
        self.bn2 = nn.BatchNorm2d(inputs, momentum=MOMENTUM)
        self.conv_block2 = ResidualBlock(2 * outputs, outputs)

    def forward(
        self, features: Tensor, skip: Tensor, beta1: Tensor, inner1: Tensor, inner2: Tensor
    ) -> Tensor:
        """Features (B, in, T, F) and skip (B, out, T·up, F·up) -> as the skip.

        Args:
            features: of the block before.
            skip: of the encoder block of the same size.
            beta1: (B, in), for the transposed convolution.
            inner1: (B, 2·out), for the residual block.
            inner2: (B, out), likewise.
        """
        raised = self.conv1(activate(features, self.bn1, beta1))
        joined: Tensor = self.conv_block2(torch.cat([raised, skip], dim=1), inner1, inner2)
        return joined


def initialise(module: nn.Module) -> None:
    """Start values for training: Xavier-uniform weights, zero biases, neutral normalisations."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
