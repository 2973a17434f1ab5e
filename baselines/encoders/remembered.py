"""Embeddings of clips heard before: N-shot queries draw the same clips again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sepbench.harness.api import Example

if TYPE_CHECKING:
    from torch import Tensor

# D embedding

Key = tuple[str, int]


def key_of(example: Example) -> Key | None:
    """What tells the sound of an example from others: its file's sum and the stream in it.

    None where the harness did not read it from a file: nothing then tells two sounds apart.
    """
    return (example.sha256, example.stream) if example.sha256 else None


class RememberedClips:
    """Embeddings by clip, least recently used ones dropped first.

    Args:
        capacity: how many to keep.
    """

    def __init__(self, capacity: int = 4096) -> None:
        self._kept: OrderedDict[Key, Tensor] = OrderedDict()
        self._capacity = capacity

    def clear(self) -> None:
        """Forget all: other weights give other embeddings."""
        self._kept.clear()

    def embed(
        self,
        clips: Sequence[tuple[Key | None, Tensor]],
        encode: Callable[[list[Tensor]], Sequence[Tensor] | Tensor],
    ) -> list[Tensor]:
        """Embeddings, each (D,), in the order of the clips.

        Args:
            clips: key and samples (N,); a clip without a key is always encoded.
            encode: takes the clips that are new, all in one call, each once.
        """
        new: dict[Key | int, Tensor] = {}
        for index, (key, samples) in enumerate(clips):
            if key is None:
                new[index] = samples
            elif key not in self._kept:
                new[key] = samples
        made = dict(zip(new, encode(list(new.values())), strict=True)) if new else {}
        found = []
        for index, (key, _) in enumerate(clips):
            if key is None:
                found.append(made[index])
                continue
            if key not in self._kept:
                self._kept[key] = made[key]
            self._kept.move_to_end(key)
            found.append(self._kept[key])
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return found
