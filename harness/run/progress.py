"""Progress of a run on stderr: bars on a terminal, nothing where it is piped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sepbench.harness.engines.events import EngineSnapshot
from sepbench.harness.run.pace import Pace
from sepbench.harness.run.summary import CellSummary

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task, TaskID

MOST_CELLS = 6  # bars at once; a terminal has few lines


class RunProgress:
    """Counts items; on a terminal shows a bar for all and one for each cell that moves.

    Every bar has items/s and time left; the first also says how busy each device is.

    Args:
        total: items to do.
        already: items that were done before.
        cells: of the run; none for work that has no cells.
    """

    def __init__(self, total: int, already: int, cells: Sequence[CellSummary] = ()) -> None:
        self.done = 0
        self.failures = 0
        self._total = total
        self._already = already
        self._cells = {cell.cell_id: cell for cell in cells if cell.cell_id is not None}
        self._use: dict[int, Pace] = {}
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._bars: dict[int, TaskID] = {}

    def __enter__(self) -> RunProgress:
        if self._total and sys.stderr.isatty():
            self._bar = _make_bar()
            self._task = self._bar.add_task(
                "items", total=self._already + self._total, completed=self._already, **_fields()
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, done: int, failures: int) -> None:
        """Count finished items, some of them failures."""
        self.done += done
        self.failures += failures
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=done, failures=self.failures)

    def advance_cell(self, cell_id: int, done: int) -> None:
        """A cell has ended so many items in this run; its bar goes when it is through."""
        cell = self._cells.get(cell_id)
        if self._bar is None or cell is None:
            return
        if cell_id in self._bars:
            before = cell.total - cell.pending
            self._bar.update(self._bars[cell_id], completed=before + done)
            if done >= cell.pending:
                self._bar.remove_task(self._bars.pop(cell_id))
        elif done < cell.pending and len(self._bars) < MOST_CELLS:
            self._bars[cell_id] = self._bar.add_task(
                f"  {cell.label} · {cell.protocol}",
                total=cell.total,
                completed=cell.total - cell.pending + done,
                **_fields(),
            )

    def watch(self, snapshot: EngineSnapshot) -> None:
        """Show how busy the devices and the scoring processes are."""
        if self._bar is None or self._task is None:
            return
        parts = []
        for lane in snapshot.lanes:
            pace = self._use.setdefault(lane.number, Pace())
            pace.add(lane.busy_seconds + lane.idle_seconds, lane.busy_seconds)
            busy = lane.state if pace.slope is None else f"{pace.slope:.0%}"
            parts.append(f"{lane.device} {busy}")
        scorers = snapshot.scorers
        if scorers.processes:
            parts.append(f"scoring {scorers.working}/{scorers.processes}")
        self._bar.update(self._task, use=" · ".join(parts))


def _fields() -> dict[str, Any]:
    """What our columns show beside rich's own."""
    return {"failures": 0, "use": ""}


def _make_bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Items per second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} items/s" if task.speed else "–")

    class FailureColumn(ProgressColumn):
        """Failures, once there are any."""

        def render(self, task: Task) -> Text:
            count = task.fields["failures"]
            return Text(f"{count} failed", style="red") if count else Text("")

    class UseColumn(ProgressColumn):
        """How busy each device is."""

        def render(self, task: Task) -> Text:
            return Text(task.fields["use"], style="dim")

    columns: list[ProgressColumn | str] = [
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        FailureColumn(),
        UseColumn(),
    ]
    return Progress(*columns, console=Console(stderr=True), transient=True)
