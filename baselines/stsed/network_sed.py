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
from sepbench.baselines.encoders.log_mel import PANNS
from sepbench.baselines.stsed.sizes import HOP, SAMPLE_RATE, SHORTEST_CLIP
from sepbench.harness.errors import QueryError

# B batch, N samples, T frames, M = 64 mel bands, D = 2048, E = 527 event classes

LOG_MEL = PANNS  # the same front end: 32 kHz, frames of 10 ms, 64 bands from 50 Hz to 14 kHz
DIMENSION = 2048
CLASSES = 527
GRID = 1024  # frames of the image, and of the answer over time
COLUMNS = 32  # frames of the last map: each stands for 32 of the grid
LONGEST = GRID * HOP - 1  # samples: no more frames than the grid has, 10.24 s


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
    """

    def __init__(
        self, backbone: nn.Module, *, dimension: int = DIMENSION, classes: int = CLASSES
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.tscam_conv = nn.Conv2d(dimension, classes, (2, 3), padding=(0, 1))

    def forward(self, waveform: Tensor) -> Detection:
        """Latent and probabilities of clips (B, N), 513 to 327,679 samples at 32 kHz.

        Raises:
            QueryError: too short for one frame, or longer than 10.24 s.
        """
        found = self._backbone(waveform)
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
        latent: Tensor = self._backbone(waveform).pooler_output
        return latent

    def _backbone(self, waveform: Tensor) -> Any:
        samples = waveform.shape[-1]
        if not SHORTEST_CLIP <= samples <= LONGEST:
            raise QueryError(
                f"The sound event detector takes clips of {SHORTEST_CLIP} to {LONGEST} samples at "
                f"{SAMPLE_RATE} Hz (16 ms to 10.24 s), not of {samples}. Cut or choose others."
            )
        frames = LOG_MEL(waveform.float())  # (B, T, M)
        # Short clips are repeated; the backbone stretches what is left to 1024 frames.
        features = frames.repeat(1, GRID // frames.shape[1], 1)
        return self.backbone(input_features=features[:, None])


def build_detector() -> SoundEventDetector:
    """The published network on the CPU, in eval mode, still without weights (202 M parameters)."""
    from transformers import ClapAudioConfig, ClapAudioModel

    config = ClapAudioConfig(
        window_size=8,
        num_mel_bins=LOG_MEL.bands,
        spec_size=256,
        patch_size=4,
        patch_stride=[4, 4],
        patch_embeds_hidden_size=256,
        hidden_size=DIMENSION,
        depths=[2, 2, 6, 2],
        num_attention_heads=[4, 8, 16, 32],
        mlp_ratio=4.0,
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        enable_fusion=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        drop_path_rate=0.0,
        num_classes=CLASSES,
    )
    return without_draws(lambda: SoundEventDetector(ClapAudioModel(config)))
