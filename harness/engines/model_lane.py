"""What a place that separates is, wherever it is: its model, its work, and when it gives up.

Whether the place is a process here or an actor somewhere is its subclass's affair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from sepbench.harness.engines.custody import Custody, Piece
from sepbench.harness.engines.events import LaneSnapshot, LaneState
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.schedule import Feed
from sepbench.harness.errors import ProcessDiedError
from sepbench.harness.records import CellFacts, Failure
from sepbench.harness.settings import EngineSettings


class BatchFacts(Protocol):
    """What an answer to a batch says beside its estimates: as `Separated`."""

    @property
    def facts(self) -> CellFacts | None:
        """New ones, or None."""

    @property
    def busy_seconds(self) -> float:
        """From the message to the answer."""

    @property
    def idle_seconds(self) -> float:
        """Waited for the message."""

    @property
    def resident_bytes(self) -> int:
        """Of the process now."""

    @property
    def wanted(self) -> int:
        """Pairs that the next message should hold."""

    @property
    def learned(self) -> Mapping[tuple[int, int], int]:
        """Batch sizes found out so far."""


class ModelLane(ABC):
    """One model at a time in one place; batches that break it are taken apart.

    Attributes:
        feed: the work of the model in the lane, None before the first.
        facts: of the loaded model; None while it loads.
        failed: why this lane cannot use the model, or None.
        declined: feeds whose models do not work here, while they do elsewhere.
    """

    kind: str  # of the place, for messages

    def __init__(self, number: int, device: str, settings: EngineSettings) -> None:
        self.number, self.device = number, device
        self._settings = settings
        self._custody = Custody(settings)
        self._full = False
        self._lost_starts = 0  # in a row
        self._learned: dict[tuple[int, int], int] = {}
        self.feed: Feed | None = None
        self.facts: CellFacts | None = None
        self.failed: Failure | None = None
        self.declined: list[Feed] = []
        self._items = self._restarts = 0
        self._loading = self._busy = self._idle = 0.0

    # --- what a place has of its own ----------------------------------------------------

    @property
    @abstractmethod
    def _exists(self) -> bool:
        """Whether there is a place, loaded or not."""

    @property
    def _placed(self) -> bool:
        """Whether it has found where to be."""
        return self._exists

    @property
    @abstractmethod
    def _process_id(self) -> int | None:
        """Of the place."""

    @abstractmethod
    def start(self) -> None:
        """Load the model unless it is there; to be called while there is work for it."""

    @abstractmethod
    def submit(self, pieces: Sequence[Piece]) -> None:
        """Separate these together, after what is there already."""

    @abstractmethod
    def _let_go(self) -> None:
        """End the place; another one is made where there is work."""

    # --- what the driver asks and tells -------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do here, retries included."""
        return not (self._custody.working or self._custody.broken_up or self.loading)

    @property
    def loading(self) -> bool:
        """Whether the model is on its way."""
        return self._exists and self.facts is None and self.failed is None

    @property
    def room(self) -> bool:
        """Whether a batch can be submitted."""
        loaded = self._exists and self.facts is not None and self.failed is None
        return loaded and self._custody.room and not self._full

    def use(self, feed: Feed) -> None:
        """Take up another model; its place is made when there is work for it."""
        self.leave()
        self.feed, self.failed, self._custody.crashes = feed, None, 0
        self._learned, self._lost_starts = {}, 0
        feed.lanes += 1

    def leave(self) -> None:
        """Let go of the model."""
        if self.feed is not None:
            self.feed.lanes -= 1
            self.feed = None
        self._let_go()

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
            pid=self._process_id,
        )

    @property
    def _state(self) -> LaneState:
        if self.feed is None:
            return "done"
        if not self._placed:
            return "starting"
        if self.facts is None:
            return "loading"
        return "working" if self._custody.working else "waiting"

    @property
    def _label(self) -> str:
        return self.feed.spec.label if self.feed else ""

    # --- what becomes of its work -------------------------------------------------------

    def _has_loaded(self, facts: CellFacts | None, failure: Failure | None, seconds: float) -> None:
        """The answer to loading."""
        self.facts, self._lost_starts = facts, 0
        self._loading += seconds
        if failure is not None:
            self._give_up(failure)
        elif self.feed is not None and facts is not None:
            self.feed.load_seconds = facts.load_seconds

    def _learn(self, answer: BatchFacts, scenes: int) -> None:
        """What a batch says of the model, for those that come."""
        assert self.feed is not None
        self.facts = answer.facts or self.facts
        self._busy += answer.busy_seconds
        self._idle += answer.idle_seconds
        self._learned = dict(answer.learned)
        if self.feed.spec.batch_size is None:
            self.feed.wanted = max(1, answer.wanted)
        self.feed.scene_seconds = answer.busy_seconds / scenes

    def _make_small(self, answer: BatchFacts) -> None:
        """One that has grown beyond what it may begins anew, once its work is done."""
        self._full = self._full or answer.resident_bytes > self._settings.model_memory_bytes
        if self._full and not self._custody.working:
            self._restarts += 1
            self._let_go()

    def _broke(self, how: str, *, timed_out: bool) -> list[Flight]:
        """The place ended at its work; returns the scenes that are through nevertheless."""
        assert self.feed is not None
        done = self._custody.broke(self._label, how, timed_out=timed_out, feed=self.feed)
        if self._custody.too_many_crashes:
            self._die(
                f"ended {self._custody.crashes} times in a row (last: {how}); the rest of its "
                "items are left for another run"
            )
        return done

    def _die(self, what: str) -> None:
        """Give up the model, for what became of its place."""
        text = f"The {self.kind} of model '{self._label}' {what}."
        self._give_up(Failure.of(ProcessDiedError(text)))

    def _give_up(self, failure: Failure) -> None:
        """This lane cannot use the model; what it holds goes back, for others or to be dropped."""
        assert self.feed is not None
        self.failed = failure
        self._custody.give_back(self.feed)
