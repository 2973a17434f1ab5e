"""CNN14 of PANNs: six pairs of convolutions and a pooling that keeps mean and peak.

Source: Kong et al., IEEE/ACM TASLP 2020; the numbers of the published network at revision d2f4b8c
of qiuqiangkong/audioset_tagging_cnn.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

# B clips, T frames, M mel bands

BANDS = 64
WIDTHS = (1, 64, 128, 256, 512, 1024, 2048)
CLASSES = 527  # of AudioSet
EMBEDDING = 2048


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each with batch normalisation and ReLU."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(narrow, wide, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.bn2 = nn.BatchNorm2d(wide)

    def forward(self, image: Tensor) -> Tensor:
        """(B, narrow, T, M) -> (B, wide, T, M)."""
        image = torch.relu(self.bn1(self.conv1(image)))
        return torch.relu(self.bn2(self.conv2(image)))


class Cnn14(nn.Module):
    """Log-mel to embedding; the head for AudioSet's classes comes with the checkpoint.

    Args:
        widths: channels of the image, then of each block; the last is the embedding's length.
        classes: of the head.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS, classes: int = CLASSES) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(BANDS)
        self.blocks = len(widths) - 1
        for index, (narrow, wide) in enumerate(pairwise(widths), 1):
            setattr(self, f"conv_block{index}", ConvBlock(narrow, wide))
        self.fc1 = nn.Linear(widths[-1], widths[-1])
        self.fc_audioset = nn.Linear(widths[-1], classes)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Embeddings.

        Args:
            log_mel: (B, T, 64) dB, T ≥ 32: five halvings.

        Returns:
            (B, 2048), none negative.
        """
        frames = self.frames(log_mel)
        return torch.relu(self.fc1(frames.amax(2) + frames.mean(2)))

    def frames(self, log_mel: Tensor) -> Tensor:
        """What is pooled over time, (B, T, 64) -> (B, 2048, T'), T' = T / 32."""
        # bn0 normalises each band, so bands stand in the place of channels for it.
        image = self.bn0(log_mel[:, None].transpose(1, 3)).transpose(1, 3)  # (B, 1, T, 64)
        for index in range(1, self.blocks + 1):
            image = getattr(self, f"conv_block{index}")(image)
            if index < self.blocks:
                image = avg_pool2d(image, 2)
        averaged: Tensor = image.mean(3)
        return averaged

    def classify(self, embedding: Tensor) -> Tensor:
        """Probabilities (B, 527) of AudioSet's classes, in its order, from (B, 2048)."""
        return torch.sigmoid(self.fc_audioset(embedding))
