"""Progress on a terminal, and its absence elsewhere."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from sepbench.harness.engines.events import EngineSnapshot, LaneSnapshot, ScorersSnapshot
from sepbench.harness.run.progress import MOST_CELLS, RunProgress
from sepbench.harness.run.summary import CellSummary


def cell(number: int, *, pending: int = 4, total: int = 6) -> CellSummary:
    return CellSummary(
        label=f"m{number}",
        protocol="kit",
        query_kind="text",
        cell_id=number,
        pending=pending,
        total=total,
    )


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar believes to be on a terminal; nothing is drawn."""
    console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    return console


def shown(progress: RunProgress) -> list[str]:
    """The lines as they stand now, with single blanks."""
    assert progress._bar is not None
    paper = Console(file=io.StringIO(), width=160, color_system=None)
    with paper.capture() as capture:
        paper.print(progress._bar.get_renderable())
    return [" ".join(line.split()) for line in capture.get().splitlines()]


@pytest.mark.usefixtures("terminal")
def test_a_terminal_shows_all_items_and_each_cell_that_moves() -> None:
    with RunProgress(8, 4, [cell(1), cell(2)]) as progress:
        progress.advance(3, 1)
        progress.advance_cell(1, 3)
        lines = shown(progress)
        progress.advance(1, 0)
        progress.advance_cell(1, 4)
        after = shown(progress)

    assert lines[0].startswith("items")
    assert "7/12" in lines[0]
    assert "1 failed" in lines[0]
    assert lines[1].startswith("m1 · kit")
    assert "5/6" in lines[1]
    assert len(lines) == 2
    assert len(after) == 1


@pytest.mark.usefixtures("terminal")
def test_device_use_stands_beside_the_items() -> None:
    def lanes(busy: float, idle: float) -> EngineSnapshot:
        lane = LaneSnapshot(
            number=0, device="cuda:0", state="working", busy_seconds=busy, idle_seconds=idle
        )
        scorers = ScorersSnapshot(processes=3, working=2)
        return EngineSnapshot(seconds=busy + idle, lanes=(lane,), scorers=scorers)

    with RunProgress(8, 0, [cell(1)]) as progress:
        progress.watch(lanes(0, 0))
        first = shown(progress)
        progress.watch(lanes(9, 1))
        then = shown(progress)

    assert first[0].endswith("cuda:0 working · scoring 2/3")
    assert then[0].endswith("cuda:0 90% · scoring 2/3")


@pytest.mark.usefixtures("terminal")
def test_no_more_cells_are_shown_than_a_terminal_has_room_for() -> None:
    cells = [cell(number) for number in range(40)]

    with RunProgress(160, 0, cells) as progress:
        for number in range(40):
            progress.advance_cell(number, 1)
        lines = shown(progress)

    assert len(lines) == 1 + MOST_CELLS


def test_where_it_is_piped_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(2, 0, [cell(1)]) as progress:
        progress.advance(2, 1)
        progress.advance_cell(1, 2)
        progress.watch(EngineSnapshot(seconds=1.0))

    assert (progress.done, progress.failures) == (2, 1)
    assert capsys.readouterr() == ("", "")
