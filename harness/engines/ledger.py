"""Finished items on their way to the sink, and what is counted of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from sepbench.harness.engines.contract import Sink
from sepbench.harness.engines.events import EngineSnapshot
from sepbench.harness.records import ItemOutcome

SECONDS_BETWEEN_SNAPSHOTS = 0.5
_STAGES = ("load", "condition", "separate", "score")


class Ledger:
    """Gathers outcomes until they are recorded; tells the sink how the engine is doing.

    Attributes:
        cells: cell id -> items ended.
        stages: stage -> seconds spent on the items that ended.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._finished: list[ItemOutcome] = []
        self._began = time.monotonic()
        self._next_snapshot = 0.0
        self.cells: Counter[int] = Counter()
        self.stages: Counter[str] = Counter()

    def add(self, outcomes: Sequence[ItemOutcome]) -> None:
        """These are through."""
        self._finished += outcomes

    def flush(self) -> None:
        """Record what is through, all of it at once."""
        if not self._finished:
            return
        outcomes, self._finished = self._finished, []
        for outcome in outcomes:
            self.cells[outcome.cell_id] += 1
            for stage in _STAGES:
                self.stages[stage] += getattr(outcome, f"{stage}_seconds")
        self._sink.record(outcomes)

    def tell(self, snapshot: Callable[[float], EngineSnapshot], *, last: bool = False) -> None:
        """Show the sink a snapshot, if it is time to.

        Args:
            snapshot: makes one, given the seconds since the engine began.
            last: at the end, always.
        """
        now = time.monotonic()
        if now >= self._next_snapshot or last:
            self._next_snapshot = now + SECONDS_BETWEEN_SNAPSHOTS
            self._sink.watch(snapshot(now - self._began))
