"""One machine: a process a device for the models, processes for scoring, threads for reading.

    Schedule ─▶ Intake (threads ─▶ arena) ─▶ Lanes (processes) ─▶ ScorerCrew (processes) ─▶ sink

The driver is one loop in one thread: it moves what is ready, then sleeps until a pipe, a dying
process, a finished read or a deadline wakes it. It alone allocates, decides and records.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from multiprocessing.connection import wait

from sepbench.harness.engines.arena import Arena
from sepbench.harness.engines.contract import CellJob, EngineContext, Sink
from sepbench.harness.engines.crew import Landed, ScorerCrew
from sepbench.harness.engines.custody import whole
from sepbench.harness.engines.devices import on_cpu
from sepbench.harness.engines.events import EngineSnapshot, QueueDepths
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.intake import Intake
from sepbench.harness.engines.lane import Lane, Spare
from sepbench.harness.engines.ledger import Ledger
from sepbench.harness.engines.loading import Loader
from sepbench.harness.engines.outcomes import refuse_changed_examples
from sepbench.harness.engines.processes import Child
from sepbench.harness.engines.schedule import Feed, Schedule
from sepbench.harness.settings import EngineSettings

LONGEST_SLEEP = 1.0  # seconds; a request to stop is noticed after so long at the latest
# A model that works neither here nor there is at fault itself, and not the device.
LANES_TO_TRY = 2


class LocalEngine:
    """Runs jobs on this machine."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context

    def run(self, jobs: Iterable[CellJob], sink: Sink) -> None:
        """Carry out all jobs.

        Raises:
            ScratchError: no room for the audio in flight.
        """
        driver = _Driver(self._context, jobs, sink)
        try:
            driver.loop()
        finally:
            driver.close()


