"""Whole recordings drawn again, or their signs flipped: what intervals and tests have in common.

One set of draws serves every model and metric of a board: a draw says how often each recording is
taken, so a bootstrap total of many numbers is one product of draw weights with the recordings'
own totals. Seeded: as many recordings, same draws.

More than `MOST_UNITS` recordings are put into that many groups of equal size by a seeded shuffle,
and groups are drawn or flipped instead. Groups of independent recordings are as independent as
the recordings, so intervals and tests stay right; only the spread is known from fewer units (to
about 1 %), and a board of a million scores takes seconds.

Shapes: K recordings, U units (recordings, or groups of them), D draws, C columns of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.intp]
    Weights = npt.NDArray[np.uint8]
    Signs = npt.NDArray[np.int8]

DRAWS = 10_000
MOST_UNITS = 4_000
_SEED = 20260102
_NUMBERS_AT_ONCE = 4_000_000


class Recordings:
    """The recordings of a board as numbers, in the order of their names.

    Args:
        names: of every item or target; repeated as they come.

    Attributes:
        count: K, different names.
        num_units: U, what is drawn or flipped together.
    """

    def __init__(self, names: Iterable[str]) -> None:
        ordered = sorted(set(names))
        self.count = len(ordered)
        self.num_units = min(self.count, MOST_UNITS)
        units = np.arange(self.count)
        if self.count > MOST_UNITS:
            units = np.random.default_rng(_SEED).permutation(self.count) % MOST_UNITS
        self._number = dict(zip(ordered, range(self.count), strict=True))
        self._units: Codes = units.astype(np.intp)

    def codes(self, names: Sequence[str]) -> Codes:
        """The recording's number of each name, (I,) in 0 … K − 1."""
        number = self._number
        return np.fromiter((number[name] for name in names), np.intp, len(names))

    def totals(self, values: Floats, codes: Codes) -> Floats:
        """Sum of the values of each unit, (U,)."""
        units = self._units[codes]
        return np.bincount(units, values, minlength=self.num_units).astype(np.float64)

    def grouped_totals(self, values: Floats, codes: Codes, groups: Codes, count: int) -> Floats:
        """Sum of the values of each unit and group, (U, G)."""
        cell = self._units[codes] * count + groups
        sums = np.bincount(cell, values, minlength=self.num_units * count)
        return sums.reshape(self.num_units, count).astype(np.float64)

    def units(self, codes: Codes) -> Codes:
        """The unit of each recording number, (I,)."""
        return self._units[codes]


def bootstrap_totals(sums: Floats, draws: int = DRAWS) -> Floats:
    """Totals when as many units as there are come again with replacement.

    Args:
        sums: (U, C) of each unit.
        draws: D, the first of all.

    Returns:
        (D, C).
    """
    return _product(_weights(len(sums), draws), sums)


def bootstrap_weights(num_units: int, draws: int) -> Weights:
    """How often each unit comes in each draw, (D, U)."""
    return _weights(num_units, draws)


def flipped_totals(sums: Floats) -> Floats:
    """Totals (D, C) when the sign of each unit's sums (U, C) is drawn anew."""
    return _product(_signs(len(sums)), sums)


def all_flipped_totals(sums: Floats) -> Floats:
    """Totals (2^U, C) under every pattern of signs; U is small."""
    bits = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))
    patterns = 1.0 - 2.0 * (bits & 1)
    return np.asarray(patterns @ sums, dtype=np.float64)


def _product(factors: Weights | Signs, sums: Floats) -> Floats:
    totals = np.empty((len(factors), sums.shape[1]))
    for start, stop in _parts(*factors.shape):
        totals[start:stop] = factors[start:stop].astype(np.float64) @ sums
    return totals


# As bytes, 40 MB for the largest board; a count beyond 255 does not happen. Fewer draws are the
# first of more.
@lru_cache(maxsize=2)
def _weights(num_units: int, draws: int) -> Weights:
    rng = np.random.default_rng(_SEED)
    weights = np.empty((draws, num_units), np.uint8)
    for start, stop in _parts(draws, num_units):
        count = stop - start
        drawn = rng.integers(num_units, size=(count, num_units))
        drawn += num_units * np.arange(count)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=count * num_units)
        weights[start:stop] = counts.reshape(count, num_units)
    return weights


@lru_cache(maxsize=1)
def _signs(num_units: int) -> Signs:
    rng = np.random.default_rng(_SEED + 1)
    signs = np.empty((DRAWS, num_units), np.int8)
    for start, stop in _parts(DRAWS, num_units):
        ones = rng.integers(0, 2, size=(stop - start, num_units), dtype=np.int8)
        signs[start:stop] = 1 - 2 * ones
    return signs


def _parts(draws: int, num_units: int) -> Iterator[tuple[int, int]]:
    """Draws in parts that fit the memory: from, to."""
    size = max(1, _NUMBERS_AT_ONCE // max(1, num_units))
    for start in range(0, draws, size):
        yield start, min(start + size, draws)
