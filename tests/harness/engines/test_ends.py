"""How runs end: early, by an exception, or well; and what they leave behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from pathlib import Path

import pytest
from sepbench_testkit.machine import (
    Cli,
    calls,
    rows,
    run,
    scores,
    wait_until,
)

from sepbench.harness.engines.arena import PREFIX
from sepbench.harness.errors import ScratchError, TooManyFailuresError, WorkspaceError
from sepbench.harness.run import grid
from sepbench.harness.run.event_log import EventTail
from sepbench.harness.store import Workspace


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scratch folder of the test's own."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(grid, "default_folders", lambda workspace: (folder,))
    return folder


def left_in(scratch: Path) -> list[Path]:
    return list(scratch.glob(f"{PREFIX}*"))


def test_a_good_run_leaves_neither_processes_nor_scratch(tmp_path: Path, scratch: Path) -> None:
    summary = run(tmp_path / "ws", engine="local", settings=["datasets.kit.scenes=2"])

    assert summary.ok
    assert summary.done == 6
    assert multiprocessing.active_children() == []
    assert left_in(scratch) == []


def test_an_exception_leaves_neither_processes_nor_scratch_and_keeps_what_is_done(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Workspace.record
    batches: list[int] = []

    def fail_the_second_time(self: Workspace, outcomes: list[object], run_id: int) -> None:
        batches.append(len(outcomes))
        if len(batches) > 1:
            raise WorkspaceError("the disk is gone")
        record(self, outcomes, run_id)  # type: ignore[arg-type]

    monkeypatch.setattr(Workspace, "record", fail_the_second_time)

    with pytest.raises(WorkspaceError, match="the disk is gone"):
        run(tmp_path / "ws", engine="local", settings=["datasets.kit.scenes=20", "batch_size=1"])

    assert multiprocessing.active_children() == []
    assert left_in(scratch) == []
    assert len(scores(tmp_path / "ws")) == 2 * batches[0]
    assert rows(tmp_path / "ws", "SELECT status FROM runs") == [{"status": "stopped"}]


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_too_many_failures_stop_the_run_and_keep_what_is_done(tmp_path: Path, engine: str) -> None:
    with pytest.raises(TooManyFailuresError, match=r"Stopped after \d+ failed.*the same command"):
        run(
            tmp_path / "ws",
            models=["kit-faulty"],
            engine=engine,
            settings=["max_failures=2", "datasets.kit.scenes=300", "batch_size=1"],
        )

    found = rows(tmp_path / "ws", "SELECT status, count(*) AS n FROM results GROUP BY status")
    counts = {row["status"]: row["n"] for row in found}
    assert 2 <= counts["failed"] < 150
    assert 1 <= counts["scored"] < 300


def test_no_room_for_scratch_is_an_error_with_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "default_folders", lambda workspace: (tmp_path / "gone",))

    with pytest.raises(ScratchError, match=r"No scratch folder .*gone: No such file"):
        run(tmp_path / "ws", engine="local", settings=["datasets.kit.scenes=1"])

    assert multiprocessing.active_children() == []


def test_scenes_that_cannot_be_read_fail_and_the_others_are_scored(tmp_path: Path) -> None:
    summary = run(tmp_path / "ws", settings=["datasets.kit.special={2: missing}"])

    assert [(kind, count) for (_, kind), (count, _) in summary.errors.items()] == [
        ("MissingFileError", 3)
    ]
    assert summary.example("MissingFileError") == "scene-00002, dog: dog-2.wav is missing."
    assert summary.done == 18
    assert len(scores(tmp_path / "ws")) == 2 * 15


def test_a_model_that_cannot_load_fails_its_cells_and_no_other(tmp_path: Path) -> None:
    summary = run(
        tmp_path / "ws",
        models=["kit-unloadable", "kit-half"],
        datasets=["kit", "kit:kit-16k"],
        settings=["datasets.kit.scenes=1"],
    )

    assert [label for label, _ in summary.failed_cells] == ["kit-unloadable"]
    assert "weights.pt is missing" in summary.failed_cells[0][1]
    assert {key[:2] for key in scores(tmp_path / "ws")} == {
        ("kit-half", "kit"),
        ("kit-half", "kit-16k"),
    }


def test_conditions_are_computed_once_per_unique_query(tmp_path: Path) -> None:
    log = tmp_path / "log"

    run(tmp_path / "ws", settings=[f"models.kit-half.log={log}", "datasets.kit.scenes=5"])

    assert calls(log) == {"condition": 3, "separate": 15}


# --- what needs no model ------------------------------------------------------------------


def test_kept_estimates_are_scored_without_a_model_and_a_spoiled_one_fails_alone(
    tmp_path: Path,
) -> None:
    workspace, log = tmp_path / "ws", tmp_path / "log"
    kept = ["datasets.kit.scenes=3", f"models.kit-half.log={log}", "query.kind=label"]
    run(workspace, settings=[*kept, "metrics=[sdr]", "keep_audio=true"])
    done = calls(log)
    spoiled = sorted(workspace.glob("audio/*/*.wav"))[0]
    spoiled.write_bytes(spoiled.read_bytes()[:100])

    added = run(workspace, engine="local", settings=[*kept, "metrics=[sdr,si_sdr]"])

    # Half of a mixture is one estimate for both items of its scene.
    assert (added.done, added.failures) == (6, 2)
    assert [kind for _, kind in added.errors] == ["AudioFileError"]
    assert calls(log) == done
    assert len(scores(workspace)) == 6 + 4


@pytest.mark.parametrize(
    ("setting", "error_type", "failures"),
    [
        ("datasets.kit.salt=other", "ChangedFileError", 9),
        ("datasets.kit.special={1: missing}", "MissingFileError", 3),
    ],
)
def test_scenes_that_are_not_what_they_were_fail_before_a_model_sees_them(
    tmp_path: Path, setting: str, error_type: str, failures: int
) -> None:
    grid_ = ["datasets.kit.scenes=3", "keep_audio=true"]
    run(tmp_path / "ws", settings=[*grid_, "metrics=[sdr]"])

    again = run(tmp_path / "ws", engine="local", settings=[*grid_, setting, "metrics=[si_sdr]"])

    assert (again.done, again.failures) == (9, failures)
    assert [kind for _, kind in again.errors] == [error_type]


# --- Ctrl-C -------------------------------------------------------------------------------


def test_the_last_event_of_a_run_that_was_cut_short_counts_what_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Workspace.record

    def record_and_stop(self: Workspace, outcomes: list[object], run_id: int) -> None:
        record(self, outcomes, run_id)  # type: ignore[arg-type]
        if recorded(tmp_path / "ws") == 6:
            raise KeyboardInterrupt  # a second Ctrl-C

    monkeypatch.setattr(Workspace, "record", record_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "ws", settings=["datasets.kit.scenes=3", "metrics=[sdr]"])

    last = EventTail(tmp_path / "ws").read()[-1]
    assert (last["event"], last["status"], recorded(tmp_path / "ws")) == ("run-ended", "stopped", 6)
    # What was recorded last was not told to the log any more.
    assert last["done"] == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_asked_to_stop_finishes_what_is_in_flight_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    workspace, cli, log = tmp_path / "ws", Cli(), tmp_path / "log"
    process = in_a_group(
        cli,
        *("run", "-m", "kit-half", "-d", "kit", "--workspace", workspace),
        *("datasets.kit.scenes=500", "models.kit-half.seconds=0.02", "bounds=[]"),
        *("metrics=[sdr]", "batch_size=2", f"models.kit-half.log={log}"),
    )
    assert wait_until(lambda: recorded(workspace) > 0, 60)

    # To every process of the group, as terminals, Slurm and systemd do.
    os.killpg(process.pid, number)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Stopping: what is in flight is finished and recorded." in stderr
    assert "Stopped. What is done is kept; the same command goes on." in stderr
    assert "Traceback" not in stderr
    # What the model has separated is recorded, and nothing else was begun.
    assert 0 < recorded(workspace) == calls(log)["separate"] < 1500
    assert rows(workspace, "SELECT status FROM runs") == [{"status": "stopped"}]
    assert rows(workspace, "SELECT count(*) AS failures FROM failures") == [{"failures": 0}]
    ended = EventTail(workspace).read()
    restarts = [lane["restarts"] for e in ended if e["event"] == "snapshot" for lane in e["lanes"]]
    assert set(restarts) == {0}
    assert cli.all_gone()
    assert cli.scratch(workspace) == []


def in_a_group(cli: Cli, *arguments: str | Path) -> subprocess.Popen[str]:
    """Begin a command as the first process of a group of its own."""
    process = subprocess.Popen(
        [*cli.command, *map(str, arguments)],
        env=cli.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    cli.started.append(process.pid)
    return process


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    workspace, cli, log = tmp_path / "ws", Cli(), tmp_path / "log"
    process = cli.start(
        *("run", "-m", "kit-half", "-d", "kit", "--workspace", workspace),
        *("models.kit-half.seconds=600", f"models.kit-half.log={log}", "bounds=[]"),
    )
    assert wait_until(log.exists, 60)  # conditions are made; the first batch takes an hour
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)

    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Stopped. What is done is kept; the same command goes on." in stderr
    assert "Traceback" not in stderr
    assert cli.all_gone()
    assert cli.scratch(workspace) == []


def recorded(workspace: Path) -> int:
    """Items with a result; 0 as long as there is no workspace."""
    try:
        return int(rows(workspace, "SELECT count(*) AS n FROM results")[0]["n"])
    except WorkspaceError:
        return 0