def threads_per_lane(settings: EngineSettings, devices: tuple[str, ...]) -> int:
    """CPU threads of one separation process: what was asked for, else a fair share of the cores.

    Lanes on a GPU compute little on the CPU, and the scorers need the cores.
    """
    if settings.threads is not None:
        return settings.threads
    sharing = len(devices) if any(on_cpu(device) for device in devices) else 2 * len(devices)
    return max(1, settings.cores // sharing)


class _Driver:
    """The state of one run and the loop over it."""

    def __init__(self, context: EngineContext, jobs: Iterable[CellJob], sink: Sink) -> None:
        settings = context.settings
        self._sink = sink
        self._arena = Arena(context.scratch, settings.memory_bytes)
        self._loader = Loader(settings.loaders, settings.item_timeout)
        self._schedule = Schedule(jobs, sink, reading_ahead=settings.loaders)
        self._intake = Intake(self._arena, self._loader, self._schedule, sink)
        self._spare = Spare(threads_per_lane(settings, context.devices))
        self._lanes = [
            Lane(number, device, settings, self._spare)
            for number, device in enumerate(context.devices)
        ]
        self._crew = ScorerCrew(settings)
        self._ledger = Ledger(sink)
        self._stopping = False

    # --- the loop -----------------------------------------------------------------------

    def loop(self) -> None:
        """Until nothing is left."""
        while True:
            if self._sink.stop and not self._stopping:
                self._stop()
            moved = self._assign() | self._read() | self._separate() | self._score()
            self._ledger.flush()
            self._ledger.tell(self._snapshot)
            if not moved:
                if self._done():
                    return
                self._wait()

    def close(self) -> None:
        """End children and threads, and record what is finished, whatever happened."""
        try:
            for lane in self._lanes:
                lane.close()
            self._spare.close()
            self._crew.close()
            self._loader.close()
            self._ledger.flush()
            self._ledger.tell(self._snapshot, last=True)
        finally:
            self._arena.close()

    def _done(self) -> bool:
        return (
            self._schedule.done
            and not self._intake.reading
            and all(lane.idle for lane in self._lanes)
            and self._crew.idle
        )

    def _wait(self) -> None:
        lanes = {lane.child: lane for lane in self._lanes if lane.child is not None}
        children: list[Child] = [*lanes, *self._crew.children]
        deadlines = [child.deadline for child in children if child.deadline is not None]
        timeout = min([LONGEST_SLEEP, *(max(0.0, d - time.monotonic()) for d in deadlines)])
        pipes = [child.pipe for child in children if child.pipe is not None]
        woken = wait([*pipes, self._loader.wakeup, *(c.sentinel for c in children)], timeout)
        if self._loader.wakeup in woken:
            self._loader.drain_wakeups()
        for child in children:
            answered = child.pipe is not None and child.pipe in woken
            ended = child.sentinel in woken
            if not (answered or ended or child.overdue):
                continue
            lane = lanes.get(child)
            if lane is None:
                self._land(self._crew.on_child(child) if answered else self._crew.on_end(child))
            elif answered:
                self._separated(lane, lane.on_answer())
            else:
                self._separated(lane, lane.on_end(timed_out=not ended))

    def _stop(self) -> None:
        """The run is to end: finish what is in flight, begin nothing."""
        self._stopping = True
        for lane in self._lanes:
            lane.stop()

    # --- the stages ---------------------------------------------------------------------

    def _assign(self) -> bool:
        """Give each lane that is through with its model another one."""
        moved = False
        for lane in self._lanes:
            feed = lane.feed
            if feed is None or (feed.done and lane.idle):
                following = self._schedule.choose(lane.declined)
                if following is not None:
                    lane.use(following)
                    moved = True
                elif feed is not None:
                    lane.leave()
        return moved

    def _read(self) -> bool:
        if self._stopping:
            self._intake.stop()
            for flight in self._schedule.stop():
                self._arena.free(flight.blocks)
            return False
        # A model that outruns the scorers gains nothing by filling the arena.
        moved = False if self._crew.behind else self._intake.pull()
        moved |= self._intake.stage()
        failed, self._intake.failed = self._intake.failed, []
        self._ledger.add(failed)
        kept, self._intake.scored_next = self._intake.scored_next, []
        self._crew.add(kept)
        return moved

    def _separate(self) -> bool:
        moved = False
        for lane in self._lanes:
            feed = lane.feed
            if feed is None:
                continue
            if feed.drawn and self._schedule.coming:
                self._spare.prepare()
            if lane.retry():
                moved = True
            elif feed.ready and lane.room:
                flights = feed.batch(self._hungry(feed))
                lane.submit([whole(flight) for flight in flights])
                moved = True
            elif feed.ready:
                lane.start()
        return moved

    def _hungry(self, feed: Feed) -> int:
        """Lanes of a model that have nothing to do."""
        return sum(lane.feed is feed and not lane.separating for lane in self._lanes)

    def _separated(self, lane: Lane, flights: list[Flight]) -> None:
        self._schedule.tell_facts(flights, lane.facts)
        for flight in flights:
            refuse_changed_examples(flight.job, flight.pairs, self._sink)
        self._crew.add(flights)
        if lane.feed is not None and lane.failed is not None:
            self._declined(lane, lane.feed)

    def _declined(self, lane: Lane, feed: Feed) -> None:
        """A model does not work in a lane: another may try; then it is given up."""
        assert lane.failed is not None
        feed.declined += 1
        lane.declined.append(feed)
        if feed.declined < min(LANES_TO_TRY, len(self._lanes)):
            lane.leave()  # what it held waits for the others
            return
        for flight in self._schedule.give_up(feed, lane.failed):
            # Estimates that were made are still scored; the others stay missing.
            flight.abandon()
            self._crew.add([flight])

    def _score(self) -> bool:
        landed = self._crew.dispatch()
        self._land(landed)
        return bool(landed)

    def _land(self, landed: list[Landed]) -> None:
        for flight, outcomes in landed:
            self._ledger.add(outcomes)
            self._arena.free(flight.blocks)

    # --- watching -----------------------------------------------------------------------

    def _snapshot(self, seconds: float) -> EngineSnapshot:
        return EngineSnapshot(
            seconds=seconds,
            lanes=tuple(lane.snapshot() for lane in self._lanes),
            scorers=self._crew.snapshot(),
            depths=QueueDepths(
                reading=self._intake.reading,
                ready=sum(len(feed.ready) for feed in self._schedule.feeds),
                separating=sum(lane.separating for lane in self._lanes),
                to_score=self._crew.waiting,
                scoring=self._crew.scoring,
            ),
            cells=dict(self._ledger.cells),
            stages=dict(self._ledger.stages),
            scratch_bytes=self._arena.in_use,
            stopping=self._stopping,
        )
