"""LASS-Net's text encoder: BERT-mini at the first position, then a linear layer and a rectifier.

Source: Liu et al., arXiv 2203.15147; layout of the published checkpoint (8979776).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sepbench.baselines.encoders.bert import COMPUTED as BERT_COMPUTED
from sepbench.baselines.encoders.bert import HIDDEN, build_bert_mini

# B batch, L tokens, D condition

# Buffers that the constructor makes and no checkpoint has to hold.
COMPUTED = tuple(f"bert_layer.{name}" for name in BERT_COMPUTED)
_SPREAD = 0.02  # BERT's own start values


class TextEmbedder(nn.Module):
    """Token ids to a condition, which is zero or more everywhere.

    Args:
        condition: D.
        bert: a BertModel of other sizes; None for BERT-mini.
    """

    def __init__(self, condition: int, bert: Any = None) -> None:
        super().__init__()
        self.bert_layer: Any = build_bert_mini() if bert is None else bert
        width = self.bert_layer.config.hidden_size
        self.linear_layer = nn.Sequential(nn.Linear(width, condition), nn.ReLU())

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Conditions (B, D) of ids and mask, both (B, L) int64, padded on the right with 0."""
        hidden = self.bert_layer(input_ids=input_ids, attention_mask=attention_mask)
        condition: Tensor = self.linear_layer(hidden.last_hidden_state[:, 0])
        return condition

    def initialise(self) -> None:
        """Start values for training where no pretrained BERT-mini is put in afterwards."""
        width = self.bert_layer.config.hidden_size
        initialise_bert(self.bert_layer, _SPREAD if width == HIDDEN else width**-0.5)


def initialise_bert(bert: nn.Module, spread: float) -> None:
    """Start values from torch's global generator.

    Args:
        bert: a BertModel.
        spread: BERT's own is 0.02; in a narrow one every text then begins as nearly the same.
    """
    for part in bert.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=spread)
            if isinstance(part, nn.Linear) and part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            part.reset_parameters()
