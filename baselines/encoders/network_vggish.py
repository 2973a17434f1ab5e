"""VGGish: log-mel patches of 0.96 s to 128 numbers each.

Source: Hershey et al., ICASSP 2017; the numbers of harritaylor/torchvggish at revision f3f9096.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# P patches, N samples, T frames, K frequency bins, M mel bands

SAMPLE_RATE = 16_000
WINDOW, HOP, N_FFT = 400, 160, 512
BANDS, LOW, HIGH = 64, 125.0, 7500.0
OFFSET = 0.01
FRAMES = 96  # of a patch
SHORTEST = WINDOW + (FRAMES - 1) * HOP  # samples of one patch, 0.975 s
CLIP_LIMIT = 2.0  # of the whitened values, before they become 8 bits


def mel_bands() -> Tensor:
    """Triangles that are linear in mel, (K, M) float64; torchaudio's are linear in Hz."""
    hertz = torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1, dtype=torch.float64)
    mel = 1127 * torch.log1p(hertz / 700)
    ends = 1127 * torch.log1p(torch.tensor([LOW, HIGH], dtype=torch.float64) / 700)
    edges = torch.linspace(float(ends[0]), float(ends[1]), BANDS + 2, dtype=torch.float64)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (mel[:, None] - low) / (middle - low)
    falling = (high - mel[:, None]) / (high - middle)
    bands = torch.minimum(rising, falling).clamp(min=0)
    bands[0] = 0
    return bands


def patches(clip: Tensor) -> Tensor:
    """Log-mel patches.

    Args:
        clip: (N,) in [-1, 1] nominally, N ≥ 15600; the level counts.

    Returns:
        (P, 96, 64) float32, P = floor(T / 96), in float64 until the end as in the original. The
        frames left over are dropped.
    """
    frames = clip.double().unfold(0, WINDOW, HOP)  # (T, 400), no padding
    window = torch.hann_window(WINDOW, dtype=torch.float64, device=clip.device)
    magnitude = torch.fft.rfft(frames * window, N_FFT).abs()  # (T, K)
    log_mel = torch.log(magnitude @ mel_bands().to(clip.device) + OFFSET)
    count = log_mel.shape[0] // FRAMES
    return log_mel[: count * FRAMES].reshape(count, FRAMES, BANDS).float()


class VGGish(nn.Module):
    """Six convolutions and three linear layers."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        narrow = 1
        for block in ((64,), (128,), (256, 256), (512, 512)):
            for wide in block:
                layers += [nn.Conv2d(narrow, wide, 3, padding=1), nn.ReLU()]
                narrow = wide
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 6 * 4, 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 128),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Patches (P, 96, 64) -> (P, 128), before the last ReLU."""
        image = self.features(image[:, None])  # (P, 512, 6, 4)
        # TensorFlow's order: time, mel, channel, the last one fastest.
        return self.embeddings(image.permute(0, 2, 3, 1).flatten(1))  # type: ignore[no-any-return]  # Sequential


def quantise(activated: Tensor, vectors: Tensor, means: Tensor) -> Tensor:
    """The 8-bit form of AudioSet's released features: whitened, clipped, rounded half to even.

    Args:
        activated: (P, 128) after the last ReLU.
        vectors: (128, 128), one a row.
        means: (128, 1).

    Returns:
        (P, 128) whole numbers from 0 to 255, as float32.
    """
    white = (vectors @ (activated.T - means)).T.clamp(-CLIP_LIMIT, CLIP_LIMIT)
    return torch.round((white + CLIP_LIMIT) * (255 / (2 * CLIP_LIMIT)))
