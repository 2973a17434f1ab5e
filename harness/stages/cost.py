"""What a model costs: parameters and floating-point operations, counted, not stated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class CountedFlops:
    """Floating-point operations of a stretch of work, a multiply-add as two."""

    flops: int = 0


@contextmanager
def count_flops() -> Iterator[CountedFlops]:
    """Count what is done inside: matrix products, convolutions and attention.

    Fourier transforms and element-wise operations are not in it: torch counts none of them, and
    beside the convolutions of a separator they are few.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counted = CountedFlops()
    # torch counts the product that gives a new tensor, and not the one added into an old one.
    in_place = {torch.ops.aten.addmm_: _product_added_in_place}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        yield counted
    counted.flops = counter.get_total_flops()


def _product_added_in_place(
    total: tuple[int, ...], left: tuple[int, int], right: tuple[int, int], *rest: Any, **more: Any
) -> int:
    """Operations of total += left @ right, by their shapes."""
    return 2 * left[0] * left[1] * right[1]


def count_parameters(model: Any) -> int | None:
    """Parameters of the networks that an object or its encoders hold; None where there are none.

    One that was made of others, for speed, may say of how many: `stands_for`.
    """
    import torch

    networks = [held for held in _held(model) if isinstance(held, torch.nn.Module)]
    if not networks:
        return None
    unique = {
        id(p): int(getattr(p, "stands_for", p.numel()))
        for network in networks
        for p in network.parameters()
    }
    return sum(unique.values())


def _held(model: Any) -> list[Any]:
    """A model's attributes, and those of its encoders: what has a card and loads."""
    if not hasattr(model, "__dict__"):
        return [model]
    mine = [model, *vars(model).values()]
    encoders = [held for held in mine[1:] if hasattr(held, "card") and hasattr(held, "load")]
    return mine + [inner for held in encoders for inner in vars(held).values()]
