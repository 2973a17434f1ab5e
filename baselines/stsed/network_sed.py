"""The sound event detector of ST-SED: HTS-AT with a latent of 2048 numbers.

A log-mel spectrogram becomes a square image (the four quarters of a clip below each other), a
Swin Transformer reads it, and a token-semantic head says which of AudioSet's 527 classes sounds
when. The mean of the last tokens is the latent that the separator is queried with.

The backbone is transformers' `ClapAudioModel` at this model's sizes; nothing of the hub is used.

Source: Chen et al., HTS-AT, ICASSP 2022, and AAAI 2022 (arXiv 2112.07891); behaviour of the
official code (3a4e363).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sepbench.baselines.encoders.construction import without_draws
from sepbench.baselines.encoders.log_mel import PANNS, LogMel
from sepbench.harness.errors import QueryError

# B batch, N samples, T frames, M = 64 mel bands, D = 2048, E = 527 event classes

LOG_MEL = PANNS  # the same front end: 32 kHz, frames of 10 ms, 64 bands from 50 Hz to 14 kHz
DIMENSION = 2048
CLASSES = 527
GRID = 1024  # frames of the image, and of the answer over time
COLUMNS = 32  # frames of the last map: each stands for 32 of the grid


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """What the detector says about B clips.

    Attributes:
        latent: (B, D), neither normalised nor projected.
        clipwise: (B, E) probabilities that a class sounds anywhere in the clip.
        columns: (B, 32, E) probabilities over time, in 32 equal parts.
    """

    latent: Tensor
    clipwise: Tensor
    columns: Tensor

    @property
    def framewise(self) -> Tensor:
        """(B, 1024, E): the columns on the grid of the detector's own frames."""
        return self.columns.repeat_interleave(GRID // COLUMNS, dim=1)


class SoundEventDetector(nn.Module):
    """Waveforms to latents and event probabilities.

    Args:
        backbone: a ClapAudioModel, or what answers like one.
        dimension: its number of output channels.
        classes: events to tell apart.
        front: the log-mel spectrogram; 100 frames a second.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dimension: int = DIMENSION,
        classes: int = CLASSES,
        front: LogMel = LOG_MEL,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.front = front
        self.tscam_conv = nn.Conv2d(dimension, classes, (2, 3), padding=(0, 1))

    def forward(self, waveform: Tensor) -> Detection:
        """Latent and probabilities of clips (B, N), 513 to 327,679 samples at 32 kHz.

        Raises:
            QueryError: too short for one frame, or longer than 10.24 s.
        """
        return self.detect(self.features(waveform))

    def detect(self, features: Tensor) -> Detection:
        """As `forward`, of what `features` gives."""
        found = self.backbone(input_features=features[:, None])
        logits = self.tscam_conv(found.last_hidden_state).flatten(2)  # (B, E, 32)
        return Detection(
            latent=found.pooler_output,
            clipwise=torch.sigmoid(logits.mean(-1)),
            columns=torch.sigmoid(logits).transpose(1, 2),
        )

    def latent(self, waveform: Tensor) -> Tensor:
        """(B, N) -> (B, D), without the events.

        Raises:
            QueryError: as `forward`.
        """
        found: Any = self.backbone(input_features=self.features(waveform)[:, None])
        latent: Tensor = found.pooler_output
        return latent

    def features(self, waveform: Tensor) -> Tensor:
        """Log-mel frames (B, T, M) of clips (B, N), repeated as often as they fit.

        Raises:
            QueryError: as `forward`.
        """
        samples, front = waveform.shape[-1], self.front
        shortest, longest = front.n_fft // 2 + 1, GRID * front.hop - 1
        if not shortest <= samples <= longest:
            raise QueryError(
                f"The sound event detector takes clips of {shortest} to {longest} samples at "
                f"{front.sample_rate} Hz (16 ms to 10.24 s), not of {samples}. Cut or choose "
                "others."
            )
        frames = front(waveform.float())  # (B, T, M)
        # Short clips are repeated; the backbone stretches what is left to 1024 frames.
        return frames.repeat(1, GRID // frames.shape[1], 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorConfig:
    """Sizes of the network; the defaults are the published ones.

    Attributes:
        embed: channels of the first stage; each of the others has twice as many.
        depths: blocks of each stage.
        heads: of the attention in each stage.
        classes: events to tell apart.
        front: the log-mel spectrogram, which sets the sample rate.
        drop_path: most of the blocks that are left out in training.
    """

    embed: int = 256
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    classes: int = CLASSES
    front: LogMel = LOG_MEL
    drop_path: float = 0.0

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.embed * 2 ** (len(self.depths) - 1))


def build_detector(sizes: DetectorConfig | None = None) -> SoundEventDetector:
    """The network on the CPU, in eval mode, still without weights.

    Args:
        sizes: None for the published ones (202 M parameters).
    """
    from transformers import ClapAudioConfig, ClapAudioModel

    sizes = sizes or DetectorConfig()
    config = ClapAudioConfig(
        window_size=8,
        num_mel_bins=sizes.front.bands,
        spec_size=256,
        patch_size=4,
        patch_stride=[4, 4],
        patch_embeds_hidden_size=sizes.embed,
        hidden_size=sizes.dimension,
        depths=list(sizes.depths),
        num_attention_heads=list(sizes.heads),
        mlp_ratio=4.0,
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        enable_fusion=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        drop_path_rate=sizes.drop_path,
        num_classes=sizes.classes,
    )
    return without_draws(
        lambda: SoundEventDetector(
            ClapAudioModel(config),
            dimension=sizes.dimension,
            classes=sizes.classes,
            front=sizes.front,
        )
    )
