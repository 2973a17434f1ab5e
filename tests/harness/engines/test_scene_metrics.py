"""Metrics that look at a whole scene, where a part of it was scored before."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sepbench_testkit.machine import Score, calls, rows, run, scores

from sepbench.harness.run.event_log import EventTail
from sepbench.harness.run.status import StatusReader
from sepbench.harness.store import DATABASE

GRID = ("datasets.kit.scenes=1", "query.kind=label", "metrics=[sdr,sa_sdr]")


def dog_lost(workspace: Path, *, rain: float) -> dict[tuple[str, ...], Score]:
    """A scene whose dog is to be scored again; adds so much to the scores of its rain."""
    run(workspace, settings=GRID)
    with sqlite3.connect(workspace / DATABASE) as connection:
        connection.execute("DELETE FROM scores WHERE result_id = 1")
        connection.execute("DELETE FROM results WHERE id = 1")
        connection.execute("UPDATE scores SET value = value + ?", (rain,))
    return scores(workspace)


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_only_the_missing_item_is_recorded_and_final_scores_stay(
    tmp_path: Path, engine: str
) -> None:
    quiet, workspace = tmp_path / "quiet", tmp_path / "ws"
    run(quiet, settings=GRID)
    # Within what an estimate that is made again may differ by.
    before = dog_lost(workspace, rain=1e-3)

    summary = run(workspace, engine=engine, settings=GRID)

    assert (summary.cells[0].pending, summary.done, summary.failures) == (1, 1, 0)
    after, whole = scores(workspace), scores(quiet)
    assert {key: value for key, value in after.items() if key in before} == before
    dog = {key: value for key, value in after.items() if key not in before}
    assert dog == {key: value for key, value in whole.items() if key[3] == "dog"}
    ended = [e for e in EventTail(workspace).read() if e["event"] == "cell-ended"]
    assert [event["done"] for event in ended] == [2, 1]
    found = StatusReader(workspace).read()
    assert (found.items, found.done, found.left) == (2, 2, 0)
    assert rows(workspace, "SELECT status FROM runs") == [{"status": "finished"}] * 2


def test_kept_estimates_are_what_the_missing_item_is_scored_beside(tmp_path: Path) -> None:
    workspace, log = tmp_path / "ws", tmp_path / "log"
    kept = [*GRID, "keep_audio=true", f"models.kit-half.log={log}"]
    run(workspace, settings=kept)
    whole = scores(workspace)
    with sqlite3.connect(workspace / DATABASE) as connection:
        connection.execute("DELETE FROM scores WHERE result_id = 1")
        connection.execute("DELETE FROM results WHERE id = 1")

    again = run(workspace, engine="local", settings=kept)

    assert (again.done, again.ok) == (1, True)
    assert calls(log)["separate"] == 3
    assert scores(workspace) == whole


def test_a_score_of_a_scene_is_not_made_of_two_models(tmp_path: Path) -> None:
    before = dog_lost(tmp_path / "ws", rain=70.0)

    summary = run(tmp_path / "ws", settings=GRID)

    assert (summary.done, summary.failures) == (1, 1)
    assert "The estimate is not the one scored before" in summary.example("EstimateError")
    assert scores(tmp_path / "ws") == before
