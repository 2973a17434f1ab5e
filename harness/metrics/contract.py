"""What a metric is handed, what it hands back, and how a plain function becomes a metric.

A metric family scores a whole scene at once, so that metrics which share work (SDR, SIR and SAR
of one projection) do it once, and metrics that look at every estimate can. Most metrics need
none of that: `ItemMetric` lifts a function of (reference, estimate).

Shapes: C channels, N samples; the same C, N and sample rate for all signals of a scene.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sepbench.harness.api import MetricCard, Samples, Undefined, Value
from sepbench.harness.errors import UndefinedScoreError


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredItem:
    """One estimate and the truth it is held against.

    Attributes:
        target: name of the target; items of one target (several queries) share its reference.
        reference: (C, N) float32, silence for an absent target.
        estimate: (C, N) float32, finite.
        text: the words of the query; None where it has none (audio examples alone).
    """

    target: str
    reference: Samples
    estimate: Samples
    text: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredScene:
    """A scene with its estimates, as metrics see it.

    Attributes:
        sample_rate: Hz.
        mixture: (C, N) float32.
        references: name -> (C, N) float32, every known source of the mixture.
        items: one per estimate.
    """

    sample_rate: int
    mixture: Samples
    references: Mapping[str, Samples]
    items: tuple[ScoredItem, ...]


@runtime_checkable
class MetricFamily(Protocol):
    """One or more metrics that are computed together."""

    @property
    def cards(self) -> tuple[MetricCard, ...]:
        """The card of every id this family computes."""
        ...

    def score(self, scene: ScoredScene, wanted: frozenset[str]) -> Sequence[Mapping[str, Value]]:
        """Values of the wanted ids.

        Args:
            scene: signals of one scene.
            wanted: a part of the ids on `cards`.

        Returns:
            One mapping id -> value per item, in the order of `scene.items`: every wanted id and
            no other. ±inf is a value; NaN is not: say `Undefined` with cause and reason. A
            metric that works in windows gives `Framewise`, so that protocols can average them.
        """
        ...


@dataclass(frozen=True)
class ItemMetric:
    """A metric family of one id, made of a plain function.

    Attributes:
        function: (reference, estimate), each (C, N) float32, to a number; computes in float64
            and raises UndefinedScoreError where no number exists.
    """

    card: MetricCard
    function: Callable[[Samples, Samples], float]

    @property
    def cards(self) -> tuple[MetricCard, ...]:
        """The one card."""
        return (self.card,)

    def score(self, scene: ScoredScene, wanted: frozenset[str]) -> Sequence[Mapping[str, Value]]:
        """One value per item; see `MetricFamily.score`."""
        if self.card.metric_id not in wanted:
            return [{} for _ in scene.items]
        return [{self.card.metric_id: self._value(item)} for item in scene.items]

    def _value(self, item: ScoredItem) -> Value:
        short = too_short(self.card, item.reference.shape[-1])
        if short is not None:
            return short
        try:
            return as_value(self.function(item.reference, item.estimate))
        except UndefinedScoreError as error:
            return Undefined(cause=error.cause, reason=error.reason)


def too_short(card: MetricCard, num_samples: int) -> Undefined | None:
    """Why a signal of this length has no value, or None where it is long enough."""
    if num_samples >= card.min_samples:
        return None
    return Undefined(
        cause="reference",
        reason=f"too short: {num_samples} samples, {card.metric_id} needs {card.min_samples}",
    )


def as_value(number: float) -> Value:
    """A plain float, or Undefined for NaN.

    Which signal made it NaN is unknown here; it counts as the estimate's, so that no model gains
    by it.
    """
    number = float(number)
    if math.isnan(number):
        return Undefined(cause="estimate", reason="the metric gave NaN")
    return number
