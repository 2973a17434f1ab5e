"""Killed twenty times in a row, a run ends with the table of an undisturbed one."""

from __future__ import annotations

import csv
import random
import time
from pathlib import Path

import pytest
from sepbench_testkit.machine import Cli, rows, scores, wait_until

from sepbench.harness.errors import WorkspaceError

KILLS = 20
SEED = 20240607
SCENES = 60
COST = ("real_time", "memory", "seconds")

pytestmark = pytest.mark.slow


def arguments(workspace: Path) -> list[str]:
    return [
        *("run", "-m", "slow=kit-half", "-m", "kit-seeded", "-d", "kit"),
        *("--workspace", str(workspace)),
        *(f"datasets.kit.scenes={SCENES}", "datasets.kit.lengths=mixed", "batch_size=2"),
        *("bounds=[]", "metrics=[sdr,si_sdr]", "engine.workers=1"),
        *("models.slow.seconds=0.02", "models.kit-seeded.seconds=0.02"),
        *("query.kind=text", "keep_audio=true"),
    ]


def recorded(workspace: Path) -> int:
    try:
        return int(rows(workspace, "SELECT count(*) AS n FROM results")[0]["n"])
    except WorkspaceError:
        return 0


def kill_at_a_random_moment(cli: Cli, workspace: Path, moment: random.Random, patient: bool) -> int:
    """Start the run and kill it; returns how many items it had recorded.

    Every other time the moment comes after its first new item, so that kills fall into the work
    itself as well as into planning, starting and loading.
    """
    before = recorded(workspace)
    process = cli.start(*arguments(workspace))
    if patient:
        wait_until(lambda: recorded(workspace) > before or process.poll() is not None, 30)
        time.sleep(moment.uniform(0, 0.4))
    else:
        time.sleep(moment.uniform(0.2, 2.5))
    process.kill()
    process.communicate()
    return recorded(workspace) - before


def table(workspace: Path) -> list[dict[str, str]]:
    """The leaderboard without the columns that say what it cost."""
    with (workspace / "reports" / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    return [
        {key: value for key, value in row.items() if not any(cost in key for cost in COST)}
        for row in found
    ]


def test_twenty_kills_change_nothing_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    cli, moment = Cli(), random.Random(SEED)

    progress = [
        kill_at_a_random_moment(cli, killed, moment, patient=number % 2 == 1)
        for number in range(KILLS)
    ]
    last = cli(*arguments(killed))
    whole = cli(*arguments(undisturbed))

    assert last.returncode == whole.returncode == 0, last.stderr + whole.stderr
    assert sum(count > 0 for count in progress) >= 5, progress
    assert sum(progress) < len(rows(undisturbed, "SELECT id FROM results")), progress
    assert scores(killed) == scores(undisturbed)
    assert table(killed) == table(undisturbed)
    assert table(killed) != []

    items = rows(killed, "SELECT cell_id, item_id, attempts, status FROM results")
    assert len({(row["cell_id"], row["item_id"]) for row in items}) == len(items)
    assert len(items) == len(rows(undisturbed, "SELECT id FROM results"))
    assert {(row["attempts"], row["status"]) for row in items} == {(1, "scored")}
    assert rows(killed, "SELECT id FROM failures") == []
    assert rows(killed, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]

    assert list(killed.glob("audio/*/*.part.wav")) == []
    assert kept_files(killed) == kept_files(undisturbed)
    assert cli.all_gone()
    assert cli.scratch(killed) == []


def kept_files(workspace: Path) -> set[str]:
    return {path.name for path in workspace.glob("audio/*/*.wav")}
