"""Paired statistics: is A better than B on the items that both have, and how sure is that?

All take oriented differences, positive where A is better. A pair in which only one side has a
score (the other's estimate is undefined, its model failed) or in which the difference is infinite
has no size: it is given as ±inf and called *decided*. Decided pairs are wins and losses, they rank
above all others, and the permutation test counts them as the largest finite difference there is
(flipping signs does not change that number, so the test stays exact); means, medians and intervals
are over the finite pairs.

Items of one recording are not independent. The bootstrap draws whole clusters, and both tests flip
the signs of a cluster together. Everything is seeded: same data, same numbers. Where two rows have
finite values for the same targets, the total of their differences in a draw is the difference of
their totals: a board of R rows needs R totals a draw, not R².

Shapes: I pairs, K clusters, U units drawn together, D draws, C columns of totals.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.resampling import (
    DRAWS,
    Recordings,
    all_flipped_totals,
    bootstrap_totals,
    flipped_totals,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.intp]

CONFIDENCE = 0.95
MOST_EXACT = 14  # clusters; 2^14 sign patterns are all tried, more are drawn
_COLUMNS_AT_ONCE = 512


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
        permutation: two-sided p of the sign-flip test of the mean. Where none of the drawn patterns
            reaches the real one, Hoeffding's bound on the p of all patterns, if it is smaller than
            1 / (draws + 1): corrections for many comparisons need more than four digits.
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


NOTHING = PairedTest(
    mean=None,
    median=None,
    advantage=0.0,
    low=None,
    high=None,
    finite=0,
    decided=0,
    clusters=0,
    wins=0,
    ties=0,
    losses=0,
    rank_biserial=None,
    cohens_dz=None,
    wilcoxon=1.0,
    permutation=1.0,
    exact=True,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One row's part in a pairing.

    Attributes:
        name: the same for the same values of the same targets.
        values: (I,) finite.
    """

    name: Hashable
    values: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairing:
    """Two rows paired.

    Attributes:
        pairs: two sides whose difference is finite everywhere, or the oriented differences (I,),
            ±inf = decided, never NaN.
        clusters: (I,) numbers of the recordings.
        tie_band: largest difference that counts as none.
    """

    pairs: Floats | tuple[Side, Side]
    clusters: Codes
    tie_band: float

    @property
    def gains(self) -> Floats:
        """Oriented differences, (I,); made when asked for: a board has many pairs of few sides."""
        if isinstance(self.pairs, tuple):
            return self.pairs[0].values - self.pairs[1].values
        return self.pairs


def paired_test(differences: Floats, clusters: Sequence[str], *, tie_band: float) -> PairedTest:
    """One comparison; see `paired_tests`."""
    return paired_tests([differences], [clusters], tie_band=tie_band)[0]


def paired_tests(
    differences: Sequence[Floats], clusters: Sequence[Sequence[str]], *, tie_band: float
) -> list[PairedTest]:
    """Several comparisons, which share their draws.

    Args:
        differences: P arrays (I,), oriented, ±inf = decided, never NaN.
        clusters: P times I names.
        tie_band: largest difference that counts as none.

    Returns:
        A test each, in order.
    """
    recordings = Recordings(name for names in clusters for name in names)
    return run_tests(
        [
            Pairing(pairs=gains, clusters=recordings.codes(names), tie_band=tie_band)
            for gains, names in zip(differences, clusters, strict=True)
        ],
        recordings,
    )


def run_tests(pairings: Sequence[Pairing], recordings: Recordings) -> list[PairedTest]:
    """A test of each pairing, in order; all share the draws of the board's recordings."""
    found: list[PairedTest] = []
    for batch in _batches(pairings):
        columns = _Columns(recordings, batch)
        drawn, flipped = columns.drawn(), columns.flipped()
        for number, pairing in enumerate(batch):
            gains = pairing.gains
            ranks = signed_ranks(gains)
            interval = columns.interval(number, gains, drawn)
            p_values = columns.p_values(number, gains, ranks, flipped)
            found.append(_summary(pairing, gains, ranks, interval, p_values))
    return found


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
    pairing: Pairing,
    gains: Floats,
    ranks: Floats,
    interval: tuple[float, float] | None,
    p_values: tuple[float, float],
) -> PairedTest:
    tie_band = pairing.tie_band
    finite = gains[np.isfinite(gains)]
    wins, losses = int((gains > tie_band).sum()), int((gains < -tie_band).sum())
    total = float(np.abs(ranks).sum())
    spread = float(np.std(finite, ddof=1)) if len(finite) > 1 else 0.0
    mean = float(np.mean(finite)) if len(finite) else None
    num_clusters = int(np.count_nonzero(np.bincount(pairing.clusters)))
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


def _batches(pairings: Sequence[Pairing]) -> Iterator[list[Pairing]]:
    """Pairings in runs whose totals fit the memory."""
    batch: list[Pairing] = []
    names: set[Hashable] = set()
    for pairing in pairings:
        pairs = pairing.pairs
        names |= {side.name for side in pairs} if isinstance(pairs, tuple) else {object()}
        batch.append(pairing)
        if len(names) >= _COLUMNS_AT_ONCE:
            yield batch
            batch, names = [], set()
    if batch:
        yield batch


