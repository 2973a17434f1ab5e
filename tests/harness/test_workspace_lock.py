from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sepbench_testkit.machine import Cli, fill, remount, rows, run, wait_until

from sepbench.harness.errors import WorkspaceError, WorkspaceLockedError
from sepbench.harness.workspace_lock import NAME, WorkspaceLock, holder_of

HOLD = """
import sys, time
from pathlib import Path
from sepbench.harness.workspace_lock import WorkspaceLock
lock = WorkspaceLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), "--as-if=bench"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_lock_can_be_taken_again_after_it_was_given_back(tmp_path: Path) -> None:
    lock = WorkspaceLock(tmp_path)
    lock.acquire()
    lock.release()

    lock.acquire()

    assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    lock.release()


def test_a_second_holder_is_told_who_has_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    words = rf"in use by process {holder.pid} on .* since .*--as-if=bench.*--workspace"

    with pytest.raises(WorkspaceLockedError, match=words):
        WorkspaceLock(tmp_path).acquire()


def test_the_lock_dies_with_its_process(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    lock = WorkspaceLock(tmp_path)
    lock.acquire()

    assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    lock.release()


def test_a_holder_that_has_not_introduced_itself_is_another_run(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    (tmp_path / NAME).write_text("")

    with pytest.raises(WorkspaceLockedError, match="in use by another run"):
        WorkspaceLock(tmp_path).acquire()


def test_who_holds_the_lock_can_be_seen_without_taking_it(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    seen = holder_of(tmp_path)
    holder.kill()
    holder.wait()

    assert seen is not None
    assert seen["pid"] == holder.pid
    assert holder_of(tmp_path) is None
    assert holder_of(tmp_path / "nothing") is None


def test_somebody_who_only_looks_keeps_nobody_out(tmp_path: Path) -> None:
    lock = WorkspaceLock(tmp_path)
    (tmp_path / NAME).touch()
    with (tmp_path / NAME).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        release = threading.Timer(0.06, fcntl.flock, (looking, fcntl.LOCK_UN))
        release.start()

        lock.acquire()
        release.join()

    assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    lock.release()


def test_a_read_only_workspace_is_named(file_system: object) -> None:
    folder = file_system("read-only")  # type: ignore[operator]
    remount(folder, "ro")

    with pytest.raises(WorkspaceError, match=r"cannot be written: Read-only.*--workspace"):
        WorkspaceLock(folder).acquire()


def test_a_full_disk_is_named_and_the_lock_is_free_afterwards(file_system: object) -> None:
    folder = file_system("full")  # type: ignore[operator]
    (folder / NAME).touch()
    filler = fill(folder)

    with pytest.raises(WorkspaceError, match=r"cannot be written: No space left.*same command"):
        WorkspaceLock(folder).acquire()

    filler.unlink()
    lock = WorkspaceLock(folder)
    lock.acquire()
    lock.release()


# --- whole runs ---------------------------------------------------------------------------


def test_a_second_run_is_refused_and_a_reader_works_meanwhile(tmp_path: Path) -> None:
    workspace, cli = tmp_path / "ws", Cli()
    settings = ["bounds=[]", "datasets.kit.scenes=4000", "engine.name=inline", "metrics=[sdr]"]
    arguments = ["run", "-m", "kit-half", "-d", "kit", "--workspace", str(workspace), *settings]
    first = cli.start(*arguments, "models.kit-half.seconds=0.01")
    try:
        assert wait_until(lambda: _scored(workspace) > 0, 60)

        second = cli(*arguments)
        report = cli("report", "--workspace", workspace)
        before = _scored(workspace)

        assert second.returncode == 2
        assert f"in use by process {first.pid} on" in second.stderr
        assert "run -m kit-half" in second.stderr
        assert report.returncode == 0, report.stderr
        assert "kit-half" in report.stdout + (workspace / "reports/leaderboard.md").read_text()
        assert wait_until(lambda: _scored(workspace) > before, 30)
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()

    again = run(workspace, settings=["datasets.kit.scenes=1", "metrics=[sdr]"])
    assert again.ok


def _scored(workspace: Path) -> int:
    try:
        return int(rows(workspace, "SELECT count(*) AS n FROM scores")[0]["n"])
    except WorkspaceError:
        return 0
