"""The scoring processes: as many as it takes to keep up, each with one BLAS thread.

A scene that takes a process with it goes by itself the next time; if it does so again it fails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sepbench.harness.engines.events import SCENES_A_SCORER, ScorersSnapshot
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.processes import STARTS, Child
from sepbench.harness.engines.scorer import Scorer
from sepbench.harness.errors import ItemTimeoutError, ProcessDiedError
from sepbench.harness.records import Failure, ItemOutcome
from sepbench.harness.settings import EngineSettings

# A scene that takes two scoring processes with it is at fault itself.
SCORER_DEATHS = 2

Landed = tuple[Flight, list[ItemOutcome]]


class ScorerCrew:
    """Scenes waiting to be scored, and who scores them."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._scorers: list[Scorer] = []
        self._waiting: deque[Flight] = deque()
        self._busy = 0.0
        self._items = self._restarts = 0
        self._killed_starting = 0  # in a row

    def add(self, flights: Sequence[Flight]) -> None:
        """These have their estimates."""
        self._waiting.extend(flights)

    @property
    def behind(self) -> bool:
        """Whether a model that goes on would only fill the memory."""
        return len(self._waiting) >= self._settings.workers * SCENES_A_SCORER

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being scored."""
        return not self._waiting and not any(scorer.flights for scorer in self._scorers)

    @property
    def children(self) -> list[Child]:
        """The processes to wait for."""
        return [scorer.child for scorer in self._scorers]

    @property
    def waiting(self) -> int:
        """Scenes that nobody scores yet."""
        return len(self._waiting)

    @property
    def scoring(self) -> int:
        """Scenes being scored."""
        return sum(len(scorer.flights) for scorer in self._scorers)

    def dispatch(self) -> list[Landed]:
        """Hand out what waits; returns scenes that need no scoring."""
        landed: list[Landed] = []
        while self._waiting:
            if not self._waiting[0].scorable:
                flight = self._waiting.popleft()
                landed.append((flight, flight.outcomes([])))
                continue
            scorer = self._free_scorer()
            if scorer is None:
                break
            scorer.submit(self._portion())
        return landed

    def _portion(self) -> list[Flight]:
        """What one process gets now: a fair share of what waits."""
        share = -(-len(self._waiting) // self._settings.workers)
        flights: list[Flight] = []
        while self._waiting and len(flights) < min(share, SCENES_A_SCORER):
            flight = self._waiting[0]
            # A scene that has already cost a process goes by itself.
            if not flight.scorable or (flights and flight.scorer_deaths):
                break
            flights.append(self._waiting.popleft())
            if flight.scorer_deaths:
                break
        return flights

    def _free_scorer(self) -> Scorer | None:
        """One that is free; where all are busy another is started, while more are useful.

        Their number doubles at most each time those before have started: a quick grid is over
        before dozens of processes have imported their packages.
        """
        for scorer in self._scorers:
            if scorer.idle:
                return scorer
        starting = sum(not scorer.ready for scorer in self._scorers)
        room = self._settings.workers - len(self._scorers)
        if room > 0 and starting < max(1, len(self._scorers) - starting):
            self._scorers.append(Scorer(self._settings))
        return None

    def on_child(self, child: Child) -> list[Landed]:
        """A process answered or ended; returns the scenes that are through."""
        scorer = next(scorer for scorer in self._scorers if scorer.child is child)
        answer = scorer.receive()
        if answer is None:
            return self.on_end(child)
        self._killed_starting = 0
        flights, scorer.flights = scorer.flights, []
        landed = [
            (flight, flight.outcomes(scores))
            for flight, scores in zip(flights, answer, strict=True)
        ]
        self._items += sum(len(scores) for scores in answer)
        return landed

    def on_end(self, child: Child) -> list[Landed]:
        """A process ended, or must be ended; its scenes go to others or fail.

        Raises:
            ProcessDiedError: it could not even start, and neither could those before it.
        """
        scorer = next(scorer for scorer in self._scorers if scorer.child is child)
        timed_out = child.overdue
        how = child.kill(dying=not timed_out)
        if not scorer.ready:
            # One that is killed may have had bad luck; one that ends by itself would do so again.
            self._killed_starting += 1
            if not child.was_killed or self._killed_starting >= STARTS:
                raise ProcessDiedError(f"A scoring process {how} before it was ready; see above.")
        self._scorers.remove(scorer)
        self._busy += scorer.busy_seconds
        self._restarts += 1
        landed: list[Landed] = []
        for flight in reversed(scorer.flights):
            flight.scorer_deaths += 1
            if timed_out and len(scorer.flights) == 1:
                text = "Scoring did not end within the time allowed (engine.item_timeout)."
                landed.append((flight, flight.failed(Failure.of(ItemTimeoutError(text)))))
            elif flight.scorer_deaths >= SCORER_DEATHS and len(scorer.flights) == 1:
                text = f"The scoring process {how} on this scene, twice."
                landed.append((flight, flight.failed(Failure.of(ProcessDiedError(text)))))
            else:
                self._waiting.appendleft(flight)
        return landed

    def snapshot(self) -> ScorersSnapshot:
        """How they are doing."""
        return ScorersSnapshot(
            processes=len(self._scorers),
            most=self._settings.workers,
            working=sum(bool(scorer.flights) for scorer in self._scorers),
            busy_seconds=self._busy + sum(scorer.busy_seconds for scorer in self._scorers),
            items=self._items,
            restarts=self._restarts,
        )

    def close(self) -> None:
        """End the processes; what they are doing is dropped."""
        for scorer in self._scorers:
            self._busy += scorer.busy_seconds
            scorer.close()
        self._scorers.clear()
