"""Many machines: separation actors and scoring tasks of a Ray cluster, fed from this process.

    Schedule ─▶ RayLanes (actors: read, separate) ─▶ RayScoring (tasks) ─▶ sink

The driver is one loop in one thread, as in the local engine, and keeps the same books. Audio is
read where it is separated and passes through Ray's object store; only facts and scores come here.
Ray repeats nothing by itself: the driver decides what goes again, since it alone knows what is
recorded.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import Any, cast

from sepbench.harness.engines.contract import CellJob, EngineContext, SceneWork, Sink
from sepbench.harness.engines.custody import whole
from sepbench.harness.engines.events import EngineSnapshot, QueueDepths
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.ledger import Ledger
from sepbench.harness.engines.local import LANES_TO_TRY, LONGEST_SLEEP
from sepbench.harness.engines.outcomes import refuse_changed_examples
from sepbench.harness.engines.ray_cluster import (
    Nodes,
    all_resources,
    connected,
    find_places,
    free_resources,
)
from sepbench.harness.engines.ray_flight import RayFlight
from sepbench.harness.engines.ray_lane import RayLane
from sepbench.harness.engines.ray_scoring import Landed, RayScoring
from sepbench.harness.engines.schedule import Feed, Schedule
from sepbench.harness.errors import STRANGER_ERRORS, PluginError, ProcessDiedError
from sepbench.harness.records import Failure

# Scoring that gets no CPU for so long takes the place of an actor: a cluster may have shrunk.
SECONDS_OF_STALL = 10.0


class RayEngine:
    """Runs jobs on a Ray cluster."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context

    def run(self, jobs: Iterable[CellJob], sink: Sink) -> None:
        """Carry out all jobs.

        Raises:
            MissingExtraError: Ray is not installed.
            SettingError: there is no such cluster, or no room in it.
            ProcessDiedError: no actor could be started any more.
        """
        with connected(self._context.settings):
            driver = _Driver(self._context, jobs, sink)
            try:
                driver.loop()
            finally:
                driver.close()


