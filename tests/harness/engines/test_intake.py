"""How far ahead audio is read, and what becomes of a read that hangs."""

from __future__ import annotations

import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sepbench.harness.engines import loading
from sepbench.harness.engines.intake import READING_SHARE, Intake
from sepbench.harness.engines.loading import Arrival, Loader
from sepbench.harness.engines.schedule import Feed
from sepbench.harness.stages.load import LoadedScene
from sepbench.harness.stages.requests import ModelSpec

LIMIT = 16_000
JOB: Any = SimpleNamespace(cell_id=1, protocol=SimpleNamespace(dataset="kit"))


def arrival(nbytes: int) -> Arrival:
    loaded = LoadedScene(
        mixture=np.zeros((1, nbytes // 4), np.float32),
        sources={},
        sample_rate=8000,
        files={},
        seconds=0.0,
    )
    work: Any = SimpleNamespace(items=(), row=SimpleNamespace(scene_id="scene"))
    return Arrival(job=JOB, work=work, loaded=loaded, kept={}, item_failures={})


class Reads:
    """A loader whose scenes are there as soon as they are asked for."""

    threads = 4

    def __init__(self, nbytes: int) -> None:
        self.nbytes, self.waiting = nbytes, deque[Arrival]()

    @property
    def full(self) -> bool:
        return len(self.waiting) >= 2 * self.threads

    def submit(self, job: object, work: object) -> None:
        self.waiting.append(arrival(self.nbytes))

    def take(self) -> Arrival | None:
        return self.waiting.popleft() if self.waiting else None


def intake_of(nbytes: int) -> tuple[Intake, Reads]:
    """Scenes without end, and an arena that has room for none of them after the first."""
    feed = Feed(ModelSpec(label="m", name="m", target="m:C", settings={}), deque())
    schedule: Any = SimpleNamespace(next_scene=lambda: (feed, JOB, None))
    arena: Any = SimpleNamespace(limit=LIMIT, allocate=lambda shapes: None)
    sink: Any = SimpleNamespace(check_files=lambda dataset, files: None)
    reads = Reads(nbytes)
    return Intake(arena, reads, schedule, sink), reads  # type: ignore[arg-type] # enough of a loader


@pytest.mark.parametrize(
    ("nbytes", "ahead"),
    [(16, 8), (1000, int(LIMIT * READING_SHARE) // 1000), (LIMIT, 1), (10 * LIMIT, 1)],
)
def test_what_is_read_ahead_is_a_share_of_the_budget_or_one_scene(nbytes: int, ahead: int) -> None:
    intake, reads = intake_of(nbytes)
    intake.pull()
    first = len(reads.waiting)
    intake.stage()  # the largest is known now; it waits for the arena
    staged, intake._staged = intake._staged, None
    reads.waiting.clear()
    intake._asked.clear()

    intake.pull()

    assert staged is not None
    assert first == reads.threads
    assert len(reads.waiting) == ahead
    assert intake.reading == ahead


# --- reads that hang ----------------------------------------------------------------------


class Gate:
    """Reads, of which those named "hang" wait until the end of the test."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def read(self, job: Any, work: Any) -> Arrival:
        if work.row.scene_id == "hang":
            self.opened.wait(60)
        return Arrival(job=job, work=work, loaded=None, kept={}, item_failures={})


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate()
    monkeypatch.setattr(loading, "read_scene", made.read)
    monkeypatch.setattr(loading, "SECONDS_TO_BEGIN", 0.1)
    yield made
    made.opened.set()


def work(name: str) -> Any:
    return SimpleNamespace(row=SimpleNamespace(scene_id=name), items=(1, 2))


def taken(loader: Loader, seconds: float) -> Arrival:
    """The next scene, waited for as the driver does."""
    end = time.monotonic() + seconds
    while (found := loader.take()) is None:
        assert time.monotonic() < end
        select.select([loader.wakeup], [], [], 0.02)
        loader.drain_wakeups()
    return found


def test_a_read_that_hangs_fails_its_scene_and_the_next_one_is_read(gate: Gate) -> None:
    loader = Loader(1, 0.1)
    loader.submit(JOB, work("hang"))
    loader.submit(JOB, work("next"))

    hung, following = taken(loader, 20), taken(loader, 20)
    loader.close()

    assert hung.failure is not None
    assert hung.failure.error_type == "ItemTimeoutError"
    assert hung.failure.error.startswith("Scene hang was not read within 0.3 s.")
    assert (following.work.row.scene_id, following.failure) == ("next", None)


def test_the_end_of_a_run_does_not_wait_for_a_read_that_hangs(gate: Gate) -> None:
    loader = Loader(2, 600)
    loader.submit(JOB, work("hang"))
    began = time.monotonic()

    loader.close()

    assert time.monotonic() - began < 5
    assert loader.take() is None


def test_what_a_thread_runs_into_is_raised_in_the_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(job: object, work: object) -> Arrival:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "read_scene", fail)
    loader = Loader(1, 600)
    loader.submit(JOB, work("any"))

    with pytest.raises(KeyboardInterrupt):
        taken(loader, 20)

    loader.close()


SCRIPT = """
import time
from types import SimpleNamespace
from sepbench.harness.engines import loading

loading.read_scene = lambda job, work: time.sleep(600)
loader = loading.Loader(1, 600.0)
loader.submit(None, SimpleNamespace(items=()))
loader.close()
"""


def test_a_program_ends_while_a_read_hangs() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], timeout=60, check=False)

    assert done.returncode == 0
