"""The separation process of the model in use, and what it is working on."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sepbench.harness.engines.children import (
    Loaded,
    LoadMessage,
    Separated,
    SeparateMessage,
    separation_main,
)
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.processes import Child
from sepbench.harness.errors import ItemTimeoutError, ProcessDiedError
from sepbench.harness.records import CellFacts, Failure
from sepbench.harness.settings import EngineSettings
from sepbench.harness.stages.requests import ModelSpec, PairResult


@dataclass(frozen=True, slots=True)
class Piece:
    """Items of one scene that go to the model together."""

    flight: Flight
    indices: tuple[int, ...]


class SeparationLane:
    """One model at a time in one process; batches that break it are taken apart.

    Attributes:
        spec: the model in the lane, None before the first.
        facts: of the loaded model; None while it loads.
        dead: why the model in the lane is given up, or None.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._child: Child | None = None
        self._spare: Child | None = None
        self._batch: list[Piece] = []
        self._alone: deque[Piece] = deque()
        self._crashes = 0
        self.spec: ModelSpec | None = None
        self.facts: CellFacts | None = None
        self.dead: Failure | None = None

    @property
    def child(self) -> Child | None:
        """The process to wait for."""
        return self._child

    @property
    def busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._child is not None and self._child.deadline is not None

    @property
    def idle(self) -> bool:
        """Whether the model has nothing left to do, retries included."""
        return not self.busy and not self._alone

    def prepare_spare(self) -> None:
        """Start the next model's process early: importing torch takes seconds."""
        if self._spare is None:
            self._spare = self._start()

    def use(self, spec: ModelSpec) -> None:
        """Make this the model in the lane and begin loading it."""
        if self._child is not None:
            self._child.close()
        self.spec, self.dead, self._crashes = spec, None, 0
        self._load()

    def _start(self) -> Child:
        threads = self._settings.threads
        return Child("sepbench-separate", separation_main, (threads,), threads)

    def _load(self) -> None:
        assert self.spec is not None
        self.facts = None
        self._child, self._spare = self._spare or self._start(), None
        self._child.send(LoadMessage(self.spec), self._settings.load_timeout)

    def submit(self, pieces: Sequence[Piece]) -> None:
        """Separate these together."""
        assert self._child is not None
        self._batch = list(pieces)
        count = sum(len(piece.indices) for piece in pieces)
        message = SeparateMessage(tuple(p.flight.scene_message(p.indices) for p in pieces))
        self._child.send(message, self._settings.item_timeout * count)

    def retry(self) -> bool:
        """Begin the next piece of a broken batch, by itself; False when there is none."""
        if self.busy or not self._alone:
            return False
        if self._child is None:
            self._load()
        else:
            self.submit([self._alone.popleft()])
        return True

    def ready(self) -> bool:
        """Whether a batch can be submitted; starts the process again after a crash."""
        if self._child is None and self.dead is None:
            self._load()
        return self.dead is None and not self.busy and self.facts is not None

    def on_answer(self) -> list[Flight]:
        """Take the waiting answer; returns the scenes that have all their estimates."""
        assert self._child is not None
        answer = self._child.receive()
        if answer is None:
            return self.on_end()
        if isinstance(answer, Loaded):
            self.facts = answer.facts
            if answer.failure is not None:
                return self._give_up(answer.failure)
            return []
        assert isinstance(answer, Separated)
        self._crashes = 0
        self.facts = answer.facts or self.facts
        done: list[Flight] = []
        for piece, results in zip(self._batch, answer.results, strict=True):
            piece.flight.peak_memory = max(piece.flight.peak_memory, answer.peak_memory)
            done += self._finish(piece, results)
        self._batch = []
        return done

    def on_end(self, *, timed_out: bool = False) -> list[Flight]:
        """The process ended, or must be ended; decide what becomes of its work."""
        assert self._child is not None
        how = self._child.kill(dying=not timed_out)
        self._child = None
        batch, self._batch = self._batch, []
        if not batch and self.facts is not None:
            return []  # it died idle; the next batch starts it again
        if not batch:
            seconds = self._settings.load_timeout
            reason = f"did not load within {seconds:g} s" if timed_out else f"{how} while loading"
            return self._give_up(_died(f"The process of model '{self._label}' {reason}."))
        self._crashes += 1
        count = sum(len(piece.indices) for piece in batch)
        done: list[Flight] = []
        if count == 1 or (len(batch) == 1 and self._joint(batch[0])):
            failure = self._item_failure(how, timed_out, count)
            for piece in batch:
                done += self._finish(piece, [PairResult(failure=failure) for _ in piece.indices])
        else:
            for piece in batch:
                parts = [piece.indices] if self._joint(piece) else [(i,) for i in piece.indices]
                self._alone.extend(Piece(piece.flight, part) for part in parts)
        if self._crashes >= self._settings.crash_limit:
            text = (
                f"The process of model '{self._label}' ended {self._crashes} times in a row "
                f"(last: {how}); the rest of its items are left for another run."
            )
            done += self._give_up(_died(text))
        return done

    def close(self) -> None:
        """End the processes; what they are doing is dropped."""
        for child in (self._child, self._spare):
            if child is not None:
                if child.deadline is not None:
                    child.kill()
                else:
                    child.close()
        self._child = self._spare = None

    @property
    def _label(self) -> str:
        return self.spec.label if self.spec else ""

    def _joint(self, piece: Piece) -> bool:
        return piece.flight.job.joint

    def _item_failure(self, how: str, timed_out: bool, count: int) -> Failure:
        if timed_out:
            seconds = self._settings.item_timeout * count
            return Failure.of(
                ItemTimeoutError(
                    f"Model '{self._label}' did not answer within {seconds:g} s and was stopped. "
                    "Allow more with engine.item_timeout."
                )
            )
        return _died(f"The process of model '{self._label}' {how} on this item.")

    def _finish(self, piece: Piece, results: Sequence[PairResult]) -> list[Flight]:
        flight = piece.flight
        for index, result in zip(piece.indices, results, strict=True):
            flight.pairs[index] = result
            flight.waiting.remove(index)
        return [flight] if not flight.waiting else []

    def _give_up(self, failure: Failure) -> list[Flight]:
        self.dead = failure
        dropped = {id(p.flight): p.flight for p in [*self._batch, *self._alone]}
        self._batch = []
        self._alone.clear()
        # Estimates that were made are still scored; the others stay missing.
        for flight in dropped.values():
            flight.abandon()
        return list(dropped.values())


def _died(text: str) -> Failure:
    return Failure.of(ProcessDiedError(text))
