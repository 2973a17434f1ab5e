"""Steps over the estimates of a scene whose answers are known by hand, and some that misbehave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepbench.harness.api import PostprocessCard

if TYPE_CHECKING:
    from torch import Tensor


class Shares:
    """What the estimates leave of the mixture, handed back in equal parts."""

    card = PostprocessCard(name="kit-shares", summary="equal parts of what is left")

    def process(self, mixture: Tensor, estimates: Tensor, *, sample_rate: int) -> Tensor:
        left = mixture - estimates.sum(0)
        mixture.zero_()  # code that works in place harms nobody
        return estimates + left / len(estimates)


class Later(Shares):
    """As Shares, in a later version."""

    card = PostprocessCard(name="kit-later", version="2")


class Misfit(Shares):
    """One estimate for all."""

    def process(self, mixture: Tensor, estimates: Tensor, *, sample_rate: int) -> Tensor:
        return estimates[:1]


class NotANumber(Shares):
    """NaN throughout."""

    def process(self, mixture: Tensor, estimates: Tensor, *, sample_rate: int) -> Tensor:
        return estimates * float("nan")


class Wordy(Shares):
    """No tensor."""

    def process(self, mixture: Tensor, estimates: Tensor, *, sample_rate: int) -> Any:
        return "estimates"


class Cardless:
    """Has no card."""