class _Driver:
    """The state of one run and the loop over it."""

    def __init__(self, context: EngineContext, jobs: Iterable[CellJob], sink: Sink) -> None:
        settings = context.settings
        self._sink, self._start_timeout = sink, settings.ray.start_timeout
        self._places = find_places(context)
        nodes = Nodes()
        self._schedule = Schedule(jobs, sink)
        self._lanes = [
            RayLane(number, self._places, settings, nodes, sink)
            for number in range(self._places.actors)
        ]
        self._scoring = RayScoring(settings, self._places, nodes, sink)
        self._ledger = Ledger(sink)
        self._cells: dict[int, Any] = {}  # cell id -> reference; None where it cannot be sent
        self._scene_bytes = 0  # the largest so far
        self._stopping = False

    # --- the loop -----------------------------------------------------------------------

    def loop(self) -> None:
        """Until nothing is left."""
        while True:
            if self._sink.stop and not self._stopping:
                self._stop()
            moved = self._assign() | self._draw() | self._separate() | self._score()
            self._ledger.flush()
            self._ledger.tell(self._snapshot)
            if not moved:
                if self._done():
                    return
                self._wait()

    def close(self) -> None:
        """End actors and tasks, and record what is finished, whatever happened."""
        for lane in self._lanes:
            lane.close()
        self._scoring.close()
        self._ledger.flush()
        self._ledger.tell(self._snapshot, last=True)

    def _done(self) -> bool:
        return self._schedule.done and all(lane.idle for lane in self._lanes) and self._scoring.idle

    def _wait(self) -> None:
        import ray

        lanes = {lane.ref: lane for lane in self._lanes if lane.ref is not None}
        refs = [*lanes, *self._scoring.refs]
        deadlines = [lane.deadline for lane in self._lanes if lane.deadline is not None]
        now = time.monotonic()
        timeout = min([LONGEST_SLEEP, *(d - now for d in [*deadlines, *self._scoring.deadlines])])
        if refs:
            ready, _ = ray.wait(refs, timeout=max(0.0, timeout), fetch_local=False)
            if ready:
                ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)
        else:
            self._require_hope()
            time.sleep(max(0.0, timeout))
            ready = []
        for ref in ready:
            if ref in lanes:
                self._separated(lanes[ref], lanes[ref].on_ready())
            else:
                self._land(self._scoring.on_ready(ref))
        for lane in self._lanes:
            if lane.overdue:
                self._separated(lane, lane.on_overdue())
        self._land(self._scoring.end_overdue())
        self._make_room_to_score()

    def _require_hope(self) -> None:
        """Nothing is under way: that is fine while a lane may still begin.

        Raises:
            ProcessDiedError: every lane waits for room that does not come.
        """
        if all(lane.resting for lane in self._lanes) and self._scoring.idle:
            raise ProcessDiedError(
                f"No actor found room in the cluster within {self._start_timeout:g} s "
                "(engine.ray.start_timeout). What is done is kept; the same command goes on."
            )

    def _make_room_to_score(self) -> None:
        """Where nodes are gone, actors may have all CPUs that are left; then one steps back."""
        if not self._scoring.stalled(SECONDS_OF_STALL):
            return
        free, total = free_resources().get("CPU", 0.0), all_resources().get("CPU", 0.0)
        if free >= 1 or total < 1:
            return
        having = [lane for lane in self._lanes if lane.feed is not None and not lane.resting]
        taken = len(having) * self._places.options["num_cpus"]
        if having and total - taken < 1:
            having[-1].step_back()

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
                following = None if lane.resting else self._schedule.choose(lane.declined)
                if following is not None:
                    lane.use(following)
                    moved = True
                elif feed is not None:
                    lane.leave()
        return moved

    def _draw(self) -> bool:
        """Take scenes from the cells as far as lanes want them; their audio is read later."""
        if self._stopping:
            self._schedule.stop()
            self._scoring.again.clear()
            return False
        moved = False
        again, self._scoring.again = self._scoring.again, []
        for lost in again:
            self._go_again(lost)
            moved = True
        while not self._scoring.behind:
            following = self._schedule.next_scene()
            if following is None:
                break
            feed, job, work = following
            feed.reading -= 1
            moved = True
            flight = self._flight(job, work)
            if flight is None:
                continue
            if flight.waiting:
                feed.ready.append(flight)
            else:
                self._scoring.add([flight])
        return moved

    def _flight(self, job: CellJob, work: SceneWork) -> RayFlight | None:
        """A scene with a reference to its cell; None where the cell cannot be sent."""
        import ray

        if job.cell_id not in self._cells:
            try:
                self._cells[job.cell_id] = ray.put(dataclasses.replace(job, scenes=iter(())))
            except STRANGER_ERRORS as error:  # what a stranger's dataset raises when packed
                text = (
                    f"Dataset {job.protocol.dataset} cannot be sent to other machines: "
                    f"{type(error).__name__}: {error}. Give it attributes that pickle takes, or "
                    "use engine=local."
                )
                self._cells[job.cell_id] = None
                self._sink.cell_failed(job.cell_id, Failure.of(PluginError(text)))
        cell = self._cells[job.cell_id]
        return None if cell is None else RayFlight.begin(job, work, cell)

    def _go_again(self, flight: RayFlight) -> None:
        feed = next(feed for feed in self._schedule.feeds if feed.spec == flight.job.model)
        if not flight.waiting:
            self._scoring.add([flight])
        elif feed.dead is None:
            feed.ready.appendleft(flight)
        else:
            self._schedule.tell_given_up(feed, flight.job)
            flight.abandon()
            self._scoring.add([flight])  # for what is kept of it

    def _separate(self) -> bool:
        moved = False
        for lane in self._lanes:
            feed = lane.feed
            if feed is None or lane.resting:
                continue
            if lane.retry():
                moved = True
            elif feed.ready and lane.room and self._has_room():
                flights = feed.batch(self._hungry(feed))
                lane.submit([whole(flight) for flight in flights])
                moved = True
            elif feed.ready:
                lane.start()
        return moved

    def _hungry(self, feed: Feed) -> int:
        """Lanes of a model that have nothing to do."""
        return sum(lane.feed is feed and not lane.flights for lane in self._lanes)

    def _has_room(self) -> bool:
        """Whether the cluster's memory holds another batch beside all audio that is in it."""
        inside = [flight for lane in self._lanes for flight in lane.flights]
        inside += self._scoring.flights
        if not inside:
            return True
        taken = sum(flight.nbytes or self._scene_bytes for flight in inside)
        return not self._scoring.behind and taken < self._places.store_bytes

    def _separated(self, lane: RayLane, flights: Sequence[Flight]) -> None:
        self._schedule.tell_facts(flights, lane.facts)
        done = cast("list[RayFlight]", flights)
        for flight in done:
            refuse_changed_examples(flight.job, flight.pairs, self._sink)
            self._scene_bytes = max(self._scene_bytes, flight.nbytes)
        self._scoring.add(done)
        if lane.feed is not None and lane.failed is not None:
            self._declined(lane, lane.feed)

    def _declined(self, lane: RayLane, feed: Feed) -> None:
        """A model does not work in a lane: another may try; then it is given up."""
        assert lane.failed is not None
        feed.declined += 1
        lane.declined.append(feed)
        if feed.declined < min(LANES_TO_TRY, len(self._lanes)):
            lane.leave()  # what it held waits for the others
            return
        for flight in cast("list[RayFlight]", self._schedule.give_up(feed, lane.failed)):
            # Estimates that were made are still scored; the others stay missing.
            flight.abandon()
            self._scoring.add([flight])

    def _score(self) -> bool:
        landed = self._scoring.dispatch()
        self._land(landed)
        return bool(landed)

    def _land(self, landed: Sequence[Landed]) -> None:
        for flight, outcomes in landed:
            self._ledger.add(outcomes)
            flight.release()

    # --- watching -----------------------------------------------------------------------

    def _snapshot(self, seconds: float) -> EngineSnapshot:
        held = [flight for lane in self._lanes for flight in lane.flights]
        scored = self._scoring.flights
        return EngineSnapshot(
            seconds=seconds,
            lanes=tuple(lane.snapshot() for lane in self._lanes),
            scorers=self._scoring.snapshot(),
            depths=QueueDepths(
                ready=sum(len(feed.ready) for feed in self._schedule.feeds),
                separating=len(held),
                to_score=self._scoring.waiting,
                scoring=len(scored) - self._scoring.waiting,
            ),
            cells=dict(self._ledger.cells),
            stages=dict(self._ledger.stages),
            scratch_bytes=sum(flight.nbytes for flight in [*held, *scored]),
            stopping=self._stopping,
        )
