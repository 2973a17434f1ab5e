"""Scoring tasks on a Ray cluster: one CPU each, wherever the audio is or a CPU is free.

A scene that takes a process with it goes by itself the next time; if it does so again it fails. A
scene whose audio was lost with a node starts over.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sepbench.harness.engines.contract import Sink
from sepbench.harness.engines.crew import SCORER_DEATHS
from sepbench.harness.engines.events import SCENES_A_SCORER, ScorersSnapshot
from sepbench.harness.engines.ray_cluster import Nodes, Places
from sepbench.harness.engines.ray_flight import RayFlight
from sepbench.harness.engines.ray_worker import BatchAnswer, read_only, score
from sepbench.harness.errors import ItemTimeoutError, ProcessDiedError
from sepbench.harness.records import Failure, ItemOutcome
from sepbench.harness.settings import EngineSettings

Landed = tuple[RayFlight, list[ItemOutcome]]


@dataclass(slots=True)
class _Task:
    """Scenes that one task reads or scores.

    Attributes:
        answer: reference to it; objects: what a reading task made.
        nodes_lost: how many there were when it began.
    """

    flights: list[RayFlight]
    answer: Any
    objects: list[Any]
    deadline: float
    nodes_lost: int

    @property
    def reads(self) -> bool:
        """Whether it brings kept estimates."""
        return bool(self.objects)


class RayScoring:
    """Scenes waiting to be scored, and the tasks that do it.

    Attributes:
        again: scenes that start over; whoever takes them empties the list.
        stalled_since: tasks wait and none ends, since then; None where all is well.
    """

    def __init__(self, settings: EngineSettings, places: Places, nodes: Nodes, sink: Sink) -> None:
        self._settings, self._places, self._nodes, self._sink = settings, places, nodes, sink
        self._waiting: deque[RayFlight] = deque()
        self._tasks: list[_Task] = []
        self._busy = 0.0
        self._items = self._restarts = 0
        self._last_end = time.monotonic()
        self.again: list[RayFlight] = []

    def add(self, flights: Sequence[RayFlight]) -> None:
        """These have their estimates, or are to have those that were kept."""
        self._waiting.extend(flights)

    @property
    def behind(self) -> bool:
        """Whether a model that goes on would only fill the cluster's memory."""
        return len(self._waiting) >= self._places.scorers * SCENES_A_SCORER

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being scored."""
        return not self._waiting and not self._tasks

    @property
    def refs(self) -> list[Any]:
        """What to wait for."""
        return [task.answer for task in self._tasks]

    @property
    def deadlines(self) -> list[float]:
        """When tasks will be overdue."""
        return [task.deadline for task in self._tasks]

    @property
    def flights(self) -> list[RayFlight]:
        """Scenes here, waiting or being scored."""
        return [*self._waiting, *(flight for task in self._tasks for flight in task.flights)]

    @property
    def waiting(self) -> int:
        """Scenes that nobody scores yet."""
        return len(self._waiting)

    def stalled(self, seconds: float) -> bool:
        """Whether there are tasks and none has ended for so long."""
        return bool(self._tasks) and time.monotonic() - self._last_end > seconds

    # --- handing out --------------------------------------------------------------------

    def dispatch(self) -> list[Landed]:
        """Hand out what waits; returns scenes that need no scoring."""
        landed: list[Landed] = []
        if not self._tasks:
            self._last_end = time.monotonic()
        while self._waiting:
            first = self._waiting[0]
            reads = self._unread(first)
            if not reads and not first.scorable:
                self._waiting.popleft()
                landed.append((first, first.outcomes([])))
            elif len(self._tasks) >= self._places.scorers:
                break
            else:
                self._begin(self._portion(reads), reads=reads)
        return landed

    def _unread(self, flight: RayFlight) -> bool:
        """Whether it has kept estimates that nobody has read yet."""
        fine = any(flight.pairs[i].failure is None for i in flight.kept)
        return flight.audio is None and fine

    def _portion(self, reads: bool) -> list[RayFlight]:
        """What one task gets now: a fair share of what waits."""
        share = -(-len(self._waiting) // self._places.scorers)
        flights: list[RayFlight] = []
        while self._waiting and len(flights) < min(share, SCENES_A_SCORER):
            flight = self._waiting[0]
            same = self._unread(flight) == reads and (reads or bool(flight.scorable))
            # A scene that has already cost a process goes by itself.
            if flights and (not same or flight.scorer_deaths):
                break
            flights.append(self._waiting.popleft())
            if flight.scorer_deaths:
                break
        return flights

    def _begin(self, flights: list[RayFlight], *, reads: bool) -> None:
        import ray

        options: dict[str, Any] = {"num_cpus": 1, "max_retries": 0}
        items = sum(len(flight.work.items) for flight in flights)
        objects: list[Any] = []
        if reads:
            call: Any = ray.remote(read_only)
            options["num_returns"] = 1 + 2 * len(flights)
            answer, *objects = call.options(**options).remote([f.ask(()) for f in flights])
        else:
            call = ray.remote(score)
            given = [ref for flight in flights for ref in flight.objects]
            asks = [flight.score_ask() for flight in flights]
            answer, objects = call.options(**options).remote(asks, *given), []
        # A task may have to wait for a process to start; that is not its items' time.
        seconds = self._settings.item_timeout * items + self._settings.ray.start_timeout
        deadline = time.monotonic() + seconds
        self._tasks.append(_Task(flights, answer, objects, deadline, self._nodes.lost))

    # --- answers ------------------------------------------------------------------------

    def on_ready(self, ref: Any) -> list[Landed]:
        """A task ended; returns the scenes that are through."""
        import ray
        from ray.exceptions import NodeDiedError, ObjectLostError, RayError

        task = next(task for task in self._tasks if task.answer == ref)
        self._tasks.remove(task)
        self._last_end = time.monotonic()
        try:
            answer = ray.get(ref)
        except (ObjectLostError, NodeDiedError):
            return self._lost(task, "its audio was lost with a node")
        except RayError as error:
            self._restarts += 1
            if isinstance(getattr(error, "cause", None), ObjectLostError):
                return self._lost(task, "its audio was lost with a node")
            if self._nodes.look() > task.nodes_lost:
                return self._lost(task, "the node that scored it went away")
            return self._broke(task, "ended")
        if task.reads:
            assert isinstance(answer, BatchAnswer)
            objects = iter(task.objects)
            for flight, scene in zip(task.flights, answer.scenes, strict=True):
                flight.take(scene, next(objects), next(objects), self._sink)
            self._waiting.extendleft(reversed(task.flights))
            return []
        scores, seconds = answer
        self._busy += seconds
        self._items += sum(map(len, scores))
        return [
            (flight, flight.outcomes(found))
            for flight, found in zip(task.flights, scores, strict=True)
        ]

    def end_overdue(self) -> list[Landed]:
        """Stop the tasks that took too long; returns the scenes that fail."""
        import ray

        landed: list[Landed] = []
        for task in [task for task in self._tasks if time.monotonic() > task.deadline]:
            ray.cancel(task.answer, force=True)
            self._tasks.remove(task)
            self._restarts += 1
            if len(task.flights) == 1:
                text = "Scoring did not end within the time allowed (engine.item_timeout)."
                landed.append(_fail(task.flights[0], ItemTimeoutError(text)))
            else:
                landed += self._broke(task, "hung")
        return landed

    def _broke(self, task: _Task, how: str) -> list[Landed]:
        landed: list[Landed] = []
        alone = len(task.flights) == 1
        for flight in reversed(task.flights):
            flight.scorer_deaths += 1
            if alone and flight.scorer_deaths >= SCORER_DEATHS:
                text = f"The scoring process {how} on this scene, twice."
                landed.append(_fail(flight, ProcessDiedError(text)))
            else:
                self._waiting.appendleft(flight)
        return landed

    def _lost(self, task: _Task, reason: str) -> list[Landed]:
        landed: list[Landed] = []
        for flight in task.flights:
            if flight.lose(reason, self._settings.ray.retries):
                self.again.append(flight)
            else:
                landed.append((flight, flight.outcomes([])))
        return landed

    def close(self) -> None:
        """End the tasks; what they are doing is dropped."""
        import ray

        for task in self._tasks:
            ray.cancel(task.answer, force=True)
        self._tasks.clear()

    def snapshot(self) -> ScorersSnapshot:
        """How they are doing."""
        return ScorersSnapshot(
            processes=len(self._tasks),
            most=self._places.scorers,
            working=len(self._tasks),
            busy_seconds=self._busy,
            items=self._items,
            restarts=self._restarts,
        )


def _fail(flight: RayFlight, error: Exception) -> Landed:
    failure = Failure.of(error)
    if not flight.scorable:  # its kept estimates could not even be read
        for index in flight.kept:
            flight.pairs[index].failure = failure
    return flight, flight.failed(failure)
