"""Who works on what: the cells of a run by model, and which model a free place should take.

    jobs ──▶ Feed (one a model) ──▶ ready scenes ──▶ batches

Knows nothing of processes, machines or audio in memory: an engine asks it which scene to read
next, which model a free lane should load, and which scenes go together, and tells it what died.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sepbench.harness.engines.contract import CellJob, SceneWork, Sink
from sepbench.harness.engines.flight import Flight
from sepbench.harness.records import CellFacts, Failure
from sepbench.harness.stages.requests import ModelSpec

# Scenes read ahead of each lane, in batches: enough to find pairs of equal length.
BATCHES_AHEAD = 3
# A model is loaded a second time only where what is left takes this many times as long to do.
LOADS_THAT_PAY = 2.0
# Without a batch size given: pairs in the first message, before anything is known.
FIRST_BATCH = 2


@dataclass(slots=True, eq=False)
class Feed:
    """All that is left for one model, its cells in their order.

    Attributes:
        ready: scenes whose audio is there, waiting for the model.
        reading: scenes that were asked for and are not ready yet.
        left: scenes not asked for yet, at most.
        lanes: places that have this model, or are about to.
        dead: why the model is given up, or None.
        declined: lanes in which it did not work.
        wanted: pairs that a message should hold.
        load_seconds, scene_seconds: measured; None before.
    """

    spec: ModelSpec
    jobs: deque[CellJob]
    ready: deque[Flight] = field(default_factory=deque)
    reading: int = 0
    left: int = 0
    lanes: int = 0
    dead: Failure | None = None
    declined: int = 0
    wanted: int = FIRST_BATCH
    load_seconds: float | None = None
    scene_seconds: float | None = None

    @property
    def ahead(self) -> int:
        """How many scenes should be ready or on their way."""
        return self.wanted * BATCHES_AHEAD * max(1, self.lanes)

    @property
    def drawn(self) -> bool:
        """Whether every scene was asked for."""
        return not self.jobs

    @property
    def done(self) -> bool:
        """Whether no lane will find anything here again."""
        return self.dead is not None or (self.drawn and not self.reading and not self.ready)

    def draw(self) -> tuple[CellJob, SceneWork] | None:
        """The next scene to read, or None when there is none."""
        while self.jobs:
            work = next(self.jobs[0].scenes, None)
            if work is not None:
                self.left = max(0, self.left - 1)
                return self.jobs[0], work
            self.jobs.popleft()
        self.left = 0
        return None

    def batch(self, idle_lanes: int = 1) -> list[Flight]:
        """Scenes of the first one's shape, up to `wanted` pairs; they leave `ready`.

        Args:
            idle_lanes: that wait for this feed; what is left at the end is shared among them.
        """
        first = self.ready[0].loaded.mixture.shape
        alike = [flight for flight in self.ready if flight.loaded.mixture.shape == first]
        most = self.wanted
        if self.drawn and not self.reading and idle_lanes > 1:
            pairs = sum(len(flight.waiting) for flight in self.ready)
            most = min(most, -(-pairs // idle_lanes))
        chosen: list[Flight] = []
        count = 0
        for flight in alike:
            chosen.append(flight)
            count += len(flight.waiting)
            if count >= most:
                break
        taken = {id(flight) for flight in chosen}
        self.ready = deque(flight for flight in self.ready if id(flight) not in taken)
        return chosen

    def worth_sharing(self) -> bool:
        """Whether another lane should load this model too."""
        waiting = self.left + self.reading + len(self.ready)
        if self.scene_seconds is None or self.load_seconds is None:
            return waiting >= 2 * (self.lanes + 1)  # nothing is known yet; each gets a share
        left_seconds = waiting * self.scene_seconds / (self.lanes + 1)
        return waiting > self.lanes and left_seconds > LOADS_THAT_PAY * self.load_seconds


class Schedule:
    """The feeds of a run, in the order of their first cells.

    Args:
        jobs: cells with work left; those of one model become one feed, so that it loads once.
        sink: is told of loaded models and of cells that cannot be carried out.
        reading_ahead: scenes that are read at once; at least so many are asked for.
    """

    def __init__(self, jobs: Iterable[CellJob], sink: Sink, *, reading_ahead: int = 1) -> None:
        self.feeds: list[Feed] = []
        for job in jobs:
            feed = next((f for f in self.feeds if f.spec == job.model), None)
            if feed is None:
                feed = Feed(job.model, deque())
                if job.model.batch_size is not None:
                    feed.wanted = job.model.batch_size
                self.feeds.append(feed)
            feed.jobs.append(job)
            feed.left += job.num_scenes
        self._sink = sink
        self._reading_ahead = reading_ahead
        self._told: dict[int, CellFacts] = {}
        self._refused: set[int] = set()

    @property
    def done(self) -> bool:
        """Whether there is nothing left to read or to separate."""
        return all(feed.done for feed in self.feeds)

    # --- reading ------------------------------------------------------------------------

    def next_scene(self) -> tuple[Feed, CellJob, SceneWork] | None:
        """What to read next: for the lane that is nearest to waiting, while any could wait."""
        while True:
            wanting = [
                feed
                for feed in self._open_feeds()
                if _supply(feed) < max(feed.ahead, self._reading_ahead)
            ]
            if not wanting:
                return None
            feed = min(wanting, key=lambda f: _supply(f) / f.ahead)
            drawn = feed.draw()
            if drawn is not None:
                feed.reading += 1
                return feed, *drawn

    def _open_feeds(self) -> list[Feed]:
        """Those in lanes and, where these are about to run dry, the next one."""
        alive = [feed for feed in self.feeds if feed.dead is None and not feed.drawn]
        claimed = [feed for feed in alive if feed.lanes]
        waiting = [feed for feed in alive if not feed.lanes]
        return claimed or waiting[:1]

    @property
    def coming(self) -> bool:
        """Whether a model that no lane has will be wanted."""
        return any(not (feed.done or feed.lanes) for feed in self.feeds)

    # --- lanes --------------------------------------------------------------------------

    def choose(self, declined: Sequence[Feed] = ()) -> Feed | None:
        """The feed a free lane should take: a model of its own first, else a share of one.

        Args:
            declined: models that do not work in this lane.
        """
        open_feeds = [feed for feed in self.feeds if not feed.done and feed not in declined]
        for feed in open_feeds:
            if not feed.lanes:
                return feed
        shared = [feed for feed in open_feeds if feed.worth_sharing()]
        return max(shared, key=lambda f: (f.left + len(f.ready)) / f.lanes, default=None)

    def give_up(self, feed: Feed, failure: Failure) -> list[Flight]:
        """The model cannot be used: its cells are told; its scenes leave and are returned."""
        feed.dead = feed.dead or failure
        dropped = list(feed.ready)
        feed.ready.clear()
        for job in [flight.job for flight in dropped]:
            self.tell_given_up(feed, job)
        for job in feed.jobs:
            if next(job.scenes, None) is not None:
                self.tell_given_up(feed, job)
        feed.jobs.clear()
        feed.left = 0
        return dropped

    def tell_given_up(self, feed: Feed, job: CellJob) -> None:
        """Tell a cell, once, that its model was given up."""
        if feed.dead is not None and job.cell_id not in self._refused:
            self._refused.add(job.cell_id)
            self._sink.cell_failed(job.cell_id, feed.dead)

    def tell_facts(self, flights: Sequence[Flight], facts: CellFacts | None) -> None:
        """Tell cells what is known of their model: at its first answer, and when more is known.

        With several lanes the first one to answer speaks for all.
        """
        for cell_id in {flight.job.cell_id for flight in flights} if facts is not None else ():
            assert facts is not None
            told = self._told.get(cell_id)
            if told is None or (told.flops_per_second is None and facts != told):
                self._told[cell_id] = facts
                self._sink.cell_loaded(cell_id, facts)

    def stop(self) -> list[Flight]:
        """Begin nothing any more; returns the scenes that were ready."""
        dropped = [flight for feed in self.feeds for flight in feed.ready]
        for feed in self.feeds:
            feed.ready.clear()
            feed.jobs.clear()
            feed.left = 0
        return dropped


def _supply(feed: Feed) -> int:
    return feed.reading + len(feed.ready)
