"""A separator that keeps one core busy: so much work for each item, whatever the item."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepbench.harness.api import BaselineCard
from sepbench_testkit.models import Half

if TYPE_CHECKING:
    from torch import Tensor

SIZE = 256


def work(products: int) -> None:
    """So many products of square matrices."""
    import torch

    matrix = torch.eye(SIZE)
    for _ in range(products):
        matrix = matrix @ matrix


class Busy(Half):
    """Half the mixture, after so many matrix products."""

    card = BaselineCard(name="kit-busy", query_kinds=("text", "label"))

    def __init__(self, *, products: int = 100, log: str = "") -> None:
        super().__init__(log=log)
        self.products = products

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        for _ in range(len(mixture)):
            work(self.products)
        return super().separate(mixture, condition)
