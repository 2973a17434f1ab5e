"""What all encoders do around their network: batches, no needless padding, length 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sepbench.harness.errors import BaselineLoadError, QueryError

if TYPE_CHECKING:
    from torch import Tensor

Asked = TypeVar("Asked")


def in_batches(
    encode: Callable[[Sequence[Asked]], Tensor], asked: Sequence[Asked], size: int, dimension: int
) -> Tensor:
    """Embeddings (B, D) of all that is asked, in order, a bounded number of them at a time.

    Args:
        encode: makes embeddings of at most `size`.
        asked: B texts or clips; none gives (0, D).
        size: bounds the memory.
        dimension: D.
    """
    import torch

    starts = range(0, len(asked), size)
    found = [encode(asked[start : start + size]) for start in starts]
    return torch.cat(found) if found else torch.zeros(0, dimension)


def trimmed(
    input_ids: Tensor, attention_mask: Tensor, longest: int, asked_by: str
) -> tuple[Tensor, Tensor]:
    """Ids and mask (B, L) as int64, without the columns that are padding in every row.

    Args:
        input_ids: token ids, padded on the right.
        attention_mask: 1 on tokens, 0 on padding.
        longest: most tokens the network takes.
        asked_by: the encoder's name, for messages.

    Raises:
        QueryError: shapes that differ, a row without a token, or too many tokens.
    """
    if input_ids.ndim != 2 or input_ids.shape != attention_mask.shape:
        raise QueryError(
            f"{asked_by}: token ids of shape {tuple(input_ids.shape)} with a mask of shape "
            f"{tuple(attention_mask.shape)}; both must be (texts, tokens)."
        )
    used = attention_mask.bool()
    if not bool(used.any(dim=1).all()):
        raise QueryError(f"{asked_by}: a text has no tokens. Give every query a text.")
    length = int(used.any(dim=0).nonzero().max()) + 1
    if length > longest:
        raise QueryError(
            f"{asked_by}: a text has {length} tokens, and the network takes {longest}. Shorten it."
        )
    return input_ids[:, :length].long(), attention_mask[:, :length].long()


def unit_length(vectors: Tensor) -> Tensor:
    """Directions (B, D); the zero vector stays zero."""
    from torch.nn.functional import normalize

    return normalize(vectors.float(), dim=-1)


def refuse_unloaded(network: Any, asked_by: str) -> None:
    """Refuse to encode before there are weights.

    Raises:
        BaselineLoadError: `load` was not called.
    """
    if network is None:
        raise BaselineLoadError(f"{asked_by} is not loaded. Call load(device) first.")
