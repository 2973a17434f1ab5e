"""One place that separates: a process on a device, the model it has, and what it works on."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sepbench.harness.engines.children import (
    Loaded,
    LoadMessage,
    Separated,
    SeparateMessage,
    separation_main,
)
from sepbench.harness.engines.custody import Piece
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.model_lane import ModelLane
from sepbench.harness.engines.processes import STARTS, Child
from sepbench.harness.settings import EngineSettings

SECONDS_TO_LEAVE = 5.0


class Spare:
    """A process started early for whichever lane needs one next: importing torch takes seconds."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._child: Child | None = None

    def prepare(self) -> None:
        """Have one ready."""
        if self._child is None:
            self._child = self._start()

    def take(self) -> Child:
        """The one that is ready, or a new one."""
        child, self._child = self._child or self._start(), None
        return child

    def close(self) -> None:
        """End the one that was not needed."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _start(self) -> Child:
        return Child("sepbench-separate", separation_main, (self._threads,), self._threads)


class Lane(ModelLane):
    """One model at a time in one process."""

    kind = "process"

    def __init__(self, number: int, device: str, settings: EngineSettings, spare: Spare) -> None:
        super().__init__(number, device, settings)
        self._spare = spare
        self._child: Child | None = None
        self._leaving: Child | None = None
        self._loading_since = 0.0

    # --- what the driver asks -----------------------------------------------------------

    @property
    def child(self) -> Child | None:
        """The process to wait for: the one at work, or the one that makes room for it."""
        return self._child or self._leaving

    @property
    def separating(self) -> int:
        """Scenes it holds."""
        return self._custody.scenes

    @property
    def _exists(self) -> bool:
        return self._child is not None

    @property
    def _process_id(self) -> int | None:
        return self._child.pid if self._child else None

    # --- what the driver tells ----------------------------------------------------------

    def _let_go(self) -> None:
        """Ask the process to end; the next one waits for the room it takes."""
        self.facts, self._full = None, False
        if self._child is not None:
            self._child.hang_up(SECONDS_TO_LEAVE)
            self._leaving, self._child = self._child, None

    def start(self) -> None:
        """Load the model unless it is there; to be called while there is work for it."""
        if self._gone() and self._child is None and self.failed is None:
            self._load()

    def _gone(self) -> bool:
        """Whether the process before is gone, with the memory it had."""
        if self._leaving is not None and (not self._leaving.alive or self._leaving.overdue):
            self._leaving.kill()
            self._leaving = None
        return self._leaving is None

    def _load(self) -> None:
        assert self.feed is not None
        self.facts = None
        self._loading_since = time.monotonic()
        self._child = self._spare.take()
        message = LoadMessage(self.feed.spec, self.device, self._learned)
        self._child.send(message, self._settings.load_timeout)

    def submit(self, pieces: Sequence[Piece]) -> None:
        """Separate these together, after what is there already."""
        assert self._child is not None
        first = not self._custody.working
        self._custody.take(pieces)
        message = SeparateMessage(tuple(p.flight.scene_message(p.indices) for p in pieces))
        self._child.send(message, self._custody.seconds_allowed if first else None)

    def on_answer(self) -> list[Flight]:
        """Take the waiting answer; returns the scenes that have all their estimates."""
        assert self._child is not None
        answer = self._child.receive()
        if answer is None:
            return self.on_end()
        if isinstance(answer, Loaded):
            seconds = time.monotonic() - self._loading_since
            self._has_loaded(answer.facts, answer.failure, seconds)
            return []
        assert isinstance(answer, Separated)
        return self._separated(answer)

    def _separated(self, answer: Separated) -> list[Flight]:
        assert self._child is not None
        self._learn(answer, len(answer.results))
        done, count = self._custody.answered(answer.results, answer.peak_memory)
        self._items += count
        if self._custody.seconds_allowed is not None:
            # The next batch's time begins with the answer to the one before.
            self._child.expect(self._custody.seconds_allowed)
        self._make_small(answer)
        return done

    def on_end(self, *, timed_out: bool = False) -> list[Flight]:
        """The process ended, or must be ended; decide what becomes of its work."""
        if self._child is None:
            self._gone()  # what woke us is the process before
            return []
        how = self._child.kill(dying=not timed_out)
        loading, was_killed = self.loading, self._child.was_killed
        self._child, self.facts, self._full = None, None, False
        self._restarts += 1
        if loading:
            self._lost_loading(how, timed_out=timed_out, was_killed=was_killed)
            return []
        return self._broke(how, timed_out=timed_out)

    def _lost_loading(self, how: str, *, timed_out: bool, was_killed: bool) -> None:
        """Killed: it may try again, a few times. One that hangs or exits would do so again."""
        self._loading += time.monotonic() - self._loading_since
        self._lost_starts += 1
        if was_killed and self._lost_starts < STARTS:
            return
        if timed_out:
            reason = f"did not load within {self._settings.load_timeout:g} s"
        else:
            often = f", {STARTS} times in a row" if was_killed else ""
            reason = f"{how} while loading{often}"
        self._die(reason)

    def stop(self) -> None:
        """The run is to end: what is separated now is finished, a model that loads is not."""
        if self.loading and not self._custody.broken_up:
            assert self._child is not None
            self._child.kill()
            self._child = None

    def close(self) -> None:
        """End the process; what it is doing is dropped."""
        for child in (self._child, self._leaving):
            if child is not None:
                if child.deadline is not None:
                    child.kill()
                else:
                    child.close()
        self._child = self._leaving = None
