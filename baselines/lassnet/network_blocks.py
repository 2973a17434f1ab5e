"""The blocks of LASS-Net's U-Net, as they are trained and as their tensors are named.

A convolution's output is moved by a vector made of the query: one number a channel, never below
zero, the same at all times and frequencies.

Source: Liu et al., arXiv 2203.15147; layout of the published checkpoint (8979776).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# B batch, D condition, C channels, T frames (height), F frequency bins (width)

SLOPE = 0.01  # of the leaky rectifier


class Film(nn.Module):
    """What a query adds to each channel, (B, D) -> (B, C), zero or more."""

    def __init__(self, condition: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Sequential(
            nn.Linear(condition, 2 * channels),
            nn.ReLU(),
            nn.Linear(2 * channels, channels),
            nn.ReLU(),
        )

    def forward(self, condition: Tensor) -> Tensor:
        """For a batch of conditions."""
        added: Tensor = self.linear(condition)
        return added


class ResidualBlock(nn.Module):
    """Two pre-activated 3 x 3 convolutions and a shortcut, (B, in, T, F) -> (B, out, T, F)."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.film1 = Film(condition, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.film2 = Film(condition, outputs)
        widens = inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if widens else None
        self.film_res = Film(condition, outputs) if widens else None

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Features (B, in, T, F) with conditions (B, D)."""
        hidden = self.conv1(functional.leaky_relu(self.bn1(features), SLOPE))
        hidden = hidden + _spread(self.film1(condition))
        hidden = self.conv2(functional.leaky_relu(self.bn2(hidden), SLOPE))
        hidden = hidden + _spread(self.film2(condition))
        if self.shortcut is not None and self.film_res is not None:
            features = self.shortcut(features) + _spread(self.film_res(condition))
        answer: Tensor = hidden + features
        return answer


class EncoderBlock(nn.Module):
    """Two residual blocks, then a 2 x 2 average pooling."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.conv_block1 = ResidualBlock(inputs, outputs, condition)
        self.conv_block2 = ResidualBlock(outputs, outputs, condition)

    def forward(self, features: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """The pooled features (B, out, T/2, F//2), and the skip from before the pooling."""
        skip = self.conv_block2(self.conv_block1(features, condition), condition)
        return functional.avg_pool2d(skip, 2), skip


class DecoderBlock(nn.Module):
    """A transposed convolution, the skip beside it, two residual blocks.

    Args:
        inputs: channels.
        outputs: channels, of the skip too.
        condition: D.
    """

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, bias=False)
        self.conv_block2 = ResidualBlock(2 * outputs, outputs, condition)
        self.conv_block3 = ResidualBlock(outputs, outputs, condition)

    def forward(self, features: Tensor, skip: Tensor, condition: Tensor) -> Tensor:
        """Features (B, in, T, F) and skip (B, out, 2·T, 2·F + 1) -> as the skip."""
        raised = self.conv1(functional.relu(self.bn1(features)))
        # It gives 2·T + 1 frames; the frequencies fit as they are.
        joined = torch.cat([raised[:, :, :-1], skip], dim=1)
        decoded: Tensor = self.conv_block3(self.conv_block2(joined, condition), condition)
        return decoded


def initialise(module: nn.Module) -> None:
    """Start values for training: Xavier-uniform convolutions without biases.

    The transposed convolutions and the linear layers keep PyTorch's, as in the original.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _spread(added: Tensor) -> Tensor:
    return added[:, :, None, None]
