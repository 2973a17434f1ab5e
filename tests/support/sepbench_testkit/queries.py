"""A separator that takes every kind of query, and writes down what it was asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sepbench.harness.api import BaselineCard, Query

if TYPE_CHECKING:
    from torch import Tensor


class Listener:
    """Half the mixture, whatever is asked.

    Args:
        log: file that gets a line of JSON a query.
    """

    card = BaselineCard(name="listener", query_kinds=("text", "label", "audio", "text+audio"))

    def __init__(self, *, log: str = "") -> None:
        self.log = log

    def load(self, device: str) -> None:
        """Nothing to load."""

    def condition(self, queries: Sequence[Query]) -> list[Tensor]:
        """One number a query."""
        import torch

        if self.log:
            with Path(self.log).open("a", encoding="utf-8") as file:
                for query in queries:
                    heard = {one.clip_id: one.sha256 for one in query.examples}
                    said = {"kind": query.kind, "text": query.text, "label": query.label}
                    file.write(json.dumps({**said, "examples": heard}) + "\n")
        return [torch.ones(1) for _ in queries]

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """(B, C, N), (B, 1) -> (B, C, N)."""
        return mixture / 2
