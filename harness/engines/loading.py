"""Threads that read audio; the driver is woken when one is done."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from sepbench.harness.api import Samples
from sepbench.harness.engines.contract import CellJob, SceneWork
from sepbench.harness.engines.outcomes import kept_estimates, read_kept, require_all_sources
from sepbench.harness.errors import STRANGER_ERRORS
from sepbench.harness.records import Failure
from sepbench.harness.stages.load import LoadedScene, load_scene
from sepbench.harness.storage.places import bring_near


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A scene that was read, or why it was not.

    Attributes:
        kept: item index -> kept estimate; item_failures: index -> why it cannot be read.
    """

    job: CellJob
    work: SceneWork
    loaded: LoadedScene | None = None
    failure: Failure | None = None
    kept: Mapping[int, Samples]
    item_failures: Mapping[int, Failure]


class Loader:
    """Reads scenes in threads, and gives them back in the order they were asked for.

    The order keeps a run's log readable and its batches the same from run to run.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="load")
        self._waiting: deque[Future[Arrival]] = deque()
        self._capacity = threads * 2
        self.wakeup, self._wake = os.pipe()
        os.set_blocking(self.wakeup, False)

    @property
    def full(self) -> bool:
        """Whether as much is being read as may be."""
        return len(self._waiting) >= self._capacity

    @property
    def idle(self) -> bool:
        """Whether nothing is being read or waits to be taken."""
        return not self._waiting

    def submit(self, job: CellJob, work: SceneWork) -> None:
        """Read a scene."""
        future = self._pool.submit(read_scene, job, work)
        self._waiting.append(future)
        future.add_done_callback(lambda _: os.write(self._wake, b"."))

    def take(self) -> Arrival | None:
        """The next scene if it is there."""
        if self._waiting and self._waiting[0].done():
            return self._waiting.popleft().result()
        return None

    def drain_wakeups(self) -> None:
        """Forget the bytes that woke the driver."""
        try:
            while os.read(self.wakeup, 4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Stop reading; what is being read is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self.wakeup)
        os.close(self._wake)


def read_scene(job: CellJob, work: SceneWork) -> Arrival:
    """Read a scene and its kept estimates, or say why it cannot be read."""
    kept: dict[int, Samples] = {}
    item_failures: dict[int, Failure] = {}
    try:
        loaded = load_scene(job.dataset, work.row, job.protocol)
        require_all_sources(job, work, loaded)
    except STRANGER_ERRORS as error:  # a plugin dataset may raise anything; its items fail
        return Arrival(job=job, work=work, failure=Failure.of(error), kept={}, item_failures={})
    for index, path in kept_estimates(job, work.items).items():
        try:
            kept[index] = read_kept(path, loaded)
        except STRANGER_ERRORS as error:  # an unreadable file fails its item
            item_failures[index] = Failure.of(error)
    for index, item in enumerate(work.items):
        try:
            for example in item.query.examples:
                bring_near(example.path)  # the model's process reads it
        except STRANGER_ERRORS as error:
            item_failures[index] = Failure.of(error)
    return Arrival(job=job, work=work, loaded=loaded, kept=kept, item_failures=item_failures)
