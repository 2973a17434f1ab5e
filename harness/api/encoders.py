"""Query encoders: from texts or sounds to vectors that a separator is conditioned on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

EncoderKind: TypeAlias = Literal["text", "audio"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderCard:
    """Facts about a query encoder.

    Attributes:
        version: raise it when the embeddings change.
        kind: what it reads.
        dimension: D of its embeddings.
        sample_rate: Hz of the audio it takes; None for text.
        crop: what it does with longer and shorter audio than its window, in words; it never
            draws at random.
        normalised: embeddings have length 1.
        verified: what its numbers were held against.
    """

    name: str
    kind: EncoderKind
    dimension: int
    version: str = "1"
    sample_rate: int | None = None
    crop: str = ""
    normalised: bool = False
    summary: str = ""
    licence: str = ""
    paper: str = ""
    verified: str = ""


@runtime_checkable
class TextEncoder(Protocol):
    """From texts to embeddings. The tokenizer opens at the first text, not before."""

    card: EncoderCard

    def load(self, device: str) -> None:
        """Put weights on the device. Nothing heavy before this call."""
        ...

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (B, D) float32 of B texts.

        Raises:
            BaselineLoadError: the tokenizer is not there.
            QueryError: a text that is empty or too long.
        """
        ...

    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embeddings (B, D) float32 of token ids (B, L) int64 with a mask (B, L) of 1 and 0."""
        ...


@runtime_checkable
class AudioEncoder(Protocol):
    """From sounds to embeddings."""

    card: EncoderCard

    def load(self, device: str) -> None:
        """Put weights on the device. Nothing heavy before this call."""
        ...

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, D) float32 of B mono clips (N,) at `card.sample_rate`, any lengths.

        Raises:
            QueryError: a clip that is empty or holds NaN or infinite samples.
        """
        ...
