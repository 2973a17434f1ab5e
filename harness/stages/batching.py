"""How many pairs go through a network together: the most that fit and pay.

More at once pays on a GPU until it is full, and hardly ever on a CPU. What fits is found by
trying: a batch that does not is halved. Neither changes a result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

# A batch of twice the size has to be so much faster for each pair, or it is not worth its memory.
GAIN_THAT_PAYS = 1.05
LARGEST_BATCH = 256
# The first call of a size also prepares what later ones reuse; the second one is timed.
CALLS_A_SIZE = 2
BUCKETS_AN_OCTAVE = 4
# A message holds about so many seconds of work, so that going to and fro costs nothing.
MESSAGE_SECONDS = 0.5
LONGEST_MESSAGE = 64

Shape = tuple[int, int]  # (channels, samples) of one unit


@dataclass(slots=True)
class _Search:
    """What is known of one length.

    Attributes:
        size: in use, or being tried.
        settled: no larger one is to be tried.
        rates: size -> units per second, the best call of those counted.
        calls: of the size being tried.
    """

    size: int = 1
    settled: bool = False
    calls: int = 0
    rates: dict[int, float] = field(default_factory=dict)


class BatchSizer:
    """The batch size for each length of input.

    Args:
        fixed: as asked for; None finds the best by trying 1, 2, 4, … on real work.
        learned: what another process of the same model found, as `learned` gives it.
    """

    def __init__(self, fixed: int | None, learned: Mapping[Shape, int] | None = None) -> None:
        self._fixed = fixed
        self._too_much: int | None = None  # samples in the smallest batch that did not fit
        self._searches = {
            bucket: _Search(size=size, settled=True) for bucket, size in (learned or {}).items()
        }
        self._last: Shape | None = None
        self._unit_seconds = 0.0

    def size(self, shape: Shape) -> int:
        """Units of this shape for the next call."""
        self._last = shape
        size = self._fixed if self._fixed is not None else self._search(shape).size
        return max(1, min(size, self._fits(shape)))

    @property
    def wanted(self) -> int:
        """Pairs that the next message should hold: a whole batch, and enough work."""
        if self._last is None:
            return 1
        size = self.size(self._last)
        if self._fixed is not None or not self._unit_seconds:
            return size
        in_time = int(MESSAGE_SECONDS / self._unit_seconds)
        return max(size, min(in_time // size * size, LONGEST_MESSAGE))

    @property
    def learned(self) -> dict[Shape, int]:
        """Bucket of lengths -> size, where the search has ended; nothing with a fixed size."""
        return {bucket: s.size for bucket, s in self._searches.items() if s.settled}

    def timed(self, shape: Shape, count: int, seconds: float) -> None:
        """A call of so many units took so long."""
        self._unit_seconds = seconds / count
        if self._fixed is not None:
            return
        search = self._search(shape)
        if search.settled or count != search.size:
            return
        search.calls += 1
        if search.calls < CALLS_A_SIZE:
            return
        search.rates[count] = count / max(seconds, 1e-9)
        before = search.rates.get(count // 2, 0.0)
        search.calls = 0
        if search.rates[count] < before * GAIN_THAT_PAYS:
            search.size, search.settled = count // 2, True
        elif 2 * count > min(LARGEST_BATCH, self._fits(shape)):
            search.settled = True
        else:
            search.size = 2 * count

    def too_large(self, shape: Shape, count: int) -> None:
        """A call of so many units ran out of memory."""
        samples = count * shape[0] * shape[1]
        self._too_much = min(samples, self._too_much or samples)
        search = self._search(shape)
        if self._fixed is None:
            known = [size for size in search.rates if size < count]
            search.size = max(known, default=max(1, count // 2))
            search.settled = True

    def _fits(self, shape: Shape) -> int:
        """The largest power of two below what once did not fit."""
        if self._too_much is None:
            return LARGEST_BATCH if self._fixed is None else self._fixed
        most = (self._too_much - 1) // (shape[0] * shape[1])
        return 1 << max(0, most.bit_length() - 1)

    def _search(self, shape: Shape) -> _Search:
        """Lengths within a fifth of each other share what is found."""
        bucket = (shape[0], round(math.log2(max(1, shape[1])) * BUCKETS_AN_OCTAVE))
        return self._searches.setdefault(bucket, _Search())
