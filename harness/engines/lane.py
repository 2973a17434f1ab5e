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
from sepbench.harness.engines.custody import Custody, Piece
from sepbench.harness.engines.events import LaneSnapshot, LaneState
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.processes import STARTS, Child
from sepbench.harness.engines.schedule import Feed
from sepbench.harness.errors import ProcessDiedError
from sepbench.harness.records import CellFacts, Failure
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


class Lane:
    """One model at a time in one process; batches that break it are taken apart.

    Attributes:
        feed: the work of the model in the lane, None before the first.
        facts: of the loaded model; None while it loads.
        failed: why this lane cannot use the model, or None.
        declined: feeds whose models do not work here, while they do elsewhere.
    """

    def __init__(self, number: int, device: str, settings: EngineSettings, spare: Spare) -> None:
        self.number, self.device = number, device
        self._settings, self._spare = settings, spare
        self._child: Child | None = None
        self._leaving: Child | None = None
        self._custody = Custody(settings)
        self._full = False
        self._loading_since = 0.0
        self._killed_loading = 0  # in a row
        self._learned: dict[tuple[int, int], int] = {}
        self.feed: Feed | None = None
        self.facts: CellFacts | None = None
        self.failed: Failure | None = None
        self.declined: list[Feed] = []
        self._items = self._restarts = 0
        self._loading = self._busy = self._idle = 0.0

    # --- what the driver asks -----------------------------------------------------------

    @property
    def child(self) -> Child | None:
        """The process to wait for: the one at work, or the one that makes room for it."""
        return self._child or self._leaving

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do here, retries included."""
        return not (self._custody.working or self._custody.broken_up or self.loading)

    @property
    def loading(self) -> bool:
        """Whether the model is on its way."""
        return self._child is not None and self.facts is None and self.failed is None

    @property
    def room(self) -> bool:
        """Whether a batch can be submitted."""
        loaded = self._child is not None and self.facts is not None and self.failed is None
        return loaded and self._custody.room and not self._full

    @property
    def separating(self) -> int:
        """Scenes it holds."""
        return self._custody.scenes

    # --- what the driver tells ----------------------------------------------------------

    def use(self, feed: Feed) -> None:
        """Take up another model; its process starts when there is work for it."""
        self.leave()
        self.feed, self.failed, self._custody.crashes = feed, None, 0
        self._learned, self._killed_loading = {}, 0
        feed.lanes += 1

    def leave(self) -> None:
        """Let go of the model."""
        if self.feed is not None:
            self.feed.lanes -= 1
            self.feed = None
        self._let_go()

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

    def retry(self) -> bool:
        """Begin the next piece of a broken batch, by itself; False when there is nothing to."""
        if self._custody.working or not self._custody.broken_up or self.failed is not None:
            return False
        self.start()
        if self.facts is None:
            return False
        piece = self._custody.next_alone()
        if piece is not None:
            self.submit([piece])
        return piece is not None

    def on_answer(self) -> list[Flight]:
        """Take the waiting answer; returns the scenes that have all their estimates."""
        assert self._child is not None
        answer = self._child.receive()
        if answer is None:
            return self.on_end()
        if isinstance(answer, Loaded):
            self.facts, self._killed_loading = answer.facts, 0
            self._loading += time.monotonic() - self._loading_since
            if answer.failure is not None:
                self._give_up(answer.failure)
                return []
            assert self.feed is not None
            assert answer.facts is not None
            self.feed.load_seconds = answer.facts.load_seconds
            return []
        assert isinstance(answer, Separated)
        return self._separated(answer)

    def _separated(self, answer: Separated) -> list[Flight]:
        assert self.feed is not None
        assert self._child is not None
        self.facts = answer.facts or self.facts
        self._busy += answer.busy_seconds
        self._idle += answer.idle_seconds
        self._learned = dict(answer.learned)
        if self.feed.spec.batch_size is None:
            self.feed.wanted = max(1, answer.wanted)
        self.feed.scene_seconds = answer.busy_seconds / len(answer.results)
        done, count = self._custody.answered(answer.results, answer.peak_memory)
        self._items += count
        if self._custody.seconds_allowed is not None:
            # The next batch's time begins with the answer to the one before.
            self._child.expect(self._custody.seconds_allowed)
        self._full = self._full or answer.resident_bytes > self._settings.model_memory_bytes
        if self._full and not self._custody.working:
            # It has grown beyond what it may: a new process begins small again.
            self._restarts += 1
            self._let_go()
        return done

    def on_end(self, *, timed_out: bool = False) -> list[Flight]:
        """The process ended, or must be ended; decide what becomes of its work."""
        if self._child is None:
            self._gone()  # what woke us is the process before
            return []
        assert self.feed is not None
        how = self._child.kill(dying=not timed_out)
        loading, was_killed = self.loading, self._child.was_killed
        self._child, self.facts, self._full = None, None, False
        self._restarts += 1
        if loading:
            self._lost_loading(how, timed_out=timed_out, was_killed=was_killed)
            return []
        done = self._custody.broke(self._label, how, timed_out=timed_out, feed=self.feed)
        if self._custody.too_many_crashes:
            text = (
                f"The process of model '{self._label}' ended {self._custody.crashes} times in a "
                f"row (last: {how}); the rest of its items are left for another run."
            )
            self._give_up(_died(text))
        return done

    def _lost_loading(self, how: str, *, timed_out: bool, was_killed: bool) -> None:
        """Killed: it may try again, a few times. One that hangs or exits would do so again."""
        self._loading += time.monotonic() - self._loading_since
        self._killed_loading += 1
        if was_killed and self._killed_loading < STARTS:
            return
        if timed_out:
            reason = f"did not load within {self._settings.load_timeout:g} s"
        else:
            often = f", {STARTS} times in a row" if was_killed else ""
            reason = f"{how} while loading{often}"
        self._give_up(_died(f"The process of model '{self._label}' {reason}."))

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

    def snapshot(self) -> LaneSnapshot:
        """How it is doing."""
        return LaneSnapshot(
            number=self.number,
            device=self.facts.device if self.facts else self.device,
            model=self._label,
            state=self._state,
            loading_seconds=self._loading,
            busy_seconds=self._busy,
            idle_seconds=self._idle,
            items=self._items,
            restarts=self._restarts,
            pid=self._child.pid if self._child else None,
        )

    @property
    def _state(self) -> LaneState:
        if self.feed is None:
            return "done"
        if self._child is None:
            return "starting"
        if self.facts is None:
            return "loading"
        return "working" if self._custody.working else "waiting"

    @property
    def _label(self) -> str:
        return self.feed.spec.label if self.feed else ""

    def _give_up(self, failure: Failure) -> None:
        """This lane cannot use the model; what it holds goes back, for others or to be dropped."""
        assert self.feed is not None
        self.failed = failure
        self._custody.give_back(self.feed)


def _died(text: str) -> Failure:
    return Failure.of(ProcessDiedError(text))
