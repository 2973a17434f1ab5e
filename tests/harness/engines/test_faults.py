"""What goes wrong on machines, done on purpose: afterwards the table is that of a quiet run."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sepbench_testkit.machine import (
    Cli,
    Score,
    fill,
    remount,
    rows,
    run,
    scores,
    statuses,
    wait_until,
)
from sepbench_testkit.wavs import WavKit

import sepbench.harness
from sepbench.harness.engines.lane import Lane
from sepbench.harness.engines.scorer import Scorer
from sepbench.harness.errors import NoRoomError, WorkspaceError, WorkspaceLockedError
from sepbench.harness.run.summary import RunSummary
from sepbench.harness.store import Workspace

KIT = "sepbench_testkit.faults"
SCENES = 8
GRID = (f"datasets.kit.scenes={SCENES}", "metrics=[sdr,si_sdr]", "batch_size=2")
Table = dict[tuple[str, ...], Score]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Scores of half the mixture, as nothing in the way gives them."""
    workspace = tmp_path_factory.mktemp("quiet") / "ws"
    run(workspace, settings=GRID)
    return scores(workspace)


def nothing_lost_or_doubled(workspace: Path, undisturbed: Table, label: str = "kit-half") -> None:
    found = {(label, *key[1:]): value for key, value in scores(workspace).items()}
    assert found == {(label, *key[1:]): value for key, value in undisturbed.items()}
    results = rows(workspace, "SELECT cell_id, item_id, attempts, status FROM results")
    assert max(Counter((r["cell_id"], r["item_id"]) for r in results).values()) == 1
    assert {r["status"] for r in results} == {"scored"}


def on_the_second(
    monkeypatch: pytest.MonkeyPatch, kind: type, strike: Callable[[int], None]
) -> list[int]:
    """Strike the process that is handed the second piece of work; returns whom it hit."""
    submit, number, hit = kind.submit, itertools.count(1), list[int]()  # type: ignore[attr-defined]

    def submit_and_strike(self: Lane | Scorer, work: object) -> None:
        submit(self, work)
        if next(number) == 2:
            assert self.child is not None
            assert self.child.pid is not None
            hit.append(self.child.pid)
            strike(self.child.pid)

    monkeypatch.setattr(kind, "submit", submit_and_strike)
    return hit


@pytest.mark.parametrize("kind", [Lane, Scorer])
def test_a_process_killed_at_work_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Table, kind: type
) -> None:
    hit = on_the_second(monkeypatch, kind, lambda pid: os.kill(pid, signal.SIGKILL))

    summary = run(tmp_path / "ws", engine="local", settings=GRID)

    assert len(hit) == 1
    assert summary.ok
    nothing_lost_or_doubled(tmp_path / "ws", undisturbed)


@pytest.mark.parametrize("kind", [Lane, Scorer])
def test_a_process_that_hangs_once_costs_nothing_but_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Table, kind: type
) -> None:
    hit = on_the_second(monkeypatch, kind, lambda pid: os.kill(pid, signal.SIGSTOP))

    summary = run(tmp_path / "ws", engine="local", settings=[*GRID, "engine.item_timeout=1"])

    assert len(hit) == 1
    assert summary.ok
    nothing_lost_or_doubled(tmp_path / "ws", undisturbed)


def test_an_item_that_kills_two_workers_is_at_fault_and_no_other_is_lost(tmp_path: Path) -> None:
    summary = run(
        tmp_path / "ws",
        models=[f"m={KIT}:Segfault"],
        engine="local",
        settings=[*GRID, "datasets.kit.special={1: marked}"],
    )

    found = statuses(tmp_path / "ws", "m")
    assert found.pop((1, "a marked dog barks")) == ("failed", "ProcessDiedError")
    assert set(found.values()) == {("scored", "")}
    assert "killed by signal 11" in summary.example("ProcessDiedError")
    assert summary.engine is not None
    assert summary.engine.lanes[0].restarts == 2


def test_an_item_alone_in_its_batch_gets_a_second_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Table
) -> None:
    hit = on_the_second(monkeypatch, Lane, lambda pid: os.kill(pid, signal.SIGKILL))

    summary = run(tmp_path / "ws", engine="local", settings=[*GRID, "batch_size=1"])

    assert len(hit) == 1
    assert summary.ok
    nothing_lost_or_doubled(tmp_path / "ws", undisturbed)


def test_a_model_that_leaks_is_started_anew_before_memory_ends(
    tmp_path: Path, undisturbed: Table
) -> None:
    log = tmp_path / "log"

    summary = run(
        tmp_path / "ws",
        models=[f"m={KIT}:Leaky"],
        engine="local",
        # torch alone takes 300 to 600 MB; twelve calls leave 1.2 GB behind.
        settings=[
            *GRID,
            "models.m.megabytes=100",
            f"models.m.log={log}",
            "engine.model_memory_mb=1000",
        ],
    )

    processes = {line for line in log.read_text("utf-8").splitlines() if line.startswith("load")}
    assert summary.ok
    assert len(processes) >= 2
    nothing_lost_or_doubled(tmp_path / "ws", undisturbed, "m")


# --- files --------------------------------------------------------------------------------


def wav_run(folder: Path, workspace: Path, engine: str = "local") -> RunSummary:
    return run(
        workspace,
        datasets=["kit-wav"],
        engine=engine,
        settings=[
            f"datasets.kit-wav.root='{folder}'",
            "datasets.kit-wav.scenes=40",
            "batch_size=2",
            "engine.loaders=1",
        ],
    )


