"""Threads that read audio; the driver is woken when one is done."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

from sepbench.harness.api import Samples
from sepbench.harness.engines.contract import CellJob, SceneWork
from sepbench.harness.engines.outcomes import kept_estimates, read_kept, require_all_sources
from sepbench.harness.errors import STRANGER_ERRORS, ItemTimeoutError
from sepbench.harness.records import Failure
from sepbench.harness.stages.load import LoadedScene, load_scene
from sepbench.harness.storage.places import bring_near

# The first read imports decoders, from a disk that may be cold.
SECONDS_TO_BEGIN = 10.0
# For reads that are under way when the run ends; one that hangs must not hold it up.
SECONDS_TO_END = 0.5


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

    @property
    def nbytes(self) -> int:
        """Bytes of its audio."""
        audio = self.loaded.nbytes if self.loaded is not None else 0
        return audio + sum(estimate.nbytes for estimate in self.kept.values())


@dataclass(slots=True, eq=False)
class _Read:
    """One scene that was asked for.

    Attributes:
        began: when a thread took it up; None before.
        arrival: what it read; error: what nobody expected instead.
        dropped: nobody waits for it any more.
    """

    job: CellJob
    work: SceneWork
    began: float | None = None
    arrival: Arrival | None = None
    error: BaseException | None = None
    dropped: bool = False


class Loader:
    """Reads scenes in threads, and gives them back in the order they were asked for.

    The order keeps a run's log readable and its batches the same from run to run. The threads are
    daemons, and not those of a pool, which hold up the end of a program until they are through: a
    read may hang for ever, on a file system that is gone. Such a thread is left to itself.

    Args:
        threads: scenes that are read at once.
        item_timeout: seconds that a read may take for each of the scene's items, and a few more.
    """

    def __init__(self, threads: int, item_timeout: float) -> None:
        self.threads, self._item_timeout = threads, item_timeout
        self._queue: SimpleQueue[_Read | None] = SimpleQueue()
        self._waiting: deque[_Read] = deque()
        self._running: list[threading.Thread] = []
        self.wakeup, self._wake = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(self._wake, False)  # a full pipe wakes the driver as well as one more byte
        self._closing = threading.Lock()
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether as much is being read as may be."""
        return len(self._waiting) >= self.threads * 2

    def submit(self, job: CellJob, work: SceneWork) -> None:
        """Read a scene."""
        read = _Read(job, work)
        self._waiting.append(read)
        if len(self._running) < self.threads:
            self._start()
        self._queue.put(read)

    def take(self) -> Arrival | None:
        """The next scene if it is there, or took too long."""
        if not self._waiting:
            return None
        read = self._waiting[0]
        if read.error is not None:
            raise read.error
        if read.arrival is None:
            if not self._overdue(read):
                return None
            self._give_up(read)
        self._waiting.popleft()
        return read.arrival

    def drop(self) -> None:
        """Nobody waits for what is being read."""
        for read in self._waiting:
            read.dropped = True
        self._waiting.clear()

    def drain_wakeups(self) -> None:
        """Forget the bytes that woke the driver."""
        try:
            while os.read(self.wakeup, 4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Stop reading; what is being read is dropped, and waited for only for a moment."""
        self.drop()
        for _ in self._running:
            self._queue.put(None)
        end = time.monotonic() + SECONDS_TO_END
        for thread in self._running:
            thread.join(max(0.0, end - time.monotonic()))
        with self._closing:
            self._closed = True
            os.close(self.wakeup)
            os.close(self._wake)

    # --- threads ------------------------------------------------------------------------

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name="load", daemon=True)
        self._running.append(thread)
        thread.start()

    def _serve(self) -> None:
        while (read := self._queue.get()) is not None:
            if read.dropped:
                continue
            read.began = time.monotonic()
            try:
                arrival = read_scene(read.job, read.work)
            except BaseException as error:  # for the driver, as if it had read the scene itself
                read.error = error
            else:
                if read.dropped:
                    continue
                read.arrival = arrival
            self._ring()

    def _ring(self) -> None:
        with self._closing, suppress(BlockingIOError):
            if not self._closed:
                os.write(self._wake, b".")

    def _overdue(self, read: _Read) -> bool:
        return read.began is not None and time.monotonic() - read.began > self._allowed(read)

    def _allowed(self, read: _Read) -> float:
        return SECONDS_TO_BEGIN + self._item_timeout * len(read.work.items)

    def _give_up(self, read: _Read) -> None:
        """Its thread hangs: the scene fails, and another thread does what it would have done."""
        text = (
            f"Scene {read.work.row.scene_id} was not read within {self._allowed(read):g} s. Allow "
            "more with engine.item_timeout, or see what its file system is doing."
        )
        read.dropped = True
        failure = Failure.of(ItemTimeoutError(text))
        read.arrival = Arrival(
            job=read.job, work=read.work, failure=failure, kept={}, item_failures={}
        )
        self._start()


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
