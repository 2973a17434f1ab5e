"""The rows of a board by target, ready to be paired with each other.

The rules for what has no value are here: undefined because of the reference or missing leaves the
pair out, undefined because of the estimate is a loss.

Shapes: R rows of the board, T targets, I targets of a pair of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.item_scores import ItemScores
from sepbench.harness.paired import Pairing, Side

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Codes = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairItem:
    """One target as both models have it.

    Attributes:
        a, b: values; None where the model gave no usable estimate.
        gain: how much better A is, in the metric's unit; ±inf where the pair has no size.
    """

    scene: str
    target: str
    a: float | None
    b: float | None
    gain: float


@dataclass(frozen=True, kw_only=True)
class TargetScores:
    """One metric of a board's rows by (scene, target).

    Attributes:
        values: (R, T) means over the queries, oriented so that higher is better; −inf where the
            row gave no usable estimate; NaN where the target cannot be paired.
        lost: (R, T) no usable estimate, for one query or more.
        undefined: (R, T) without a score because of the reference.
        tried: (R, T) the row has the target at all.
    """

    values: Floats
    lost: Flags
    undefined: Flags
    tried: Flags


class Targets:
    """The targets of a board in list order, whatever its rows were asked.

    Args:
        rows: any metric of each row.

    Attributes:
        keys: T (scene, target).
        clusters: T recordings.
    """

    def __init__(self, rows: Sequence[ItemScores]) -> None:
        found: dict[tuple[str, str], str] = {}
        for scores in rows:
            found |= dict(zip(scores.keys, scores.clusters, strict=True))
        self.keys = list(found)
        self.clusters = list(found.values())
        place = {key: number for number, key in enumerate(self.keys)}
        self._places: list[Codes] = [
            np.fromiter((place[key] for key in scores.keys), np.intp, len(scores.keys))
            for scores in rows
        ]

    def tabulate(self, rows: Sequence[ItemScores | None], higher_is_better: bool) -> TargetScores:
        """One metric by target, averaged over the queries; None for a row without it."""
        shape = len(rows), len(self.keys)
        values = np.full(shape, np.nan)
        lost, undefined, tried = (np.zeros(shape, bool) for _ in range(3))
        for row, (scores, places) in enumerate(zip(rows, self._places, strict=True)):
            if scores is None:
                continue
            causes = np.array(scores.causes, dtype=object)
            missing = np.zeros(shape[1], bool)
            for flags, cause in ((lost[row], "estimate"), (undefined[row], "reference")):
                flags[places[causes == cause]] = True
            missing[places[causes == "missing"]] = True
            tried[row, places] = True
            oriented = scores.values if higher_is_better else -scores.values
            values[row] = _means(oriented, places, shape[1])
            values[row, lost[row]] = -np.inf
            values[row, undefined[row] | missing | ~tried[row]] = np.nan
        return TargetScores(values=values, lost=lost, undefined=undefined, tried=tried)


def _means(values: Floats, places: Codes, count: int) -> Floats:
    """Mean of each target's values, (T,); −inf where one is: it is not hidden by good ones."""
    sizes = np.bincount(places, minlength=count)
    means = np.full(count, np.nan)
    if sizes.max(initial=0) <= 1:
        means[places] = values
        return means
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.bincount(places, values, minlength=count) / sizes
    means[places[values == -np.inf]] = -np.inf
    return means


class PairedTargets:
    """One metric of two rows, at the targets that both have.

    Args:
        targets: of the board.
        scores: of the metric.
        rows: A and B.

    Attributes:
        rows: likewise.
        places: (I,) which of the board's targets.
        gains: (I,) how much better A is; ±inf for pairs without a size, 0 for equal infinities.
    """

    def __init__(self, *, targets: Targets, scores: TargetScores, rows: tuple[int, int]) -> None:
        self._targets, self._scores, self.rows = targets, scores, rows
        a, b = (scores.values[row] for row in rows)
        self.places: Codes = np.flatnonzero(~(np.isnan(a) | np.isnan(b)))
        first, second = a[self.places], b[self.places]
        with np.errstate(invalid="ignore"):
            self.gains: Floats = np.where(first == second, 0.0, first - second)
        self._undefined = scores.undefined[rows[0]] | scores.undefined[rows[1]]

    @property
    def num_undefined(self) -> int:
        """Targets that the reference leaves without a score."""
        return int(self._undefined.sum())

    @property
    def num_unmatched(self) -> int:
        """Other targets that are no pair: one row alone has them, or has a score of them."""
        a, b = self.rows
        either = (self._scores.tried[a] | self._scores.tried[b]) & ~self._undefined
        return int(either.sum()) - len(self.places)

    def lost(self, side: int) -> int:
        """Paired targets without a usable estimate of A (0) or B (1)."""
        return int(self._scores.lost[self.rows[side], self.places].sum())

    def largest(
        self, count: int, *, higher_is_better: bool
    ) -> tuple[tuple[PairItem, ...], tuple[PairItem, ...]]:
        """The items with the largest differences for A and for B, largest first."""
        if not count:
            return (), ()
        order = np.argsort(self.gains, kind="stable")
        for_a = [k for k in order[::-1][:count] if self.gains[k] > 0]
        for_b = [k for k in order[:count] if self.gains[k] < 0]
        sign = 1.0 if higher_is_better else -1.0  # shown as they were computed
        return self._items(for_a, sign), self._items(for_b, sign)

    def _items(self, which: Sequence[int], sign: float) -> tuple[PairItem, ...]:
        found = []
        for index in which:
            place = int(self.places[index])
            scene, target = self._targets.keys[place]
            a, b = (
                None
                if self._scores.lost[row, place]
                else sign * float(self._scores.values[row, place])
                for row in self.rows
            )
            gain = float(self.gains[index])
            found.append(PairItem(scene=scene, target=target, a=a, b=b, gain=gain))
        return tuple(found)


class Families:
    """Rows whose values are finite for the same targets: their differences need no own totals.

    Args:
        metric: name.
        scores: of the metric.
        clusters: (T,) numbers of the recordings.
    """

    def __init__(self, metric: str, scores: TargetScores, clusters: Codes) -> None:
        self._metric, self._scores, self._clusters = metric, scores, clusters
        self._known: dict[bytes, int] = {}
        self._family = [self._number(values) for values in scores.values]
        self._sides: dict[int, Side] = {}
        self._shared: dict[int, Codes] = {}

    def pairing(self, pair: PairedTargets, tie_band: float) -> Pairing:
        """The pair as it is tested; pairs of one family share what is kept of them."""
        a, b = pair.rows
        family = self._family[a]
        if family < 0 or family != self._family[b]:
            clusters = self._clusters[pair.places]
            return Pairing(pairs=pair.gains, clusters=clusters, tie_band=tie_band)
        if family not in self._shared:
            self._shared[family] = self._clusters[pair.places]
        for row in (a, b):
            if row not in self._sides:
                values = self._scores.values[row, pair.places]
                self._sides[row] = Side(name=(self._metric, row), values=values)
        sides = self._sides[a], self._sides[b]
        return Pairing(pairs=sides, clusters=self._shared[family], tie_band=tie_band)

    def _number(self, values: Floats) -> int:
        """Of the row's family; −1 for a row with a value that has no size."""
        if np.isinf(values).any():
            return -1
        return self._known.setdefault(np.packbits(np.isnan(values)).tobytes(), len(self._known))
