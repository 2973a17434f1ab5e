"""A scoring process and the scenes it holds."""

from __future__ import annotations

from sepbench.harness.engines.children import Ready, Scored, ScoreMessage, scoring_main
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.processes import Child
from sepbench.harness.settings import EngineSettings
from sepbench.harness.stages.score import ItemScores


class Scorer:
    """One scoring process; starting it does not count as time of its first items.

    Attributes:
        flights: what it works on.
        ready: it has started and waits for work, or works.
        busy_seconds: spent on scoring.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._item_timeout = settings.item_timeout
        self.busy_seconds = 0.0
        self.child = Child("sepbench-score", scoring_main, (), 1)
        self.child.expect(settings.load_timeout)
        self.flights: list[Flight] = []
        self.ready = False

    @property
    def idle(self) -> bool:
        """Whether it can be given work."""
        return self.ready and not self.flights

    def submit(self, flights: list[Flight]) -> None:
        """Score these scenes."""
        self.flights = flights
        items = sum(len(flight.scorable) for flight in flights)
        message = ScoreMessage(tuple(flight.score_message() for flight in flights))
        self.child.send(message, self._item_timeout * items)

    def receive(self) -> list[list[ItemScores]] | None:
        """Scores of the scenes it holds, none when it has just started; None when it died."""
        answer = self.child.receive()
        if isinstance(answer, Ready):
            self.ready = True
            return []
        if isinstance(answer, Scored):
            self.busy_seconds += answer.busy_seconds
            return answer.results
        return None

    def close(self) -> None:
        """End it; what it is doing is dropped."""
        if self.idle:
            self.child.close()
        else:
            self.child.kill()
