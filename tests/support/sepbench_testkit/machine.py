"""For tests of whole runs: starting them, looking into them, breaking what is under them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sepbench.harness.engines.arena import OWNER, PREFIX, default_folders
from sepbench.harness.run.grid import run_grid
from sepbench.harness.run.summary import RunSummary
from sepbench.harness.settings import resolve
from sepbench.harness.store import Workspace

SUPPORT = Path(__file__).resolve().parents[1]
MARK_VARIABLE = "SEPBENCH_TESTKIT_RUN"

Score = tuple[float | None, str | None]


def run(
    workspace: Path,
    *,
    models: Sequence[str] = ("kit-half",),
    datasets: Sequence[str] = ("kit",),
    engine: str = "inline",
    settings: Sequence[str] = (),
) -> RunSummary:
    """A grid in this process, without bounds."""
    overrides = [f"engine.name={engine}", "bounds=[]", *settings]
    return run_grid(
        resolve(
            workspace=workspace,
            models=models,
            datasets=datasets,
            overrides=overrides,
            environment={},
        )
    )


def rows(workspace: Path, sql: str) -> list[dict[str, Any]]:
    """Rows of a query on a workspace, read as any reader would."""
    with Workspace(workspace) as opened:
        return [dict(row) for row in opened.query(sql)]


def scores(workspace: Path) -> dict[tuple[str, ...], Score]:
    """(model, protocol, scene, target, query, metric) -> (value, cause of being undefined)."""
    found = rows(
        workspace,
        "SELECT c.label, c.protocol, i.scene, i.target, i.query_index, m.metric, s.value, s.cause"
        " FROM scores s JOIN results r ON r.id = s.result_id JOIN cells c ON c.id = r.cell_id"
        " JOIN items i ON i.id = r.item_id JOIN metrics m ON m.id = s.metric_id",
    )
    return {
        tuple(str(value) for value in list(row.values())[:6]): (row["value"], row["cause"])
        for row in found
    }


def largest_difference(
    one: Mapping[tuple[str, ...], Score], other: Mapping[tuple[str, ...], Score]
) -> float:
    """Between the values of two runs of one grid; infinite where only one has a value."""
    assert one.keys() == other.keys()
    worst = 0.0
    for key, (value, cause) in one.items():
        others, other_cause = other[key]
        if value is None or others is None:
            worst = max(worst, 0.0 if (value, cause) == (others, other_cause) else float("inf"))
        else:
            worst = max(worst, 0.0 if value == others else abs(value - others))
    return worst


def statuses(workspace: Path, label: str) -> dict[tuple[int, str], tuple[str, str]]:
    """(scene number, text of the query) -> (status, type of error) of one model's results."""
    found = rows(
        workspace,
        "SELECT i.scene, json_extract(i.query, '$.text') AS text, r.status, r.error_type"
        " FROM results r JOIN cells c ON c.id = r.cell_id JOIN items i ON i.id = r.item_id"
        f" WHERE c.label = '{label}'",
    )
    return {
        (int(row["scene"].split("-")[1]), row["text"]): (row["status"], row["error_type"])
        for row in found
    }


def calls(log: Path) -> dict[str, int]:
    """What a kit model was asked to do, by the lines in its log."""
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return {name: lines.count(name) for name in sorted(set(lines))}


class Cli:
    """`bench` as a process of its own, findable by a mark that its children inherit."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.started: list[int] = []
        paths = [str(SUPPORT), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            MARK_VARIABLE: self.mark,
        }
        self.command = [
            sys.executable,
            "-c",
            "from sepbench.harness.cli import main; main()",
        ]

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Begin a command."""
        process = subprocess.Popen(
            [*self.command, *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process.pid)
        return process

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def processes(self) -> list[int]:
        """Ids of living processes that descend from commands started here."""
        return [pid for pid in _pids() if self.mark in _environment_of(pid)]

    def scratch(self, workspace: Path) -> list[Path]:
        """Scratch folders of commands started here, where they may be for such a workspace."""
        folders = [path for base in default_folders(workspace) for path in base.glob(f"{PREFIX}*")]
        mine = {str(pid) for pid in self.started}
        return [folder for folder in folders if _owner_of(folder) in mine]

    def all_gone(self, seconds: float = 15.0) -> bool:
        """Whether every process ends by itself within the time."""
        return wait_until(lambda: not self.processes(), seconds)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _environment_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""  # ended meanwhile, or a stranger's; a zombie's is empty


def _owner_of(folder: Path) -> str:
    try:
        return (folder / OWNER).read_text("utf-8").strip()
    except OSError:
        return ""  # removed meanwhile


def small_file_system(base: Path) -> Iterator[Callable[..., Path]]:
    """Gives a function that mounts file systems of a few megabytes; unmounts them at the end."""
    mounted: list[Path] = []

    def mount(name: str, *, megabytes: int = 4) -> Path:
        folder = base / name
        folder.mkdir(parents=True)
        options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        try:
            subprocess.run(["mount", *options], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("mounting a small file system is not allowed here")
        mounted.append(folder)
        return folder

    try:
        yield mount
    finally:
        for folder in mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def remount(folder: Path, option: str) -> None:
    """Change a mounted file system: "ro" or "rw"."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def fill(folder: Path, *, leave: int = 0) -> Path:
    """Write a file that takes all room but so many bytes; returns it."""
    path = folder / "filler"
    room = os.statvfs(folder)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - leave)
    return path
