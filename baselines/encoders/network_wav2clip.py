"""Wav2CLIP: a ResNet-18 on a linear spectrogram, and a projection into CLIP's space.

Source: Wu et al., ICASSP 2022; the numbers of descriptinc/lyrebird-wav2clip at revision 1864b39.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# B clips, N samples, T frames, K frequency bins

N_FFT = 512
HOP = 353  # odd, and what the weights were trained with
FLOOR = 1e-7
SHORTEST = N_FFT // 2 + 1  # the reflection at the ends needs as many samples
DIMENSION = 512


def spectrogram(clips: Tensor) -> Tensor:
    """Log power spectra, each clip with mean 0 and standard deviation 1.

    Args:
        clips: (B, N), N ≥ 257, any level.

    Returns:
        (B, 1, 257, T), T = floor(N / 353) + 1. Digital silence gives zeros. The original takes
        mean and deviation over a whole batch; one clip a batch, as its examples do, gives this.
    """
    window = torch.hann_window(N_FFT, device=clips.device)
    spectrum = torch.stft(
        clips, N_FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    level = torch.log(spectrum.abs().square() + FLOOR)  # (B, K, T)
    mean, deviation = level.mean((1, 2), keepdim=True), level.std((1, 2), keepdim=True)
    return ((level - mean) / (deviation + 1e-9))[:, None]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a way that leaves the image as it is, or narrows it."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(narrow, wide, 1, stride=stride, bias=False), nn.BatchNorm2d(wide)
            )
            if stride > 1
            else nn.Identity()
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, narrow, height, width) -> (B, wide, height / stride, width / stride)."""
        inner = torch.relu(self.bn1(self.conv1(image)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.downsample(image))


class ResNet18(nn.Module):
    """One channel in, 512 numbers out, no classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, K, T) -> (B, 512), the mean over frequency and time."""
        image = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            image = layer(image)
        return image.mean((2, 3))


class Projection(nn.Module):
    """Two linear layers into CLIP's space."""

    def __init__(self) -> None:
        super().__init__()
        wide = (DIMENSION, DIMENSION)
        self.sequential = nn.Sequential(
            nn.Linear(*wide), nn.ReLU(), nn.Dropout(0.1), nn.Linear(*wide)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, 512) -> (B, 512)."""
        return self.sequential(features)  # type: ignore[no-any-return]  # Sequential


class Wav2Clip(nn.Module):
    """Spectrogram to embedding; names as in the published checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = ResNet18()
        self.audio_transform = Projection()

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, K, T) -> (B, 512), signed, of any length."""
        return self.audio_transform(self.audio_encoder(image))  # type: ignore[no-any-return]  # Module
