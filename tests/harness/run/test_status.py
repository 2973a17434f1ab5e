"""`bench status`: runs that go on, that were killed, that ended, and workspaces of old."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from sepbench_testkit.machine import Cli, run, wait_until

from sepbench.harness.errors import WorkspaceError
from sepbench.harness.records import CellFacts, Failure, ItemOutcome
from sepbench.harness.run.event_log import NAME, EventLog, EventTail
from sepbench.harness.run.logged_run import latest_run
from sepbench.harness.run.progress import RunProgress
from sepbench.harness.run.status import StatusReader, WorkspaceStatus
from sepbench.harness.run.status_text import status_line, status_text
from sepbench.harness.run.summary import CellSummary
from sepbench.harness.run.watching import RunWatch
from sepbench.harness.settings import resolve
from sepbench.harness.store import DATABASE, Workspace

SMALL = ("datasets.kit.scenes=2", "metrics=[sdr]")


def status(folder: Path) -> WorkspaceStatus:
    return StatusReader(folder).read()


# --- at rest ------------------------------------------------------------------------------


def test_a_finished_workspace_is_counted_by_its_database(tmp_path: Path) -> None:
    run(tmp_path, settings=SMALL)

    found = status(tmp_path)

    assert (found.state, found.items, found.done, found.failed, found.left) == (
        *("finished", 6, 6, 0, 0),
    )
    assert [(cell.model, cell.state) for cell in found.cells] == [("kit-half", "done")]
    assert not found.alive
    assert status_text(found).splitlines()[1] == "  6 of 6 items done (100%)"
    assert status_line(found) == "finished: 6 of 6 items done (100%)"


def test_a_limit_and_a_metric_that_was_added_count(tmp_path: Path) -> None:
    run(tmp_path, settings=["datasets.kit.scenes=5", "metrics=[sdr]", "limit=2"])
    limited = status(tmp_path)
    run(tmp_path, settings=["datasets.kit.scenes=5", "metrics=[sdr,si_sdr]", "limit=1"])
    added = status(tmp_path)

    assert (limited.items, limited.done) == (6, 6)
    assert (added.items, added.done, added.cells[0].state) == (3, 3, "done")


def test_failures_are_counted_and_the_latest_are_shown(tmp_path: Path) -> None:
    settings = [*SMALL, "models.kit-faulty.how=raise"]
    run(tmp_path, models=["kit-faulty"], settings=[*settings, "datasets.kit.special={1: marked}"])

    found = status(tmp_path)
    text = status_text(found)

    assert found.failed > 0
    assert (found.done + found.failed, found.cells[0].state) == (found.items, "incomplete")
    assert found.failures[0]["model"] == "kit-faulty"
    assert "Latest failures" in text
    assert "items are missing, the same `bench run` goes on" in text


def test_without_a_log_the_database_still_tells(tmp_path: Path) -> None:
    run(tmp_path, settings=SMALL)
    (tmp_path / NAME).unlink()

    found = status(tmp_path)

    assert (found.state, found.done, found.seconds) == ("finished", 6, None)


def test_the_log_of_a_database_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    run(tmp_path, settings=SMALL)
    run(tmp_path, settings=SMALL)
    (tmp_path / DATABASE).unlink()
    log = (tmp_path / NAME).read_bytes()
    run(tmp_path, settings=SMALL)
    (tmp_path / NAME).write_bytes(log)

    assert status(tmp_path).seconds is None


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="holds no results yet"):
        status(tmp_path)


def test_the_json_holds_everything_under_a_version(tmp_path: Path) -> None:
    run(tmp_path, settings=SMALL)

    record = json.loads(status(tmp_path).as_json())

    assert record["version"] == 1
    assert record["state"] == "finished"
    assert record["cells"][0]["items"] == 6


# --- while a run goes on, fabricated --------------------------------------------------------


def outcome(cell: int, item: int, *, fails: bool = False) -> ItemOutcome:
    failure = Failure(error_type="RuntimeError", error="x" * 1000) if fails else None
    return ItemOutcome(
        cell_id=cell, item_id=item, status="failed" if fails else "scored", failure=failure
    )


def test_the_watch_logs_what_happened_and_counts_failures(tmp_path: Path) -> None:
    cells = [
        CellSummary(label="m", protocol="kit", query_kind="text", cell_id=4, pending=2, total=6),
        CellSummary(label="n", protocol="kit", query_kind="", reason="no text"),
    ]
    progress = RunProgress(2, 4, cells)
    settings = resolve(workspace=tmp_path, environment={})
    watch = RunWatch(EventLog(tmp_path, 3), progress, cells, settings)

    watch.cell_loaded(4, CellFacts(device="cpu", precision="float32", load_seconds=1.5))
    watch.recorded([outcome(4, 1), outcome(4, 2, fails=True)])
    watch.cell_failed(4, Failure(error_type="BaselineLoadError", error="gone"))

    events = EventTail(tmp_path).read()
    assert [event["event"] for event in events] == [
        *("run-started", "cell-planned", "cell-loaded", "item-failed", "cell-ended"),
        "cell-failed",
    ]
    assert events[0]["pid"] == os.getpid()
    assert (events[1]["cell"], events[1]["items"], events[1]["pending"]) == (4, 6, 2)
    assert len(events[3]["error"]) == 300
    assert (events[4]["done"], events[4]["failed"]) == (2, 1)
    assert (watch.failures, progress.done, progress.failures) == (1, 2, 1)


def test_a_cell_that_failed_is_known_from_the_newer_file_alone(tmp_path: Path) -> None:
    cells = [
        CellSummary(label="m", protocol="kit", query_kind="text", cell_id=cell, pending=6, total=6)
        for cell in (1, 2)
    ]
    settings = resolve(workspace=tmp_path, environment={})
    log = EventLog(tmp_path, 1, most_bytes=2000)
    watch = RunWatch(log, RunProgress(12, 0, cells), cells, settings)
    watch.cell_failed(2, Failure(error_type="BaselineLoadError", error="no weights"))

    while log.generation < 2:
        watch.recorded([outcome(1, 1, fails=True)])

    logged = latest_run(EventTail(tmp_path).read())
    assert logged is not None
    assert {cell: known.error for cell, known in logged.cells.items()} == {1: "", 2: "no weights"}


@pytest.fixture
def running(tmp_path: Path) -> WorkspaceStatus:
    run(tmp_path, settings=SMALL)
    found = status(tmp_path)
    return replace(
        found,
        state="running",
        holder={"pid": 4711, "host": "node7"},
        seconds=200.0,
        heard_at=1000.0,
        items_per_second=0.0123,
        seconds_left=7200.0,
        waits_for="audio to be read",
    )


def test_a_running_workspace_says_who_how_fast_and_how_long(running: WorkspaceStatus) -> None:
    text = status_text(running, now=1001.0).splitlines()

    assert "running for 3 min" in text[0]
    assert "process 4711 on node7" in text[0]
    assert text[1].endswith("· 0.0123 items/s · 2.0 h left")
    assert text[2] == "  waits for audio to be read"
    assert text[3] == ""


@pytest.mark.parametrize(("now", "shown"), [(1100.0, True), (1001.0, False), (-5000.0, False)])
def test_silence_is_said_and_a_clock_set_back_makes_no_nonsense(
    running: WorkspaceStatus, now: float, shown: bool
) -> None:
    assert ("last heard of" in status_text(running, now=now)) is shown


def test_many_cells_show_those_that_move_first(running: WorkspaceStatus) -> None:
    done = running.cells[0]
    moving = replace(done, cell=99, model="moving", state="running", items_per_second=2.0)
    many = replace(running, cells=(*[done] * 40, moving))

    text = status_text(many, now=1000.0)

    assert text.splitlines()[6].startswith("moving")
    assert "… and 11 more; --json has all" in text


# --- processes ----------------------------------------------------------------------------


def test_status_of_another_process_while_it_runs_and_after_a_kill(tmp_path: Path) -> None:
    workspace, cli = tmp_path / "ws", Cli()
    settings = ["bounds=[]", "datasets.kit.scenes=2000", "engine.name=inline", "metrics=[sdr]"]
    model = ["-m", "kit-half", "models.kit-half.seconds=0.02", "-d", "kit"]
    process = cli.start("run", *model, "--workspace", str(workspace), *settings)
    reader = StatusReader(workspace)
    try:
        log = workspace / NAME
        assert wait_until(lambda: log.is_file() or process.poll() is not None, 120)
        assert process.poll() is None, process.communicate()
        assert wait_until(lambda: reader.read().items_per_second is not None, 120)
        live = reader.read()
        shown = cli("status", str(workspace), "--json")
    finally:
        process.kill()
        process.communicate()
    after = status(workspace)
    text = cli("status", str(workspace))

    assert (live.state, live.holder["pid"], live.items) == ("running", process.pid, 6000)
    assert 0 < live.done < live.items
    assert live.seconds_left is not None
    assert live.cells[0].state == "running"
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["state"] == "running"
    assert json.loads(shown.stdout)["done"] >= live.done
    assert after.state == "killed"
    assert after.done >= json.loads(shown.stdout)["done"]
    with Workspace(workspace) as opened:
        assert after.done == opened.query("SELECT count(*) FROM results")[0][0]
    assert "ended without a word" in text.stdout
    assert "the same `bench run` goes on" in text.stdout


def test_a_run_that_was_asked_to_stop_says_why(tmp_path: Path) -> None:
    workspace, cli = tmp_path / "ws", Cli()
    settings = ["bounds=[]", "datasets.kit.scenes=2000", "engine.name=inline", "metrics=[sdr]"]
    model = ["-m", "kit-half", "models.kit-half.seconds=0.02", "-d", "kit"]
    process = cli.start("run", *model, "--workspace", str(workspace), *settings)
    tail = EventTail(workspace)
    try:
        assert wait_until(lambda: any(e["event"] == "snapshot" for e in tail.read()), 120)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    found, last = status(workspace), tail.read()

    assert process.returncode == 130
    assert (found.state, found.reason) == ("stopped", "asked to")
    assert [event["event"] for event in last][-1] == "run-ended"
    assert [e["reason"] for e in last if e["event"] == "stopping"] == ["asked to"]
    assert last[-1]["status"] == "stopped"
    assert last[-1]["done"] == found.done > 0
    assert "stopped (asked to), begun" in status_text(found)


@pytest.mark.slow
def test_a_run_in_processes_is_followed_to_its_end(tmp_path: Path) -> None:
    workspace, cli = tmp_path / "ws", Cli()
    settings = ["bounds=[]", "datasets.kit.scenes=60", "metrics=[sdr]", "engine.workers=1"]
    model = ["-m", "kit-half", "models.kit-half.seconds=0.03", "-d", "kit"]
    process = cli.start("run", *model, "--workspace", str(workspace), *settings)
    try:
        assert wait_until(lambda: (workspace / NAME).is_file(), 120)
        followed = cli("status", str(workspace), "--follow", "--json")
    finally:
        process.communicate(timeout=120)
    seen = [json.loads(line) for line in followed.stdout.splitlines()]

    assert followed.returncode == 0, followed.stderr
    assert seen[0]["state"] == "running"
    assert any(one["lanes"] and one["lanes"][0]["use"] for one in seen)
    assert any(one["waits_for"].startswith("separation by kit-half on") for one in seen)
    assert [one["done"] for one in seen] == sorted(one["done"] for one in seen)
    assert (seen[-1]["state"], seen[-1]["done"]) == ("finished", 180)
