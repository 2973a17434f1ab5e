"""Processes that are killed before they have begun: bad luck once, and a reason in the end."""

from __future__ import annotations

import os
import signal
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sepbench_testkit.machine import run, scores

from sepbench.harness.engines.crew import ScorerCrew
from sepbench.harness.engines.lane import Lane
from sepbench.harness.engines.processes import STARTS
from sepbench.harness.engines.schedule import Feed
from sepbench.harness.engines.scorer import Scorer
from sepbench.harness.errors import ProcessDiedError
from sepbench.harness.settings import EngineSettings
from sepbench.harness.stages.requests import ModelSpec

GRID = ("datasets.kit.scenes=2", "metrics=[sdr]")


class Doomed:
    """Stands for a process that ends before its first answer."""

    def __init__(self, *, was_killed: bool = True) -> None:
        self.was_killed, self.overdue = was_killed, False

    def send(self, message: object, seconds: float) -> None:
        """It takes everything."""

    def kill(self, *, dying: bool = False) -> str:
        return "was killed by signal 9" if self.was_killed else "ended with exit code 1"


def lane_of(*, was_killed: bool) -> Lane:
    spare: Any = SimpleNamespace(take=lambda: Doomed(was_killed=was_killed))
    lane = Lane(0, "cpu", EngineSettings(), spare)
    lane.use(Feed(ModelSpec(label="m", name="m", target="m:C", settings={}), deque()))
    return lane


def given_up_after(lane: Lane) -> int:
    """Starts until the lane leaves its model to others."""
    for number in range(1, 10):
        lane.start()
        lane.on_end()
        if lane.failed is not None:
            return number
    return 0


def test_a_model_whose_process_is_killed_while_loading_is_loaded_again_a_few_times() -> None:
    lane = lane_of(was_killed=True)

    assert given_up_after(lane) == STARTS
    assert lane.failed is not None
    assert "was killed by signal 9 while loading, 3 times in a row." in lane.failed.error


def test_a_model_that_ends_its_process_while_loading_is_given_up_at_once() -> None:
    assert given_up_after(lane_of(was_killed=False)) == 1


def scorers_that_end(monkeypatch: pytest.MonkeyPatch, *, was_killed: bool) -> ScorerCrew:
    def begin(self: Scorer, settings: EngineSettings) -> None:
        self.child = Doomed(was_killed=was_killed)  # type: ignore[assignment] # enough of one
        self.flights, self.ready, self.busy_seconds = [], False, 0.0

    monkeypatch.setattr(Scorer, "__init__", begin)
    crew = ScorerCrew(EngineSettings(workers=1))
    crew.add([SimpleNamespace(scorable=[0], scorer_deaths=0)])  # type: ignore[list-item] # enough of one
    return crew


def test_scorers_that_are_killed_in_a_row_before_they_are_ready_end_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = scorers_that_end(monkeypatch, was_killed=True)
    for _ in range(STARTS - 1):
        crew.dispatch()
        assert crew.on_end(crew.children[0]) == []
    crew.dispatch()

    with pytest.raises(ProcessDiedError, match="signal 9 before it was ready"):
        crew.on_end(crew.children[0])

    assert crew.waiting == 1


def test_a_scorer_that_cannot_import_ends_the_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = scorers_that_end(monkeypatch, was_killed=False)
    crew.dispatch()

    with pytest.raises(ProcessDiedError, match="exit code 1 before it was ready"):
        crew.on_end(crew.children[0])


def test_one_killed_while_loading_and_one_while_starting_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, begin, hit = Lane._load, Scorer.__init__, list[str]()

    def load_and_kill(self: Lane) -> None:
        load(self)
        if "lane" not in hit:
            hit.append("lane")
            assert self.child is not None
            assert self.child.pid is not None
            os.kill(self.child.pid, signal.SIGKILL)

    def begin_and_kill(self: Scorer, settings: EngineSettings) -> None:
        begin(self, settings)
        if "scorer" not in hit:
            hit.append("scorer")
            assert self.child.pid is not None
            os.kill(self.child.pid, signal.SIGKILL)

    monkeypatch.setattr(Lane, "_load", load_and_kill)
    monkeypatch.setattr(Scorer, "__init__", begin_and_kill)

    summary = run(tmp_path / "ws", engine="local", settings=GRID)
    monkeypatch.undo()
    run(tmp_path / "quiet", settings=GRID)

    assert hit == ["lane", "scorer"]
    assert summary.ok
    assert scores(tmp_path / "ws") == scores(tmp_path / "quiet")
    assert summary.engine is not None
    assert (summary.engine.lanes[0].restarts, summary.engine.scorers.restarts) == (1, 1)
