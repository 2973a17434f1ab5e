"""BERT-mini: the text encoder inside LASS-Net, whose checkpoint holds its weights.

Source: Turc et al., arXiv 1908.08962 (the uncased L-4 H-256 A-4 model, hub id prajjwal1/bert-mini).
"""

from __future__ import annotations

from typing import Any

from sepbench.baselines.encoders.construction import without_draws

VOCABULARY = 30_522
HIDDEN = 256
MAX_TOKENS = 512
# Buffers the constructor makes; whether a state dict holds them differs between releases.
COMPUTED = ("embeddings.position_ids", "embeddings.token_type_ids")


def build_bert_mini() -> Any:
    """A transformers BertModel without pooler, in eval mode, still without weights.

    4 layers, 4 heads, hidden size 256, feed-forward 1024, exact (erf) GELU, LayerNorm eps 1e-12,
    512 positions. Attention is what transformers chooses: PyTorch's fused one ("sdpa"), which is
    as near to the original's numbers as the written-out one.

    Returns:
        The model; `(input_ids, attention_mask)`, both (B, L) int64, give `last_hidden_state`
        (B, L, 256). Its tensors are named "embeddings.…" and "encoder.layer.N.…".
    """
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=1024,
        hidden_act="gelu",
        layer_norm_eps=1e-12,
        max_position_embeddings=MAX_TOKENS,
        type_vocab_size=2,
    )
    return without_draws(lambda: BertModel(config, add_pooling_layer=False))
