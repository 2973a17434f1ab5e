"""From rows to audio in the arena: reads ahead of the lanes, as far as there is room."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from sepbench.harness.engines.arena import Arena, BlockReader
from sepbench.harness.engines.contract import Sink
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.loading import Arrival, Loader
from sepbench.harness.engines.outcomes import outcome_of
from sepbench.harness.engines.schedule import Feed, Schedule
from sepbench.harness.errors import DatasetError
from sepbench.harness.records import Failure, ItemOutcome
from sepbench.harness.stages.requests import PairResult

# Audio that was read and waits for room in the arena is in the driver's own memory, beside the
# budget: this part of the budget at most, or one scene.
READING_SHARE = 0.25


class Intake:
    """Scenes on their way in.

    Attributes:
        failed: records of scenes that could not be read; whoever takes them empties the list.
        scored_next: scenes that need no model (kept estimates); likewise.
    """

    def __init__(self, arena: Arena, loader: Loader, schedule: Schedule, sink: Sink) -> None:
        self._arena, self._loader = arena, loader
        self._schedule, self._sink = schedule, sink
        self._reader = BlockReader()
        self._asked: deque[Feed] = deque()  # of each scene that is being read, in order
        self._staged: tuple[Feed, Arrival] | None = None
        self._largest = 0  # bytes of a scene as it was read
        self.failed: list[ItemOutcome] = []
        self.scored_next: list[Flight] = []

    @property
    def reading(self) -> int:
        """Scenes asked for and not yet in the arena."""
        return len(self._asked) + (self._staged is not None)

    def pull(self) -> bool:
        """Ask for scenes while there is room for them."""
        moved = False
        while not self._loader.full and self._staged is None and self._affordable:
            following = self._schedule.next_scene()
            if following is None:
                break
            feed, job, work = following
            self._asked.append(feed)
            self._loader.submit(job, work)
            moved = True
        return moved

    @property
    def _affordable(self) -> bool:
        """Whether another scene may be read before those that are being read have a place."""
        asked = len(self._asked)
        if not self._largest:  # of the first ones nothing is known
            return asked < self._loader.threads
        return not asked or (asked + 1) * self._largest <= self._arena.limit * READING_SHARE

    def stage(self) -> bool:
        """Put scenes that were read into the arena."""
        moved = False
        while True:
            if self._staged is None:
                arrival = self._loader.take()
                if arrival is None:
                    return moved
                moved = True
                self._largest = max(self._largest, arrival.nbytes)
                feed = self._asked.popleft()
                if not self._admitted(feed, arrival):
                    feed.reading -= 1
                    continue
                self._staged = (feed, arrival)
            if not self._place(*self._staged):
                return moved
            self._staged = None
            moved = True

    def _admitted(self, feed: Feed, arrival: Arrival) -> bool:
        """Whether the scene was read, is what it was, and its model still wanted."""
        job, failure = arrival.job, arrival.failure
        if feed.dead is not None:
            self._schedule.tell_given_up(feed, job)
            return False
        if arrival.loaded is not None:
            try:
                self._sink.check_files(job.protocol.dataset, arrival.loaded.files)
            except DatasetError as error:
                failure = Failure.of(error)
        if failure is not None:
            items = [item for item in arrival.work.items if item.metrics]
            self.failed += [outcome_of(job, item, failure=failure) for item in items]
        return failure is None

    def _place(self, feed: Feed, arrival: Arrival) -> bool:
        """Copy a scene into the arena; False while there is no room."""
        loaded = arrival.loaded
        assert loaded is not None
        channels, length = loaded.mixture.shape
        names, count = list(loaded.sources), len(arrival.work.items)
        blocks = self._arena.allocate([(channels, length)] * (1 + len(names) + count))
        if blocks is None:
            return False
        flight = Flight(
            job=arrival.job,
            work=arrival.work,
            loaded=loaded,
            mixture=blocks[0],
            sources=dict(zip(names, blocks[1 : 1 + len(names)], strict=True)),
            estimates=blocks[1 + len(names) :],
            waiting=[],
            pairs=[PairResult() for _ in range(count)],
        )
        self._reader.array(flight.mixture)[...] = loaded.mixture
        for name, block in flight.sources.items():
            self._reader.array(block)[...] = loaded.sources[name]
        for index, estimate in arrival.kept.items():
            self._reader.array(flight.estimates[index])[...] = estimate
        for index, failure in arrival.item_failures.items():
            flight.pairs[index].failure = failure
        # From here on the audio lives in the arena alone.
        flight.loaded = replace(loaded, mixture=self._reader.array(flight.mixture), sources={})
        given = {*arrival.kept, *arrival.item_failures}
        flight.waiting = [i for i in range(count) if i not in given]
        feed.reading -= 1
        if feed.dead is not None:
            self._schedule.tell_given_up(feed, flight.job)
            self._arena.free(flight.blocks)
        elif flight.waiting:
            feed.ready.append(flight)
        else:
            self.scored_next.append(flight)
        return True

    def stop(self) -> None:
        """Drop what is on its way in."""
        if self._staged is not None:
            self._staged[0].reading -= 1
            self._staged = None
        self._loader.drop()
        while self._asked:
            self._asked.popleft().reading -= 1
