"""What a run tells whoever watches: items and snapshots become progress and events.

The driver's side of `bench status`. The events and their fields are described in docs/watching.md.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sepbench.harness.engines.events import EngineSnapshot
from sepbench.harness.records import FINAL, CellFacts, Failure, ItemOutcome
from sepbench.harness.run.event_log import EventLog
from sepbench.harness.run.progress import RunProgress
from sepbench.harness.run.summary import CellSummary, RunSummary
from sepbench.harness.settings import RunSettings

SECONDS_BETWEEN_SNAPSHOTS = 2.0
LONGEST_ERROR = 300  # characters; the whole text is in the database


class RunWatch:
    """Turns what the sink is told into progress and events.

    Args:
        log: where to.
        progress: on the terminal.
        cells: of this invocation; those without a `cell_id` have no items.
        settings: of this invocation.
    """

    def __init__(
        self,
        log: EventLog,
        progress: RunProgress,
        cells: Sequence[CellSummary],
        settings: RunSettings,
    ) -> None:
        self._log, self._progress = log, progress
        self._pending = {c.cell_id: c.pending for c in cells if c.cell_id is not None}
        self._done: Counter[int] = Counter()
        self._failed: Counter[int] = Counter()
        self._told: dict[int, tuple[int, int]] = {}
        self._generation = log.generation
        self._next = 0.0
        self._stopping = ""
        log.write("run-started", _started(cells, settings), head=True)
        for cell in cells:
            if cell.cell_id is not None:
                log.write("cell-planned", _planned(cell), head=True)

    @property
    def failures(self) -> int:
        """Items that failed in this run."""
        return self._failed.total()

    def recorded(self, outcomes: Sequence[ItemOutcome]) -> None:
        """These items are durable now."""
        for outcome in outcomes:
            cell = outcome.cell_id
            self._done[cell] += 1
            if outcome.status not in FINAL:
                self._failed[cell] += 1
                self._log.write("item-failed", _failed_item(outcome))
            if self._done[cell] == self._pending.get(cell):
                self._log.write("cell-ended", {"cell": cell, **self._count(cell)})
        failures = sum(outcome.status not in FINAL for outcome in outcomes)
        self._progress.advance(len(outcomes), failures)
        for cell in {outcome.cell_id for outcome in outcomes}:
            self._progress.advance_cell(cell, self._done[cell])

    def cell_loaded(self, cell_id: int, facts: CellFacts) -> None:
        """A cell's model is loaded."""
        self._log.write(
            "cell-loaded",
            {
                "cell": cell_id,
                "device": facts.device,
                "precision": facts.precision,
                "load_seconds": facts.load_seconds,
            },
        )

    def cell_failed(self, cell_id: int, failure: Failure) -> None:
        """A cell cannot be carried out."""
        # With the head, since nothing else says again later that its items are not coming.
        self._log.write("cell-failed", {"cell": cell_id, **_error(failure)}, head=True)

    def snapshot(self, snapshot: EngineSnapshot, *, stopping: str) -> None:
        """How the engine is doing.

        Args:
            snapshot: of this moment.
            stopping: why the run is being stopped, "" while it is not.
        """
        self._progress.watch(snapshot)
        if stopping and not self._stopping:
            self._log.write("stopping", {"reason": stopping})
        self._stopping = stopping
        whole = self._done.total() == sum(self._pending.values())
        if self._log.seconds >= self._next or stopping or whole:
            self._next = self._log.seconds + SECONDS_BETWEEN_SNAPSHOTS
            self._log.write("snapshot", self._snapshot_fields(snapshot))

    def _snapshot_fields(self, snapshot: EngineSnapshot) -> dict[str, Any]:
        """Counts of this run so far, of the cells that moved since the last snapshot."""
        if self._log.generation != self._generation:
            self._generation, self._told = self._log.generation, {}
        now = {cell: (self._done[cell], self._failed[cell]) for cell in self._done}
        moved = {cell: pair for cell, pair in now.items() if self._told.get(cell) != pair}
        self._told = now
        return {
            "done": self._done.total(),
            "failed": self._failed.total(),
            **asdict(snapshot),
            "cells": moved,
        }

    def _count(self, cell: int) -> dict[str, int]:
        return {"done": self._done[cell], "failed": self._failed[cell]}


def log_end(log: EventLog, status: str, summary: RunSummary) -> None:
    """The last word of a run, after whatever ended it.

    Args:
        log: of the run; closed here.
        status: finished or stopped.
        summary: of what was done.
    """
    fields = {
        "status": status,
        "done": summary.done,
        "failed": summary.failures,
        "failed_cells": len(summary.failed_cells),
    }
    log.write("run-ended", fields)
    log.close()


def _started(cells: Sequence[CellSummary], settings: RunSettings) -> dict[str, Any]:
    engine = settings.engine
    total, pending = sum(cell.total for cell in cells), sum(cell.pending for cell in cells)
    return {
        "pid": os.getpid(),
        "items": total,
        "pending": pending,
        "engine": engine.name,
        "device": settings.device,
        "batch_size": settings.batch_size,
        "workers": engine.workers,
        "loaders": engine.loaders,
        "cores": engine.cores,
    }


def _planned(cell: CellSummary) -> dict[str, Any]:
    return {
        "cell": cell.cell_id,
        "model": cell.label,
        "protocol": cell.protocol,
        "query": cell.query_kind,
        "shots": cell.shots,
        "items": cell.total,
        "pending": cell.pending,
    }


def _failed_item(outcome: ItemOutcome) -> dict[str, Any]:
    assert outcome.failure is not None
    return {
        "cell": outcome.cell_id,
        "item": outcome.item_id,
        "status": outcome.status,
        **_error(outcome.failure),
    }


def _error(failure: Failure) -> dict[str, str]:
    return {"error_type": failure.error_type, "error": failure.error[:LONGEST_ERROR]}
