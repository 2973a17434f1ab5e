"""The latest run as the log tells it, and what an engine waits for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from sepbench.harness.engines.events import (
    EngineSnapshot,
    LaneSnapshot,
    LaneState,
    QueueDepths,
    ScorersSnapshot,
)
from sepbench.harness.run.logged_run import LoggedRun, latest_run, snapshot_of, waits_for


def event(kind: str, t: float = 0.0, run: int = 1, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "event": kind, "run": run, "t": t, "at": 1000 + t, **fields}


def planned(cell: int, *, items: int = 10, pending: int = 10, **more: Any) -> dict[str, Any]:
    return event(
        *("cell-planned",),
        cell=cell,
        model=f"m{cell}",
        protocol="kit",
        query="text",
        shots=None,
        items=items,
        pending=pending,
        **more,
    )


def snapshot(t: float, cells: dict[str, list[int]], **fields: Any) -> dict[str, Any]:
    engine = asdict(EngineSnapshot(seconds=t)) | fields
    return event(
        *("snapshot", t),
        **{
            **engine,
            "cells": cells,
            "done": fields.get("done", sum(done for done, _ in cells.values())),
            "failed": sum(failed for _, failed in cells.values()),
        },
    )


def fold(*events: dict[str, Any]) -> LoggedRun:
    run = latest_run(events)
    assert run is not None
    return run


def test_counts_paces_and_time_left_come_from_snapshots() -> None:
    run = fold(
        event("run-started", pid=5),
        planned(1),
        planned(2, items=30, pending=20),
        snapshot(10, {}),
        snapshot(14, {"1": [8, 1]}, done=8),
    )

    assert (run.done, run.failed, run.seconds, run.at) == (8, 1, 14, 1014)
    assert run.pace.slope == pytest.approx(2.0)
    assert run.seconds_left == pytest.approx((30 - 8) / 2)
    assert run.cells[1].pace.slope == pytest.approx(2.0)
    assert run.cells[2].pace.slope is None


def test_a_cell_that_failed_is_waited_for_no_longer() -> None:
    run = fold(
        *(event("run-started"), planned(1), planned(2)),
        *(snapshot(0, {}), snapshot(5, {"1": [5, 0]})),
        event("cell-failed", 6, cell=2, error_type="BaselineLoadError", error="no weights"),
    )

    assert run.seconds_left == pytest.approx(5.0)
    assert run.cells[2].error == "no weights"


def test_only_the_latest_run_counts_also_under_the_same_number() -> None:
    first = [event("run-started"), planned(1), snapshot(9, {"1": [9, 9]})]

    other = fold(*first, event("run-started", run=2))
    anew = fold(*first, event("run-started"), planned(1))

    assert (other.run_id, other.cells, other.done) == (2, {}, 0)
    assert (anew.cells[1].done, anew.done, anew.seconds) == (0, 0, 0)


def test_a_new_file_of_the_same_run_keeps_what_is_known() -> None:
    run = fold(
        *(event("run-started"), planned(1), snapshot(9, {"1": [4, 0]})),
        *(event("run-started", 9, continued=True), planned(1, continued=True)),
    )

    assert run.cells[1].done == 4


@pytest.mark.parametrize(
    "strange",
    [
        event("snapshot", 1),
        event("cell-planned"),
        event("cell-ended", cell=1),
        event("invented", cell=99),
        {"v": 1},
        {"v": 1, "event": "snapshot", "run": 1, "t": "late", "at": None},
        snapshot(1, {"x": [1, 2]}),
    ],
)
def test_events_that_make_no_sense_are_passed_over(strange: dict[str, Any]) -> None:
    run = fold(event("run-started"), planned(1), strange, snapshot(2, {"1": [3, 0]}))

    assert run.cells[1].done == 3


def test_a_snapshot_survives_the_log_and_fields_of_later_versions() -> None:
    lane = LaneSnapshot(number=0, device="cuda:0", model="m", state="working", items=3, pid=9)
    given = EngineSnapshot(seconds=2.0, lanes=(lane,), depths=QueueDepths(reading=1))
    record = asdict(given)
    record["lanes"][0]["temperature"] = 80

    assert snapshot_of(record) == given


def lanes(*states: LaneState) -> tuple[LaneSnapshot, ...]:
    return tuple(
        LaneSnapshot(number=number, device=f"cuda:{number}", model="m", state=state)
        for number, state in enumerate(states)
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (EngineSnapshot(seconds=0), ""),
        (EngineSnapshot(seconds=0, stopping=True), "what is in flight, before it stops"),
        (
            EngineSnapshot(seconds=0, lanes=lanes("working", "waiting")),
            "separation by m on cuda:0",
        ),
        (EngineSnapshot(seconds=0, lanes=lanes("loading")), "m to load on cuda:0"),
        (EngineSnapshot(seconds=0, lanes=lanes("starting")), "m to start on cuda:0"),
        (
            EngineSnapshot(seconds=0, lanes=lanes("waiting"), depths=QueueDepths(reading=2)),
            "audio to be read",
        ),
        (
            EngineSnapshot(seconds=0, lanes=lanes("done"), depths=QueueDepths(scoring=2)),
            "scoring",
        ),
        (
            EngineSnapshot(
                seconds=0,
                lanes=lanes("working"),
                scorers=ScorersSnapshot(most=2),
                depths=QueueDepths(to_score=16),
            ),
            "scoring (16 scenes wait for 2 processes)",
        ),
    ],
)
def test_what_the_run_waits_for_is_said_in_words(given: EngineSnapshot, words: str) -> None:
    assert waits_for(given) == words
