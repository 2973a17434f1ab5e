"""A BERT of any size over a vocabulary of our own: the text encoder of the small models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sepbench.baselines.encoders.bert import COMPUTED
from sepbench.baselines.encoders.construction import without_draws
from sepbench.baselines.small.words import FIRST, MAX_TOKENS, PAD, UNKNOWN

# B texts, L tokens

_HEAD = 16  # width of a head


def small_bert(vocabulary: int, *, width: int, layers: int) -> Any:
    """A BertModel without pooler and, as BERT-mini's, still without weights; dropout is BERT's.

    Args:
        vocabulary: entries.
        width: of the hidden states, a multiple of 16.
        layers: how many.
    """
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // _HEAD),
        intermediate_size=4 * width,
        hidden_act="gelu",
        layer_norm_eps=1e-12,
        max_position_embeddings=MAX_TOKENS,
        type_vocab_size=2,
    )
    return without_draws(lambda: BertModel(config, add_pooling_layer=False))


def bert_buffers(state: Iterable[str]) -> list[str]:
    """Of the names of a state, those of buffers that BERT's constructor makes."""
    return [name for name in state if name.endswith(COMPUTED)]


def without_buffers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state without the buffers that BERT's constructor makes."""
    made = set(bert_buffers(state))
    return {name: value for name, value in state.items() if name not in made}


def set_dropout(module: nn.Module, share: float) -> None:
    """Give every dropout of a module another share."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = share


def without_some_words(input_ids: Tensor, share: float) -> Tensor:
    """Some words, in training, as if they had never been seen: so new ones do little harm."""
    if not share:
        return input_ids
    lost = torch.rand(input_ids.shape, device=input_ids.device) < share
    return input_ids.masked_fill(lost & (input_ids != PAD) & (input_ids != FIRST), UNKNOWN)
