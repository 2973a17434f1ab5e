"""The encoder of Audio-MAE: a plain ViT-B/16 on time × mel, with two ends.

Source: Huang et al., "Masked Autoencoders that Listen", NeurIPS 2022; the numbers of the published
network at revision bd60e29 of facebookresearch/AudioMAE.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

# B clips, L tokens, W width

WIDTH, DEPTH, HEADS = 768, 12, 12
PATCH = 16
PATCHES = 64 * 8  # time × mel
CLASSES = 527  # of AudioSet
EPS = 1e-6


class Attention(nn.Module):
    """Self-attention with one projection for queries, keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, W) -> (B, L, W)."""
        split = self.qkv(tokens).unflatten(2, (3, HEADS, -1))  # (B, L, 3, heads, 64)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value)  # (B, heads, L, 64)
        return self.proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]  # Linear


class FeedForward(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, W) -> (B, L, W)."""
        return self.fc2(gelu(self.fc1(tokens)))  # type: ignore[no-any-return]  # Linear


class Block(nn.Module):
    """Attention and feed-forward, each normalised before and added after."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, eps=EPS)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(WIDTH, eps=EPS)
        self.mlp = FeedForward()

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, W) -> (B, L, W)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))  # type: ignore[no-any-return]  # Module


class PatchEmbedding(nn.Module):
    """Patches of 16 × 16 as tokens, time by time, mel fastest."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, WIDTH, PATCH, stride=PATCH)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1024, 128) -> (B, 512, W)."""
        return self.proj(image[:, None]).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]  # Conv2d


class AudioMae(nn.Module):
    """The encoder without masking.

    Args:
        finetuned: the end of the checkpoint fine-tuned on AudioSet (`fc_norm` after the mean over
            patches, and a head); else the pre-trained one's (`norm` before it).
    """

    def __init__(self, *, finetuned: bool) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, WIDTH))
        # From the checkpoint, never computed: the published table was made on a grid of 8 × 64,
        # so that it gives token i another place than its patch has.
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + PATCHES, WIDTH))
        self.patch_embed = PatchEmbedding()
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.finetuned = finetuned
        if finetuned:
            self.fc_norm = nn.LayerNorm(WIDTH, eps=EPS)
            self.head = nn.Linear(WIDTH, CLASSES)
        else:
            self.norm = nn.LayerNorm(WIDTH, eps=EPS)

    def tokens(self, image: Tensor) -> Tensor:
        """(B, 1024, 128) -> (B, 513, W), the class token first; normalised if pre-trained only."""
        patches = self.patch_embed(image) + self.pos_embed[:, 1:]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(image.shape[0], -1, -1)
        tokens = torch.cat([first, patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens if self.finetuned else self.norm(tokens)

    def forward(self, image: Tensor) -> Tensor:
        """Mean over the patches, (B, 1024, 128) -> (B, W). The class token takes no part."""
        mean = self.tokens(image)[:, 1:].mean(1)
        return self.fc_norm(mean) if self.finetuned else mean

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits (B, 527) of AudioSet's classes from (B, W); of the fine-tuned one only."""
        return self.head(embedding)  # type: ignore[no-any-return]  # Linear
