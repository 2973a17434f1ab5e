"""Several separation processes: the same results, models loaded once, shared when that pays."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from sepbench_testkit.machine import largest_difference, run, scores, statuses

from sepbench.harness.engines.lane import Lane

TOLERANCE_DB = 1e-5
KIT = "sepbench_testkit.faults"


def lines(log: Path) -> Counter[tuple[str, str]]:
    """(what, process) -> how often."""
    found = Counter(log.read_text("utf-8").splitlines())
    return Counter({(line.split()[0], line.split()[-1]): n for line, n in found.items()})


def loads(log: Path) -> int:
    return sum(what == "load" for what, _ in lines(log))


def test_each_model_is_loaded_once_and_stays_for_all_its_cells(tmp_path: Path) -> None:
    logs = {name: tmp_path / f"{name}.log" for name in ("a", "b", "c")}

    summary = run(
        tmp_path / "ws",
        models=[f"{name}={KIT}:Logged" for name in logs],
        datasets=["kit", "kit:kit-16k"],
        engine="local",
        settings=[
            *(f"models.{name}.log={log}" for name, log in logs.items()),
            *(f"models.{name}.gain={k + 1}" for k, name in enumerate(logs)),
            "engine.lanes=2",
            "device=cpu",
            # So few that sharing a model would not pay.
            "datasets.kit.scenes=1",
            "metrics=[sdr]",
        ],
    )

    assert summary.ok
    assert summary.done == 3 * (3 + 2)
    assert [loads(log) for log in logs.values()] == [1, 1, 1]
    assert summary.engine is not None
    assert len(summary.engine.lanes) == 2
    assert sum(lane.items for lane in summary.engine.lanes) == summary.done
    assert all(lane.items > 0 for lane in summary.engine.lanes)


def test_the_only_model_is_shared_and_gives_the_same_results(tmp_path: Path) -> None:
    log = tmp_path / "log"
    grid = [
        "datasets.kit.scenes=16",
        "datasets.kit.lengths=mixed",
        "metrics=[sdr,si_sdr]",
        "batch_size=2",
        "models.m.seconds=0.02",
        f"models.m.log={log}",
    ]

    shared = run(
        tmp_path / "two",
        models=[f"m={KIT}:Logged"],
        engine="local",
        settings=[*grid, "device='cpu,cpu'"],
    )
    run(tmp_path / "one", models=[f"m={KIT}:Logged"], settings=grid)

    assert shared.ok
    # Two lanes, and the run in this process.
    assert loads(log) == 3
    assert largest_difference(scores(tmp_path / "two"), scores(tmp_path / "one")) <= TOLERANCE_DB


def test_a_model_that_loads_in_one_lane_only_is_left_to_it(tmp_path: Path) -> None:
    mark, log = tmp_path / "mark", tmp_path / "log"

    summary = run(
        tmp_path / "ws",
        models=[f"m={KIT}:OneDevice"],
        engine="local",
        settings=[
            f"models.m.mark={mark}",
            f"models.m.log={log}",
            "models.m.seconds=0.01",
            "engine.lanes=2",
            "device=cpu",
            "datasets.kit.scenes=12",
            "metrics=[sdr]",
        ],
    )

    assert summary.ok
    assert loads(log) == 1
    assert set(statuses(tmp_path / "ws", "m").values()) == {("scored", "")}


def test_a_model_that_loads_in_no_lane_fails_its_cell(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()

    summary = run(
        tmp_path / "ws",
        models=[f"m={KIT}:OneDevice", "kit-half"],
        engine="local",
        settings=[
            f"models.m.mark={mark}",
            "engine.lanes=2",
            "device=cpu",
            "datasets.kit.scenes=4",
            "metrics=[sdr]",
        ],
    )

    ((label, reason),) = summary.failed_cells
    assert (label, "this device is broken" in reason) == ("m", True)
    assert set(statuses(tmp_path / "ws", "kit-half").values()) == {("scored", "")}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lane_that_dies_or_hangs_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    submit, hit = Lane.submit, list[int]()

    def submit_and_hit(self: Lane, pieces: object) -> None:
        submit(self, pieces)  # type: ignore[arg-type]
        if not hit:
            assert self.child is not None
            assert self.child.pid is not None
            hit.append(self.child.pid)
            os.kill(self.child.pid, number)

    monkeypatch.setattr(Lane, "submit", submit_and_hit)
    grid = ["datasets.kit.scenes=12", "metrics=[sdr]", "batch_size=2"]

    summary = run(
        tmp_path / "ws",
        engine="local",
        settings=[
            *grid,
            "models.kit-half.seconds=0.02",
            "device=cpu",
            "engine.lanes=2",
            "engine.item_timeout=2",
        ],
    )
    monkeypatch.undo()
    run(tmp_path / "undisturbed", settings=[*grid, "models.kit-half.seconds=0.02"])

    assert len(hit) == 1
    assert summary.ok
    assert summary.done == 36
    assert scores(tmp_path / "ws") == scores(tmp_path / "undisturbed")
    assert summary.engine is not None
    assert sorted(lane.restarts for lane in summary.engine.lanes) == [0, 1]
