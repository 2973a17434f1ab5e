"""A small contrastive pair: texts and sounds in one space, as CLAP's, for the small models.

The text tower is a small BERT read at its first position, the audio tower the convolutions of
CNN14 on a log-mel spectrogram; each ends in a linear map to directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sepbench.baselines.encoders.log_mel import PANNS, PANNS_16K, LogMel
from sepbench.baselines.encoders.network_cnn14 import Cnn14
from sepbench.baselines.lassnet.network_text import initialise_bert
from sepbench.baselines.small.network_text import small_bert
from sepbench.harness.errors import SettingError

# B batch, L tokens, N samples, D condition

_START = 1 / 0.07  # of the scale of the similarities, as CLIP's
_HIGHEST = 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PairConfig:
    """Sizes of both towers.

    Attributes:
        condition: D.
        widths: channels of the audio tower's blocks.
        vocabulary: entries of the text tower.
        text_width: of its hidden states.
        text_layers: how many.
        sample_rate: Hz; 16000 or 32000.
    """

    condition: int
    widths: tuple[int, ...]
    vocabulary: int
    text_width: int
    text_layers: int
    sample_rate: int


class ContrastivePair(nn.Module):
    """Both towers, and the scale of their similarities in training."""

    def __init__(self, config: PairConfig) -> None:
        super().__init__()
        self.config = config
        self.front = front_end(config.sample_rate)
        self.text: Any = small_bert(
            config.vocabulary, width=config.text_width, layers=config.text_layers
        )
        self.text_projection = nn.Linear(config.text_width, config.condition)
        self.audio = Cnn14((1, *config.widths), classes=1)
        self.audio_projection = nn.Linear(config.widths[-1], config.condition)
        self.scale = nn.Parameter(torch.tensor(math.log(_START)))

    def read(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Directions (B, D) of token ids with their mask, (B, L) each."""
        hidden = self.text(input_ids=input_ids, attention_mask=attention_mask)
        return functional.normalize(self.text_projection(hidden.last_hidden_state[:, 0]), dim=-1)

    def hear(self, sounds: Tensor) -> Tensor:
        """Directions (B, D) of sounds (B, N); N at least a second's."""
        return functional.normalize(self.audio_projection(self.audio(self.front(sounds))), dim=-1)

    def initialise(self) -> None:
        """Start values of the text tower; the audio tower's are PyTorch's."""
        initialise_bert(self.text, self.config.text_width**-0.5)


def pair_loss(sounds: Tensor, texts: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of each sound over the texts and the other way round.

    Clips of one class, or with one text, are right answers for each other: in a batch of few
    classes there are many, and each of them counts alike.

    Args:
        sounds: (B, D) directions.
        texts: (B, D) directions.
        same: (B, B) true where row and column mean the same.
        scale: logarithm of the similarities' scale.
    """
    logits = sounds @ texts.T * scale.exp().clamp(max=_HIGHEST)
    wanted = same.float() / same.float().sum(1, keepdim=True)
    rows = -(wanted * functional.log_softmax(logits, dim=1)).sum(1).mean()
    columns = -(wanted.T * functional.log_softmax(logits, dim=0)).sum(0).mean()
    return (rows + columns) / 2


def front_end(sample_rate: int) -> LogMel:
    """The log-mel spectrogram of a rate.

    Raises:
        SettingError: another rate than 16 or 32 kHz.
    """
    fronts = {front.sample_rate: front for front in (PANNS, PANNS_16K)}
    if sample_rate not in fronts:
        raise SettingError(
            f"data.sample_rate={sample_rate}: encoders of sounds are made for "
            f"{' or '.join(map(str, sorted(fronts)))} Hz."
        )
    return fronts[sample_rate]
