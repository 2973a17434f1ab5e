"""From items to one number, as a protocol says it, with an interval.

The interval is a percentile bootstrap in which whole clusters are drawn again: the items of one
recording are not independent and move together. Seeded: same data, same answer.

Shapes: I items, K clusters, G groups, D draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.api import Aggregation

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.intp]
    Counts = npt.NDArray[np.int64]

BOOTSTRAP_DRAWS = 2000
CONFIDENCE = 0.95
_SEED = 20260101
_MOST_NUMBERS = 4_000_000  # held at once while medians of draws are found


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

    A draw that leaves a group without items averages the groups it has.

    Args:
        values: (I,) finite.
        clusters: I names.
        groups: I names, used where the rule has groups.
        rule: default: the mean over items.

    Returns:
        (low, high) at 95 %, or None with fewer than two clusters.
    """
    rule = rule or Aggregation()
    clustered, count = _codes(clusters)
    if count < 2:
        return None
    rng = np.random.default_rng(_SEED)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP_DRAWS)  # (D, K)
    grouped, num_groups = _codes(groups) if rule.within else (np.zeros(len(values), np.intp), 1)
    of_groups = _medians if rule.items == "median" else _means
    inner = of_groups(values, clustered, grouped, num_groups, weights)  # (D, G)
    if num_groups == 1:
        points = inner[:, 0]
    else:
        points = (np.nanmedian if rule.groups == "median" else np.nanmean)(inner, axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(points, [tail, 100 - tail])
    return float(low), float(high)


_FUNCTIONS: dict[str, Callable[[Sequence[float] | Floats], float]] = {
    "mean": lambda values: float(np.mean(values)),
    "median": lambda values: float(np.median(values)),
}


def _codes(names: Sequence[str]) -> tuple[Codes, int]:
    """Names as numbers from 0 on, and how many there are."""
    _, codes = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
    return codes, int(codes.max(initial=-1)) + 1


def _means(
    values: Floats, clustered: Codes, grouped: Codes, num_groups: int, weights: Counts
) -> Floats:
    """Means of each draw and group, (D, G); NaN for a group without items."""
    cell = clustered * num_groups + grouped
    shape = (weights.shape[1], num_groups)
    sums = np.bincount(cell, weights=values, minlength=shape[0] * shape[1]).reshape(shape)
    sizes = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Floats = (weights @ sums) / (weights @ sizes.astype(np.float64))
    return means


def _medians(
    values: Floats, clustered: Codes, grouped: Codes, num_groups: int, weights: Counts
) -> Floats:
    """Medians of each draw and group, (D, G); NaN for a group without items."""
    found = np.full((len(weights), num_groups), np.nan)
    for group in range(num_groups):
        mine = grouped == group
        found[:, group] = _weighted_medians(values[mine], weights[:, clustered[mine]])
    return found


def _weighted_medians(values: Floats, weights: Counts) -> Floats:
    """The median of each draw in which item k comes weights[draw, k] times."""
    order = np.argsort(values)
    ranked = values[order]
    points = []
    for part in np.array_split(weights, -(-weights.size // _MOST_NUMBERS)):
        upto = np.cumsum(part[:, order], axis=1)  # (draws, items), items of the draw so far
        total = upto[:, -1:]
        below, above = ((upto > middle).argmax(axis=1) for middle in ((total - 1) // 2, total // 2))
        middles = (ranked[below] + ranked[above]) / 2
        points.append(np.where(total[:, 0] > 0, middles, np.nan))
    return np.concatenate(points)
