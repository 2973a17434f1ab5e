"""Texts as numbers of words, with a vocabulary of the training's own texts.

A word is a run of letters, digits and apostrophes in lower case. Words that were never seen share
one number; a text of nothing else is refused, since its answer would mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sepbench.harness.errors import QueryError, near_matches

if TYPE_CHECKING:
    from torch import Tensor

# B texts, L tokens

PAD, FIRST, UNKNOWN = 0, 1, 2
SPECIAL = 3  # entries before the words
MAX_TOKENS = 32
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


@dataclass(frozen=True)
class Vocabulary:
    """Words and their numbers.

    Attributes:
        words: sorted; the first one is number 3.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """Every word of some texts."""
        return cls(tuple(sorted({word for text in texts for word in words_of(text)})))

    def __len__(self) -> int:
        """Entries, the special ones included."""
        return SPECIAL + len(self.words)

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids and mask (B, L) int64, padded on the right; texts are cut after 32 tokens."""
        import torch

        rows = [[FIRST, *map(self._number, words_of(text))][:MAX_TOKENS] for text in texts]
        longest = max((len(row) for row in rows), default=1)
        ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
        return ids, (ids != PAD).long()

    def refuse_unknown(self, texts: Sequence[str], asked_by: str) -> None:
        """Refuse a text of which no word is known.

        Raises:
            QueryError: names the text.
        """
        for text in texts:
            words = words_of(text)
            if not any(word in self._numbers for word in words):
                hint = near_matches(words[0], self.words) if words else ""
                raise QueryError(
                    f"{asked_by}: of the text '{text}' no word is known: this small model has "
                    f"{len(self.words)} of them.{hint}"
                )

    def _number(self, word: str) -> int:
        return self._numbers.get(word, UNKNOWN)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=SPECIAL)}


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    return _WORD.findall(text.lower().replace("_", " "))
