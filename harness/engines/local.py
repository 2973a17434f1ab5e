"""One machine: a process for the model, processes for scoring, threads for reading.

    source ─▶ Loader (threads) ─▶ Arena ─▶ SeparationLane (process) ─▶ Scorers (processes) ─▶ sink

The driver is one loop in one thread: it moves what is ready, then sleeps until a pipe, a dying
process, a finished read or a deadline wakes it. It alone allocates, decides and records.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from multiprocessing.connection import wait

from sepbench.harness.engines.arena import Arena, BlockReader
from sepbench.harness.engines.contract import CellJob, EngineContext, SceneWork, Sink
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.lane import Piece, SeparationLane
from sepbench.harness.engines.loading import Arrival, Loader
from sepbench.harness.engines.outcomes import outcome_of, refuse_changed_examples
from sepbench.harness.engines.scorer import Scorer
from sepbench.harness.errors import DatasetError, ItemTimeoutError, ProcessDiedError
from sepbench.harness.records import CellFacts, Failure, ItemOutcome
from sepbench.harness.stages.requests import ModelSpec, PairResult

# A scene that takes two scoring processes with it is at fault itself.
SCORER_DEATHS = 2
SCENES_PER_SCORE_MESSAGE = 8
# Scenes read ahead of the model, in batches: enough to find pairs of equal length.
BATCHES_AHEAD = 3


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


class _Driver:
    """The state of one run and the loop over it."""

    def __init__(self, context: EngineContext, jobs: Iterable[CellJob], sink: Sink) -> None:
        settings = context.settings
        self._settings = settings
        self._sink = sink
        self._arena = Arena(context.scratch, settings.memory_bytes)
        self._reader = BlockReader()
        self._loader = Loader(settings.loaders)
        self._lane = SeparationLane(settings)
        self._scorers: list[Scorer] = []
        self._source = self._scenes(jobs)
        self._exhausted = False
        self._newest: ModelSpec | None = None
        self._given_up: list[tuple[ModelSpec, Failure]] = []
        self._told: dict[int, CellFacts] = {}
        self._refused: set[int] = set()
        self._staged: deque[Arrival] = deque()
        self._ready: deque[Flight] = deque()
        self._to_score: deque[Flight] = deque()
        self._finished: list[ItemOutcome] = []

    # --- the loop -----------------------------------------------------------------------

    def loop(self) -> None:
        """Until nothing is left."""
        while True:
            if self._sink.stop:
                self._drop_unstarted()
            moved = self._pull() | self._stage() | self._separate() | self._score()
            self._flush()
            if not moved:
                if self._done():
                    return
                self._wait()

    def close(self) -> None:
        """End children and threads, and record what is finished, whatever happened."""
        try:
            self._lane.close()
            for scorer in self._scorers:
                scorer.close()
            self._loader.close()
            self._flush()
        finally:
            self._arena.close()

    def _done(self) -> bool:
        return (
            self._exhausted
            and self._loader.idle
            and not (self._staged or self._ready or self._to_score)
            and self._lane.idle
            and not any(scorer.flights for scorer in self._scorers)
        )

    def _flush(self) -> None:
        if self._finished:
            outcomes, self._finished = self._finished, []
            self._sink.record(outcomes)

    def _wait(self) -> None:
        children = [s.child for s in self._scorers]
        if self._lane.child is not None:
            children.append(self._lane.child)
        deadlines = [c.deadline for c in children if c.deadline is not None]
        timeout = max(0.0, min(deadlines) - time.monotonic()) if deadlines else 1.0
        pipes = [child.connection for child in children]
        ends = [self._loader.wakeup, *(child.sentinel for child in children)]
        woken = wait([*pipes, *ends], timeout)
        if self._loader.wakeup in woken:
            self._loader.drain_wakeups()
        lane = self._lane.child
        if lane is not None:
            if lane.connection in woken:
                self._lane_answered(self._lane.on_answer())
            elif lane.sentinel in woken:
                self._lane_answered(self._lane.on_end())
            elif lane.overdue:
                self._lane_answered(self._lane.on_end(timed_out=True))
        for scorer in list(self._scorers):
            if scorer.child.connection in woken:
                self._scorer_answered(scorer)
            elif scorer.child.sentinel in woken or scorer.child.overdue:
                self._scorer_ended(scorer)

    # --- reading ------------------------------------------------------------------------

    def _scenes(self, jobs: Iterable[CellJob]) -> Iterator[tuple[CellJob, SceneWork]]:
        for job in jobs:
            for work in job.scenes:
                if self._failure_of(job.model) is not None:
                    self._tell_given_up(job)
                    break
                yield job, work

    def _pull(self) -> bool:
        """Ask for scenes while there is room for them."""
        moved = False
        while not self._exhausted and not self._loader.full and not self._staged:
            ahead = self._newest.batch_size * BATCHES_AHEAD if self._newest else 1
            if len(self._ready) >= max(ahead, self._settings.loaders):
                break
            if len(self._to_score) >= self._settings.workers * SCENES_PER_SCORE_MESSAGE:
                break  # a model that outruns the scorers gains nothing by filling the arena
            following = next(self._source, None)
            if following is None:
                self._exhausted = True
                break
            job, work = following
            if self._newest is not None and job.model != self._newest:
                self._lane.prepare_spare()
            self._newest = job.model
            self._loader.submit(job, work)
            moved = True
        return moved

    def _stage(self) -> bool:
        """Put scenes that were read into the arena."""
        moved = False
        while True:
            if not self._staged:
                arrival = self._loader.take()
                if arrival is None:
                    return moved
                moved = True
                if not self._admitted(arrival):
                    continue
                self._staged.append(arrival)
            if not self._place(self._staged[0]):
                return moved
            self._staged.popleft()
            moved = True

    def _admitted(self, arrival: Arrival) -> bool:
        """Whether the scene was read, is what it was, and its model still wanted."""
        job, failure = arrival.job, arrival.failure
        if self._failure_of(job.model) is not None:
            self._tell_given_up(job)
            return False
        if arrival.loaded is not None:
            try:
                self._sink.check_files(job.protocol.dataset, arrival.loaded.files)
            except DatasetError as error:
                failure = Failure.of(error)
        if failure is not None:
            items = [item for item in arrival.work.items if item.metrics]
            self._finished += [outcome_of(job, item, failure=failure) for item in items]
        return failure is None

    def _place(self, arrival: Arrival) -> bool:
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
        (self._ready if flight.waiting else self._to_score).append(flight)
        return True

    # --- separating ---------------------------------------------------------------------

    def _separate(self) -> bool:
        lane = self._lane
        if lane.busy or lane.retry():
            return False
        if lane.dead is not None:
            self._drop_model()
        if not self._ready:
            return False
        spec = self._ready[0].job.model
        if spec != lane.spec:
            lane.use(spec)
            return False
        if lane.ready():
            lane.submit(self._batch(spec))
        return False

    def _batch(self, spec: ModelSpec) -> list[Piece]:
        """Scenes of the first one's length, up to the batch size in pairs."""
        first = self._ready[0]
        chosen: list[Flight] = []
        pairs = 0
        for flight in self._ready:
            if flight.job.model != spec:
                break
            if flight.loaded.mixture.shape == first.loaded.mixture.shape:
                chosen.append(flight)
                pairs += len(flight.waiting)
                if pairs >= spec.batch_size:
                    break
        taken = {id(flight) for flight in chosen}
        self._ready = deque(f for f in self._ready if id(f) not in taken)
        return [Piece(flight, tuple(flight.waiting)) for flight in chosen]

    def _lane_answered(self, flights: list[Flight]) -> None:
        if self._lane.dead is not None:
            self._drop_model()
        facts = self._lane.facts
        for flight in flights:
            cell = flight.job.cell_id
            if flight.abandoned:
                self._tell_given_up(flight.job)
            if facts is not None and self._told.get(cell) != facts:
                self._told[cell] = facts
                self._sink.cell_loaded(cell, facts)
            refuse_changed_examples(flight.job, flight.pairs, self._sink)
            self._to_score.append(flight)

    def _drop_model(self) -> None:
        """The model in the lane is given up: its scenes leave, its cells are told."""
        lane = self._lane
        assert lane.spec is not None
        assert lane.dead is not None
        if self._failure_of(lane.spec) is None:
            self._given_up.append((lane.spec, lane.dead))
        staying: deque[Flight] = deque()
        for flight in self._ready:
            if flight.job.model == lane.spec:
                self._tell_given_up(flight.job)
                self._arena.free(flight.blocks)
            else:
                staying.append(flight)
        self._ready = staying

    def _failure_of(self, spec: ModelSpec) -> Failure | None:
        return next((failure for dead, failure in self._given_up if dead == spec), None)

    def _tell_given_up(self, job: CellJob) -> None:
        failure = self._failure_of(job.model)
        if failure is not None and job.cell_id not in self._refused:
            self._refused.add(job.cell_id)
            self._sink.cell_failed(job.cell_id, failure)

    # --- scoring ------------------------------------------------------------------------

    def _score(self) -> bool:
        moved = False
        while self._to_score:
            if not self._to_score[0].scorable:
                flight = self._to_score.popleft()
                self._land(flight, flight.outcomes([]))
                moved = True
                continue
            scorer = self._idle_scorer()
            if scorer is None:
                return moved
            share = -(-len(self._to_score) // self._settings.workers)
            flights: list[Flight] = []
            while self._to_score and len(flights) < min(share, SCENES_PER_SCORE_MESSAGE):
                flight = self._to_score[0]
                # A scene that has already cost a process goes by itself.
                if not flight.scorable or (flights and flight.scorer_deaths):
                    break
                flights.append(self._to_score.popleft())
                if flight.scorer_deaths:
                    break
            scorer.submit(flights)
            moved = True
        return moved

    def _idle_scorer(self) -> Scorer | None:
        for scorer in self._scorers:
            if scorer.idle:
                return scorer
        if len(self._scorers) < self._settings.workers:
            self._scorers.append(Scorer(self._settings))
        return None

    def _scorer_answered(self, scorer: Scorer) -> None:
        answer = scorer.receive()
        if answer is None:
            self._scorer_ended(scorer)
            return
        flights, scorer.flights = scorer.flights, []
        for flight, scores in zip(flights, answer, strict=True):
            self._land(flight, flight.outcomes(scores))

    def _scorer_ended(self, scorer: Scorer) -> None:
        timed_out = scorer.child.overdue
        how = scorer.child.kill(dying=not timed_out)
        if not scorer.ready:
            raise ProcessDiedError(f"A scoring process {how} before it was ready; see above.")
        self._scorers.remove(scorer)
        for flight in reversed(scorer.flights):
            flight.scorer_deaths += 1
            if timed_out and len(scorer.flights) == 1:
                text = "Scoring did not end within the time allowed (engine.item_timeout)."
                self._land(flight, flight.failed(Failure.of(ItemTimeoutError(text))))
            elif flight.scorer_deaths >= SCORER_DEATHS and len(scorer.flights) == 1:
                text = f"The scoring process {how} on this scene, twice."
                self._land(flight, flight.failed(Failure.of(ProcessDiedError(text))))
            else:
                self._to_score.appendleft(flight)

    def _land(self, flight: Flight, outcomes: list[ItemOutcome]) -> None:
        self._finished += outcomes
        self._arena.free(flight.blocks)

    def _drop_unstarted(self) -> None:
        """The run is to end: finish what is in flight, begin nothing."""
        self._exhausted = True
        self._staged.clear()
        for flight in self._ready:
            self._arena.free(flight.blocks)
        self._ready.clear()
        while self._loader.take() is not None:
            pass
