"""Texts as numbers of words, with a vocabulary of the training's own texts.

A word is a run of letters, their marks, digits and apostrophes in lower case, of any script; each
of the characters that Chinese and Japanese write without spaces is one, as to BERT. Words that were
never seen share one number; a text of nothing else is refused, since its answer would mean nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sepbench.harness.errors import QueryError, SettingError, near_matches

if TYPE_CHECKING:
    from torch import Tensor

# B texts, L tokens

PAD, FIRST, UNKNOWN = 0, 1, 2
SPECIAL = 3  # entries before the words
MAX_TOKENS = 32
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
# Of texts in which all but letters, marks, digits and apostrophes is blank. For ASCII this is
# [a-z0-9]+(?:'[a-z]+)?, by which the vocabularies that ship were made.
_WORD = re.compile(rf"[{_HAN}]|[^ '{_HAN}]+(?:'[^ '\d{_HAN}]+)?")
_KEPT = ("L", "M", "N")  # Unicode's categories: letters, marks, numbers


@dataclass(frozen=True)
class Vocabulary:
    """Words and their numbers.

    Attributes:
        words: sorted; the first one is number 3.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """Every word of a training's texts.

        Raises:
            SettingError: they hold none: nothing could be asked for.
        """
        listed = list(texts)
        words = {word for text in listed for word in words_of(text)}
        if not words:
            raise SettingError(
                "The texts of the training hold no word"
                f"{f', {listed[0]!r} for one' if listed else ''}. Give texts with letters or "
                "digits: data.captions=FILE (CSV: label,caption), or data.label_text=true."
            )
        return cls(tuple(sorted(words)))

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

    def unknown(self, texts: Iterable[str]) -> list[str]:
        """The texts of which no word is known."""
        return [text for text in texts if self._numbers.keys().isdisjoint(words_of(text))]

    def refuse_unknown(self, texts: Sequence[str], asked_by: str) -> None:
        """Refuse a text of which no word is known.

        Raises:
            QueryError: names the text.
        """
        for text in self.unknown(texts):
            words = words_of(text)
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
    composed = unicodedata.normalize("NFC", text.lower())  # macOS writes letter and mark apart
    kept = (c if c == "'" or unicodedata.category(c)[0] in _KEPT else " " for c in composed)
    return _WORD.findall("".join(kept))
