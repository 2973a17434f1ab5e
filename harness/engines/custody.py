"""What a place that separates has in hand, and what becomes of it when the place breaks.

Knows nothing of processes: a lane on this machine and one elsewhere keep the same books. A batch
that breaks a place is taken apart, and its items go one by one; an item that breaks two is at
fault itself and fails; one that hangs fails at once, since it would hang again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.schedule import Feed
from sepbench.harness.errors import ItemTimeoutError, ProcessDiedError
from sepbench.harness.records import Failure
from sepbench.harness.settings import EngineSettings
from sepbench.harness.stages.requests import PairResult

# Batches a place holds: one to work on, and one so that it need not wait for the driver.
BATCHES_HELD = 2
# An item that takes two places with it is at fault itself.
DEATHS = 2


@dataclass(frozen=True, slots=True)
class Piece:
    """Items of one scene that go to the model together."""

    flight: Flight
    indices: tuple[int, ...]


def whole(flight: Flight) -> Piece:
    """All items of a scene that are still to be separated."""
    return Piece(flight, tuple(flight.waiting))


class Custody:
    """The batches of one place, the first of which it works on.

    Attributes:
        crashes: in a row, with nothing separated between.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._batches: deque[list[Piece]] = deque()
        self._alone: deque[Piece] = deque()
        self.crashes = 0

    @property
    def working(self) -> bool:
        """Whether the place has something to do."""
        return bool(self._batches)

    @property
    def broken_up(self) -> bool:
        """Whether pieces of a broken batch wait to go by themselves."""
        return bool(self._alone)

    @property
    def room(self) -> bool:
        """Whether another batch may come."""
        return not self._alone and len(self._batches) < BATCHES_HELD

    @property
    def flights(self) -> list[Flight]:
        """Scenes in hand."""
        held = [*self._alone, *(piece for batch in self._batches for piece in batch)]
        return list({id(piece.flight): piece.flight for piece in held}.values())

    @property
    def scenes(self) -> int:
        """How many scenes are in hand."""
        return len(self.flights)

    @property
    def first(self) -> list[Piece]:
        """The batch it works on."""
        return self._batches[0]

    def take(self, pieces: Sequence[Piece]) -> None:
        """These come after what is there."""
        self._batches.append(list(pieces))

    def next_alone(self) -> Piece | None:
        """A piece that is to go by itself now, or None."""
        return self._alone.popleft() if self._alone and not self._batches else None

    @property
    def seconds_allowed(self) -> float | None:
        """How long the first batch may take; None where there is none."""
        if not self._batches:
            return None
        return self._settings.item_timeout * sum(len(p.indices) for p in self._batches[0])

    def answered(
        self, results: Sequence[Sequence[PairResult]], peak_memory: int
    ) -> tuple[list[Flight], int]:
        """The first batch is done: scenes that have all their estimates, and its items' number."""
        self.crashes = 0
        done: list[Flight] = []
        count = 0
        for piece, answers in zip(self._batches.popleft(), results, strict=True):
            piece.flight.peak_memory = max(piece.flight.peak_memory, peak_memory)
            count += len(answers)
            done += _finish(piece, answers)
        return done, count

    def broke(self, label: str, how: str, *, timed_out: bool, feed: Feed) -> list[Flight]:
        """The place ended with what it had; returns scenes that are through nevertheless.

        Args:
            label: of the model.
            how: it ended, in words.
            timed_out: it took too long and was stopped.
            feed: gets back the batches that were not begun.
        """
        self.crashes += 1
        batch = self._batches.popleft() if self._batches else []
        self._put_back(feed)
        done: list[Flight] = []
        for piece in batch:
            piece.flight.lane_deaths.update(piece.indices)
            together = piece.flight.job.joint or len(piece.indices) == 1
            deaths = max(piece.flight.lane_deaths[index] for index in piece.indices)
            if len(batch) == 1 and together and (timed_out or deaths >= DEATHS):
                failure = self._failure(label, how, timed_out, len(piece.indices))
                done += _finish(piece, [PairResult(failure=failure) for _ in piece.indices])
                continue
            parts = [piece.indices] if together else [(index,) for index in piece.indices]
            self._alone.extend(Piece(piece.flight, part) for part in parts)
        return done

    @property
    def too_many_crashes(self) -> bool:
        """Whether the model is to be given up here."""
        return self.crashes >= self._settings.crash_limit

    def give_back(self, feed: Feed) -> None:
        """All that is in hand waits in the feed again, for other places or to be dropped."""
        # Pieces of one scene may be at work and wait to go alone: it goes back once.
        held = self.flights
        self._batches.clear()
        self._alone.clear()
        feed.ready.extendleft(reversed(held))

    def _put_back(self, feed: Feed) -> None:
        while self._batches:
            feed.ready.extendleft(piece.flight for piece in reversed(self._batches.pop()))

    def _failure(self, label: str, how: str, timed_out: bool, count: int) -> Failure:
        if timed_out:
            seconds = self._settings.item_timeout * count
            return Failure.of(
                ItemTimeoutError(
                    f"Model '{label}' did not answer within {seconds:g} s and was stopped. "
                    "Allow more with engine.item_timeout."
                )
            )
        text = f"The process of model '{label}' {how} on this item."
        return Failure.of(ProcessDiedError(text))


def _finish(piece: Piece, results: Sequence[PairResult]) -> list[Flight]:
    flight = piece.flight
    for index, result in zip(piece.indices, results, strict=True):
        flight.pairs[index] = result
        flight.waiting.remove(index)
    return [flight] if not flight.waiting else []
