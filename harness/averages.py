"""From items to one number, as a protocol says it, with an interval.

The interval is a percentile bootstrap in which whole clusters are drawn again: the items of one
recording are not independent and move together. All numbers of a table share their draws. Seeded:
same data, same answer.

Shapes: I items, U units drawn (recordings, or groups of them), G groups, D draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.api import Aggregation
from sepbench.harness.resampling import Recordings, bootstrap_totals, bootstrap_weights

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.intp]
    Weights = npt.NDArray[np.uint8]

BOOTSTRAP_DRAWS = 2000
CONFIDENCE = 0.95
_COLUMNS_AT_ONCE = 512
_MOST_NUMBERS = 4_000_000  # held at once while medians of draws are found
_HALF_WINDOW = 8.0  # standard deviations of a median's rank looked at first


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What one number of a table is the average of.

    Attributes:
        values: (I,) finite.
        clusters: (I,) numbers of their recordings.
        groups: I names; used where the rule has groups.
    """

    values: Floats
    clusters: Codes
    groups: Sequence[str] = ()


def average(values: Floats, groups: Sequence[str], rule: Aggregation) -> float:
    """The number a table shows.

    Args:
        values: (I,) finite, I > 0.
        groups: I names; items of one name are averaged first where the rule has groups.
        rule: how.
    """
    if not rule.within:
        return _FUNCTIONS[rule.items](values)
    codes, count = _codes(groups)
    inner = [_FUNCTIONS[rule.items](values[codes == group]) for group in range(count)]
    return _FUNCTIONS[rule.groups](inner)


def bootstrap_interval(
    values: Floats,
    clusters: Sequence[str],
    groups: Sequence[str] = (),
    rule: Aggregation | None = None,
) -> tuple[float, float] | None:
    """Interval of `average` when whole clusters are drawn again.

    Args:
        values: (I,) finite.
        clusters: I names.
        groups: I names, used where the rule has groups.
        rule: default: the mean over items.

    Returns:
        (low, high) at 95 %, or None with fewer than two clusters.
    """
    recordings = Recordings(clusters)
    sample = Sample(values=values, clusters=recordings.codes(clusters), groups=groups)
    return bootstrap_intervals([sample], recordings, rule)[0]


def bootstrap_intervals(
    samples: Sequence[Sample], recordings: Recordings, rule: Aggregation | None = None
) -> list[tuple[float, float] | None]:
    """Intervals of many averages over the recordings of one board, from the same draws.

    A draw that leaves a group without items averages the groups it has; one that leaves a number
    without any item is left out for it.

    Args:
        samples: what is averaged.
        recordings: of the board.
        rule: default: the mean over items.

    Returns:
        (low, high) at 95 % each, or None with fewer than two recordings.
    """
    rule = rule or Aggregation()
    grouped = [
        _codes(s.groups) if rule.within else (np.zeros(len(s.values), np.intp), 1) for s in samples
    ]
    several = [len(s.values) > 0 and bool((s.clusters != s.clusters[0]).any()) for s in samples]
    found: list[tuple[float, float] | None] = [None] * len(samples)
    use = [index for index, enough in enumerate(several) if enough]
    of_groups = _medians if rule.items == "median" else _means
    for index, inner in of_groups(samples, grouped, recordings, use):
        found[index] = _percentiles(_over_groups(inner, rule))
    return found


_FUNCTIONS: dict[str, Callable[[Sequence[float] | Floats], float]] = {
    "mean": lambda values: float(np.mean(values)),
    "median": lambda values: float(np.median(values)),
}


def _codes(names: Sequence[str]) -> tuple[Codes, int]:
    """Names as numbers from 0 on in their order, and how many there are."""
    ordered = {name: place for place, name in enumerate(sorted(set(names)))}
    return np.fromiter((ordered[name] for name in names), np.intp, len(names)), len(ordered)


def _over_groups(inner: Floats, rule: Aggregation) -> Floats:
    """One number a draw, (D,), of the groups' (D, G); NaN for a draw without items."""
    if inner.shape[1] == 1:
        return inner[:, 0]
    empty = np.isnan(inner).all(axis=1)
    points = np.full(len(inner), np.nan)
    over = np.nanmedian if rule.groups == "median" else np.nanmean
    points[~empty] = over(inner[~empty], axis=1)
    return points


