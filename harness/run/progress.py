"""Progress of a run on stderr: a bar on a terminal, nothing where it is piped."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task, TaskID


class RunProgress:
    """Counts items; shows a bar with items/s, time left and failures where stderr is a terminal.

    Args:
        total: items to do.
        already: items that were done before.
    """

    def __init__(self, total: int, already: int) -> None:
        self.done = 0
        self.failures = 0
        self._total = total
        self._already = already
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> RunProgress:
        if self._total and sys.stderr.isatty():
            self._bar = _make_bar()
            self._task = self._bar.add_task(
                "items", total=self._already + self._total, completed=self._already, failures=0
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

    columns: list[ProgressColumn | str] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        FailureColumn(),
    ]
    return Progress(*columns, console=Console(stderr=True), transient=True)
