"""Paired statistics: is A better than B on the items that both have, and how sure is that?

All take oriented differences, positive where A is better. A pair in which only one side has a
score (the other's estimate is undefined, its model failed) or in which the difference is infinite
has no size: it is given as ±inf and called *decided*. Decided pairs are wins and losses, they rank
above all others, and the permutation test counts them as the largest finite difference there is
(flipping signs does not change that number, so the test stays exact); means, medians and intervals
are over the finite pairs.

Items of one recording are not independent. The bootstrap draws whole clusters, and both tests flip
the signs of a cluster together. Everything is seeded: same data, same numbers.

Shapes: I pairs, K clusters, D draws, P comparisons that share their clusters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.intp]

DRAWS = 10_000
CONFIDENCE = 0.95
MOST_EXACT = 14  # clusters; 2^14 sign patterns are all tried, more are drawn
_SEED = 20260102
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedTest:
    """What I pairs say.

    Attributes:
        mean, median: of the finite differences; None where there are none.
        advantage: what the permutation test tests: the mean with decided pairs in it; its sign says
            who is ahead.
        low, high: 95 % interval of the mean, percentile bootstrap over clusters; None below two.
        wins, ties, losses: of A, decided pairs included; a tie is |difference| <= the band.
        rank_biserial: matched-pairs rank biserial correlation (R+ − R−) / (R+ + R−), −1 to 1:
            1 = A is better wherever they differ. None where they never differ.
        cohens_dz: mean over standard deviation of the finite differences; None below two or where
            they do not vary.
        wilcoxon: two-sided p of the signed-rank test.
        permutation: two-sided p of the sign-flip test of the mean.
        exact: both p-values are from all sign patterns.
    """

    mean: float | None
    median: float | None
    advantage: float
    low: float | None
    high: float | None
    finite: int
    decided: int
    clusters: int
    wins: int
    ties: int
    losses: int
    rank_biserial: float | None
    cohens_dz: float | None
    wilcoxon: float
    permutation: float
    exact: bool


def paired_test(differences: Floats, clusters: Sequence[str], *, tie_band: float) -> PairedTest:
    """One comparison; see `paired_tests`."""
    return paired_tests([differences], [clusters], tie_band=tie_band)[0]


def paired_tests(
    differences: Sequence[Floats], clusters: Sequence[Sequence[str]], *, tie_band: float
) -> list[PairedTest]:
    """Several comparisons; those over the same clusters share their draws.

    Args:
        differences: P arrays (I,), oriented, ±inf = decided, never NaN.
        clusters: P times I names.
        tie_band: largest difference that counts as none.

    Returns:
        A test each, in order.
    """
    coded = [_codes(names) for names in clusters]
    together: dict[tuple[str, ...], list[int]] = {}
    for index, (_, names) in enumerate(coded):
        together.setdefault(names, []).append(index)
    found: dict[int, PairedTest] = {}
    for names, members in together.items():
        mine = [differences[index] for index in members]
        codes = [coded[index][0] for index in members]
        intervals = _intervals(mine, codes, len(names))
        p_values = _p_values(mine, codes, len(names))
        for k, index in enumerate(members):
            found[index] = _summary(mine[k], tie_band, len(names), intervals[k], p_values[k])
    return [found[index] for index in range(len(differences))]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down rule, in the order given.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, largest = [1.0] * len(p_values), 0.0
    for position, index in enumerate(order):
        largest = max(largest, (len(p_values) - position) * p_values[index])
        corrected[index] = min(1.0, largest)
    return corrected


def signed_ranks(differences: Floats) -> Floats:
    """Mid-ranks of the sizes with the sign of the difference, (I,); 0 for no difference."""
    ranks = np.zeros(len(differences))
    nonzero = differences != 0
    _, which, counts = np.unique(
        np.abs(differences[nonzero]), return_inverse=True, return_counts=True
    )
    upto = np.cumsum(counts)
    middle = upto - (counts - 1) / 2
    ranks[nonzero] = np.sign(differences[nonzero]) * middle[which]
    return ranks


def _summary(
    gains: Floats,
    tie_band: float,
    num_clusters: int,
    interval: tuple[float, float] | None,
    p_values: tuple[float, float],
) -> PairedTest:
    finite = gains[np.isfinite(gains)]
    wins, losses = int((gains > tie_band).sum()), int((gains < -tie_band).sum())
    ranks = signed_ranks(gains)
    total = float(np.abs(ranks).sum())
    spread = float(np.std(finite, ddof=1)) if len(finite) > 1 else 0.0
    mean = float(np.mean(finite)) if len(finite) else None
    return PairedTest(
        mean=mean,
        median=float(np.median(finite)) if len(finite) else None,
        advantage=float(np.mean(_bounded(gains))) if len(gains) else 0.0,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        finite=len(finite),
        decided=len(gains) - len(finite),
        clusters=num_clusters,
        wins=wins,
        ties=len(gains) - wins - losses,
        losses=losses,
        rank_biserial=float(ranks.sum()) / total if total else None,
        cohens_dz=mean / spread if mean is not None and spread else None,
        wilcoxon=p_values[0],
        permutation=p_values[1],
        exact=num_clusters <= MOST_EXACT,
    )


def _codes(names: Sequence[str]) -> tuple[Codes, tuple[str, ...]]:
    """Names as numbers from 0 on, and the names in that order."""
    found, codes = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
    return codes, tuple(found.tolist())


def _intervals(
    differences: Sequence[Floats], codes: Sequence[Codes], num_clusters: int
) -> list[tuple[float, float] | None]:
    """Intervals of the means; one product of draw weights with all cluster sums and sizes."""
    if num_clusters < 2:
        return [None] * len(differences)
    finite = [np.isfinite(values) for values in differences]
    pairs = list(zip(differences, codes, finite, strict=True))
    sums = np.stack([_sums(v[use], c[use], num_clusters) for v, c, use in pairs], axis=1)  # (K, P)
    sizes = np.stack([_sums(use * 1.0, c, num_clusters) for _, c, use in pairs], axis=1)
    rng = np.random.default_rng(_SEED)
    totals = np.empty((DRAWS, 2 * len(pairs)))
    both = np.concatenate([sums, sizes], axis=1)
    for start, count in _parts(num_clusters):
        drawn = rng.integers(num_clusters, size=(count, num_clusters))
        drawn += num_clusters * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * num_clusters)
        totals[start : start + count] = weights.reshape(count, num_clusters).astype(float) @ both
    with np.errstate(invalid="ignore", divide="ignore"):
        means = totals[:, : len(pairs)] / totals[:, len(pairs) :]  # NaN: a draw without a pair
    tail = 100 * (1 - CONFIDENCE) / 2
    found: list[tuple[float, float] | None] = []
    for index, use in enumerate(finite):
        if len(np.unique(codes[index][use])) < 2:
            found.append(None)
            continue
        low, high = np.nanpercentile(means[:, index], [tail, 100 - tail])
        found.append((float(low), float(high)))
    return found


def _p_values(
    differences: Sequence[Floats], codes: Sequence[Codes], num_clusters: int
) -> list[tuple[float, float]]:
    """Signed-rank and sign-flip p-values, two-sided, clusters flipped together.

    The signed-rank sum of many clusters is taken as normal with variance Σ_k S_k², S_k the
    cluster's sum of signed ranks; with clusters of one item this is the usual approximation with
    its correction for ties and without one for continuity.
    """
    if num_clusters == 0:
        return [(1.0, 1.0)] * len(differences)
    ranks = np.stack(
        [_sums(signed_ranks(v), c, num_clusters) for v, c in zip(differences, codes, strict=True)],
        axis=1,
    )  # (K, P)
    sizes = np.stack(
        [_sums(_bounded(v), c, num_clusters) for v, c in zip(differences, codes, strict=True)],
        axis=1,
    )
    if num_clusters <= MOST_EXACT:
        bits = np.arange(2**num_clusters)[:, None] >> np.arange(num_clusters)
        patterns = 1.0 - 2.0 * (bits & 1)  # (2^K, K)
        exact = [_beyond(patterns @ sums, sums).mean(axis=0) for sums in (ranks, sizes)]
        return [(float(a), float(b)) for a, b in zip(*exact, strict=True)]
    rng = np.random.default_rng(_SEED + 1)
    counted = np.zeros(len(differences))
    for _, count in _parts(num_clusters):
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(count, num_clusters), dtype=np.int8)
        counted += _beyond(signs @ sizes, sizes).sum(axis=0)
    spread = np.sqrt((ranks**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(spread > 0, np.abs(ranks.sum(axis=0)) / spread, 0.0)
    return [
        (math.erfc(each / math.sqrt(2)), float((1 + beyond) / (1 + DRAWS)))
        for each, beyond in zip(z, counted, strict=True)
    ]


def _beyond(flipped: Floats, sums: Floats) -> npt.NDArray[np.bool_]:
    """Which flipped totals (D, P) are at least as far from 0 as the real one, in rounding."""
    slack = 1e-12 * np.abs(sums).sum(axis=0)
    return np.asarray(np.abs(flipped) >= np.abs(sums.sum(axis=0)) - slack)


def _bounded(differences: Floats) -> Floats:
    """Decided pairs as the largest finite difference (1 where there is none)."""
    finite = np.abs(differences[np.isfinite(differences)])
    largest = float(finite.max(initial=0.0)) or 1.0
    return np.clip(differences, -largest, largest)


def _sums(values: Floats, codes: Codes, num_clusters: int) -> Floats:
    return np.bincount(codes, weights=values, minlength=num_clusters).astype(np.float64)


def _parts(num_clusters: int) -> list[tuple[int, int]]:
    """Draws in parts that fit the memory: (first, how many)."""
    size = max(1, _NUMBERS_AT_ONCE // num_clusters)
    return [(start, min(size, DRAWS - start)) for start in range(0, DRAWS, size)]