def _percentiles(points: Floats) -> tuple[float, float]:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(points[~np.isnan(points)], [tail, 100 - tail])
    return float(low), float(high)


def _means(
    samples: Sequence[Sample],
    grouped: Sequence[tuple[Codes, int]],
    recordings: Recordings,
    use: Sequence[int],
) -> list[tuple[int, Floats]]:
    """Means of each draw and group, (D, G) a sample; NaN for a group without items."""
    found: list[tuple[int, Floats]] = []
    waiting: list[tuple[int, Floats]] = []  # sums and sizes side by side, (U, 2 G)

    def draw() -> None:
        if not waiting:
            return
        totals = bootstrap_totals(np.concatenate([s for _, s in waiting], axis=1), BOOTSTRAP_DRAWS)
        start = 0
        for index, columns in waiting:
            half = columns.shape[1] // 2
            sums, sizes = totals[:, start : start + half], totals[:, start + half :][:, :half]
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append((index, sums / sizes))
            start += 2 * half
        waiting.clear()

    for index in use:
        sample, (groups, count) = samples[index], grouped[index]
        both = [
            recordings.grouped_totals(values, sample.clusters, groups, count)
            for values in (sample.values, np.ones(len(sample.values)))
        ]
        waiting.append((index, np.concatenate(both, axis=1)))
        if sum(columns.shape[1] for _, columns in waiting) >= _COLUMNS_AT_ONCE:
            draw()
    draw()
    return found


def _medians(
    samples: Sequence[Sample],
    grouped: Sequence[tuple[Codes, int]],
    recordings: Recordings,
    use: Sequence[int],
) -> list[tuple[int, Floats]]:
    """Medians of each draw and group, (D, G) a sample; NaN for a group without items."""
    weights = bootstrap_weights(recordings.num_units, BOOTSTRAP_DRAWS)
    found = []
    for index in use:
        sample, (groups, count) = samples[index], grouped[index]
        units = recordings.units(sample.clusters)
        medians = np.empty((BOOTSTRAP_DRAWS, count))
        for group in range(count):
            mine = groups == group
            medians[:, group] = _weighted_medians(sample.values[mine], units[mine], weights)
        found.append((index, medians))
    return found


def _weighted_medians(values: Floats, units: Codes, weights: Weights) -> Floats:
    """The median of each draw in which an item comes as often as its unit, (D,).

    Medians of draws lie near the median of all: only items around it are counted one by one, the
    others once a unit. Draws whose median lies outside are looked at again, in a wider window.
    """
    order = np.argsort(values, kind="stable")
    ranked, units = values[order], units[order]
    sizes = np.bincount(units, minlength=weights.shape[1]).astype(np.float64)
    total = np.rint(weights @ sizes).astype(np.int64)  # (D,)
    points = np.full(len(weights), np.nan)
    left = np.flatnonzero(total > 0)
    # The rank of a bootstrapped median varies by about half the root of Σ sizes².
    reach = int(_HALF_WINDOW / 2 * np.sqrt((sizes**2).sum())) + 2
    while len(left):
        start, stop = max(0, len(ranked) // 2 - reach), min(len(ranked), len(ranked) // 2 + reach)
        below = np.bincount(units[:start], minlength=weights.shape[1]).astype(np.float64)
        found = np.zeros(len(left), bool)
        size = max(1, _MOST_NUMBERS // (stop - start))
        for first in range(0, len(left), size):
            draws = left[first : first + size]
            before = np.rint(weights[draws] @ below).astype(np.int64)[:, None]
            upto = before + np.cumsum(weights[draws][:, units[start:stop]], axis=1, dtype=np.int64)
            lower, upper = (total[draws, None] - 1) // 2, total[draws, None] // 2
            inside = (before <= lower)[:, 0] & (upto[:, -1:] > upper)[:, 0]
            low, high = ((upto > middle).argmax(axis=1) for middle in (lower, upper))
            middles = (ranked[start + low] + ranked[start + high]) / 2
            points[draws[inside]] = middles[inside]
            found[first : first + size] = inside
        left = left[~found]
        reach *= 4
    return points