class _Stack:
    """Totals of each unit as columns, each once."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings
        self._known: dict[Hashable, int] = {}
        self.sums: list[Floats] = []

    def column(self, name: Hashable, values: Floats, clusters: Codes) -> int:
        if name not in self._known:
            self._known[name] = len(self.sums)
            self.sums.append(self._recordings.totals(values, clusters))
        return self._known[name]

    def stacked(self) -> Floats:
        return np.stack(self.sums, axis=1)


class _Columns:
    """Totals of each unit that a batch of pairings needs.

    A pairing's differences are one column, or two whose difference they are; so are the numbers
    that its permutation test flips. Its number of pairs is a column that is drawn too.
    """

    def __init__(self, recordings: Recordings, pairings: Sequence[Pairing]) -> None:
        self._pairings = pairings
        self._draws, self._flips = _Stack(recordings), _Stack(recordings)
        self._of_means = [self._means(pairing) for pairing in pairings]
        self._of_flips = [self._flipped(pairing) for pairing in pairings]

    def drawn(self) -> Floats:
        """Totals of each bootstrap draw, (C, D): a column's draws lie side by side."""
        return np.ascontiguousarray(bootstrap_totals(self._draws.stacked()).T)

    def flipped(self) -> Floats:
        """Totals of each draw of signs, (C, D)."""
        return np.ascontiguousarray(flipped_totals(self._flips.stacked()).T)

    def interval(self, number: int, gains: Floats, drawn: Floats) -> tuple[float, float] | None:
        """Of the mean difference; None below two recordings with a finite pair."""
        clusters = self._pairings[number].clusters[np.isfinite(gains)]
        if not len(clusters) or not (clusters != clusters[0]).any():
            return None
        plus, minus, size = self._of_means[number]
        sizes = drawn[size]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = _difference(drawn, plus, minus) / sizes
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(means[sizes > 0], [tail, 100 - tail])
        return float(low), float(high)

    def p_values(
        self, number: int, gains: Floats, ranks: Floats, flipped: Floats
    ) -> tuple[float, float]:
        """Signed-rank and sign-flip p-values, two-sided, clusters flipped together.

        The signed-rank sum of many clusters is taken as normal with variance Σ_k S_k², S_k the
        cluster's sum of signed ranks; with clusters of one item this is the usual approximation
        with its correction for ties and without one for continuity.
        """
        clusters = self._pairings[number].clusters
        if not len(gains):
            return 1.0, 1.0
        of_ranks = np.bincount(clusters, ranks)
        there = np.bincount(clusters) > 0
        if int(there.sum()) <= MOST_EXACT:
            of_gains = np.bincount(clusters, _bounded(gains))
            sums = np.stack([of_ranks[there], of_gains[there]], axis=1).astype(np.float64)
            slack = 1e-12 * np.abs(sums).sum(axis=0)
            beyond = np.abs(all_flipped_totals(sums)) >= np.abs(sums.sum(axis=0)) - slack
            signed, flips = beyond.mean(axis=0).tolist()
            return signed, flips
        spread = math.sqrt(float((of_ranks**2).sum()))
        z = abs(float(of_ranks.sum())) / spread if spread else 0.0
        return math.erfc(z / math.sqrt(2)), self._sign_flip(number, flipped)

    def _sign_flip(self, number: int, flipped: Floats) -> float:
        plus, minus = self._of_flips[number]
        sums, size = self._flips.sums[plus], np.abs(self._flips.sums[plus]).sum()
        if minus >= 0:
            size += np.abs(self._flips.sums[minus]).sum()
            sums = sums - self._flips.sums[minus]
        real = abs(float(sums.sum()))
        beyond = int((np.abs(_difference(flipped, plus, minus)) >= real - 1e-12 * size).sum())
        p_value = (1 + beyond) / (1 + DRAWS)
        squares = float((sums**2).sum())
        if beyond == 0 and squares:
            p_value = min(p_value, 2 * math.exp(-(real**2) / (2 * squares)))
        return p_value

    def _means(self, pairing: Pairing) -> tuple[int, int, int]:
        """Columns of the differences (one, or two to subtract) and of their number."""
        pairs, clusters, draws = pairing.pairs, pairing.clusters, self._draws
        if isinstance(pairs, tuple):
            plus, minus = (draws.column(side.name, side.values, clusters) for side in pairs)
            # As many pairs of each recording in all pairings of a side.
            size = draws.column(("size", pairs[0].name), np.ones(len(clusters)), clusters)
            return plus, minus, size
        finite = np.isfinite(pairs)
        plus = draws.column(object(), np.where(finite, pairs, 0.0), clusters)
        return plus, -1, draws.column(object(), finite.astype(np.float64), clusters)

    def _flipped(self, pairing: Pairing) -> tuple[int, int]:
        """Columns of what is flipped: one, or two to subtract."""
        pairs, clusters, flips = pairing.pairs, pairing.clusters, self._flips
        if isinstance(pairs, tuple):
            plus, minus = (flips.column(side.name, side.values, clusters) for side in pairs)
            return plus, minus
        return flips.column(object(), _bounded(pairs), clusters), -1


def _difference(totals: Floats, plus: int, minus: int) -> Floats:
    """One column's draws less another's, (D,); −1 for none."""
    column: Floats = totals[plus]
    return column - totals[minus] if minus >= 0 else column


def _bounded(differences: Floats) -> Floats:
    """Decided pairs as the largest finite difference (1 where there is none)."""
    finite = np.abs(differences[np.isfinite(differences)])
    largest = float(finite.max(initial=0.0)) or 1.0
    return np.clip(differences, -largest, largest)