def test_a_file_that_vanishes_fails_its_items_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WavKit.write(tmp_path)
    record, file = Workspace.record, tmp_path / "39.wav"

    def record_and_remove(self: Workspace, outcomes: list[object], run_id: int) -> None:
        record(self, outcomes, run_id)  # type: ignore[arg-type]
        if file.exists():
            file.rename(tmp_path / "elsewhere")

    monkeypatch.setattr(Workspace, "record", record_and_remove)
    first = wav_run(tmp_path, tmp_path / "ws")
    monkeypatch.undo()
    (tmp_path / "elsewhere").rename(file)
    second = wav_run(tmp_path, tmp_path / "ws")
    wav_run(tmp_path, tmp_path / "quiet", engine="inline")

    assert first.done == 40
    assert [kind for _, kind in first.errors] == ["MissingFileError"]
    assert first.failures == second.done >= 1
    assert second.ok
    assert scores(tmp_path / "ws") == scores(tmp_path / "quiet")


def test_a_disk_that_fills_up_stops_the_run_in_order_and_the_same_command_goes_on(
    file_system: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = file_system("full", megabytes=8)  # type: ignore[operator]
    grid = ["datasets.kit.scenes=60", "datasets.kit.samples=400", "metrics=[sdr]"]
    record, filler = Workspace.record, list[Path]()

    def record_and_fill(self: Workspace, outcomes: list[object], run_id: int) -> None:
        record(self, outcomes, run_id)  # type: ignore[arg-type]
        if not filler:
            filler.append(fill(folder, leave=300_000))

    monkeypatch.setattr(Workspace, "record", record_and_fill)
    monkeypatch.setattr("sepbench.harness.run.stopping.SECONDS_BETWEEN_LOOKS", 0.0)
    with pytest.raises(
        NoRoomError, match=r"Stopped: .*ws has .* left\. .*the same command goes on"
    ):
        run(folder / "ws", settings=grid)
    monkeypatch.undo()
    kept = len(scores(folder / "ws"))
    with pytest.raises(NoRoomError, match=r"free; the records of \d+ items need about"):
        run(folder / "ws", settings=grid)
    filler[0].unlink()
    last = run(folder / "ws", settings=grid)
    run(tmp_path / "quiet", settings=grid)

    assert 3 <= kept < 180
    assert last.done == 180 - kept
    assert scores(folder / "ws") == scores(tmp_path / "quiet")


def test_a_file_system_that_turns_read_only_ends_the_run_by_name(
    file_system: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = file_system("read-only")  # type: ignore[operator]
    record, batches = Workspace.record, itertools.count(1)

    def record_and_fail(self: Workspace, outcomes: list[object], run_id: int) -> None:
        if next(batches) == 3:
            raise WorkspaceError("attempt to write a readonly database")
        record(self, outcomes, run_id)  # type: ignore[arg-type]

    # A file system with files open for writing cannot be turned, so the third write fails here.
    monkeypatch.setattr(Workspace, "record", record_and_fail)
    with pytest.raises(WorkspaceError, match="readonly"):
        run(folder / "ws", settings=GRID)
    monkeypatch.undo()
    remount(folder, "ro")
    with pytest.raises(WorkspaceError, match=r"cannot be written: Read-only"):
        run(folder / "ws", settings=GRID)
    kept = len(scores(folder / "ws"))
    remount(folder, "rw")
    last = run(folder / "ws", settings=GRID)
    run(tmp_path / "quiet", settings=GRID)

    assert kept == 2 * 2 * 3
    assert last.ok
    assert scores(folder / "ws") == scores(tmp_path / "quiet")


# --- clocks -------------------------------------------------------------------------------


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Table
) -> None:
    decade = 10 * 365 * 86400.0
    now, jumps = time.time(), itertools.cycle([0.0, decade, -decade])
    monkeypatch.setattr(time, "time", lambda: now + next(jumps))

    summary = run(tmp_path / "ws", engine="local", settings=[*GRID, "engine.item_timeout=60"])

    assert summary.ok
    nothing_lost_or_doubled(tmp_path / "ws", undisturbed)


def test_no_engine_and_no_stage_reads_the_clock_that_people_set() -> None:
    harness = Path(str(sepbench.harness.__file__)).parent
    files = [*harness.glob("engines/*.py"), *harness.glob("stages/*.py")]

    guilty = [
        file.name
        for file in files
        if re.search(r"\btime\.time\(|datetime", file.read_text("utf-8"))
    ]

    assert len(files) > 20
    assert guilty == []


# --- drivers ------------------------------------------------------------------------------


def test_a_killed_driver_and_a_second_one_change_nothing(
    tmp_path: Path, undisturbed: Table
) -> None:
    workspace, cli = tmp_path / "ws", Cli()
    gate = tmp_path / "gate"
    arguments = ["run", "-m", f"m={KIT}:Gated", "-d", "kit", "--workspace", workspace]
    arguments += ["bounds=[]", f"models.m.gate={gate}", *GRID]
    first = cli.start(*arguments)
    assert wait_until(lambda: recorded(workspace) > 0, 60)

    with pytest.raises(WorkspaceLockedError, match=f"in use by process {first.pid} on"):
        run(workspace, settings=GRID)
    left = cli.scratch(workspace)
    first.kill()
    first.communicate()
    before = recorded(workspace)
    gone = cli.all_gone()
    gate.touch()
    again = cli(*arguments)

    assert 0 < before < 3 * SCENES
    assert len(left) == 1
    assert gone
    assert again.returncode == 0, again.stderr
    nothing_lost_or_doubled(workspace, undisturbed, "m")
    assert not left[0].exists()


def recorded(workspace: Path) -> int:
    try:
        return int(rows(workspace, "SELECT count(*) AS n FROM results")[0]["n"])
    except WorkspaceError:
        return 0
