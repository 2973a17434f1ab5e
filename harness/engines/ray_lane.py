"""One separation actor as the driver sees it: its model, what it works on, and how it ends."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sepbench.harness.engines.children import Loaded
from sepbench.harness.engines.contract import Sink
from sepbench.harness.engines.custody import Custody, Piece
from sepbench.harness.engines.events import LaneSnapshot, LaneState
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.processes import STARTS
from sepbench.harness.engines.ray_cluster import Nodes, Places
from sepbench.harness.engines.ray_flight import RayFlight
from sepbench.harness.engines.ray_worker import BatchAnswer, SeparationActor
from sepbench.harness.engines.schedule import Feed
from sepbench.harness.errors import ProcessDiedError
from sepbench.harness.records import CellFacts, Failure
from sepbench.harness.settings import EngineSettings

if TYPE_CHECKING:
    from ray.exceptions import RayError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Call:
    """One batch at the actor: the reference to its answer, and those to its objects."""

    answer: Any
    objects: list[Any]


class RayLane:
    """One model at a time in one actor; batches that break it are taken apart.

    An actor that dies is the fault of what it worked on, unless its node died with it.

    Attributes:
        feed: the work of the model in the lane, None before the first.
        facts: of the loaded model; None while it loads.
        failed: why this lane cannot use the model, or None.
        declined: feeds whose models do not work here, while they do elsewhere.
        resting_until: it found no room in the cluster and lets others do its work till then.
    """

    def __init__(
        self, number: int, places: Places, settings: EngineSettings, nodes: Nodes, sink: Sink
    ) -> None:
        self.number = number
        self._places, self._settings, self._nodes, self._sink = places, settings, nodes, sink
        self._actor: Any = None
        self._place: Any = None  # reference to where it is
        self._node, self._pid = "", 0
        self._loading_ref: Any = None
        self._calls: deque[_Call] = deque()
        self._sent = 0
        self._deadline: float | None = None
        self._custody = Custody(settings)
        self._full = False
        self._began = 0.0
        self._lost_starts = 0
        self._learned: dict[tuple[int, int], int] = {}
        self.feed: Feed | None = None
        self.facts: CellFacts | None = None
        self.failed: Failure | None = None
        self.declined: list[Feed] = []
        self.resting_until = 0.0
        self._items = self._restarts = 0
        self._loading = self._busy = self._idle = 0.0

    # --- what the driver asks -----------------------------------------------------------

    @property
    def ref(self) -> Any:
        """What to wait for, or None."""
        if self._place is not None:
            return self._place
        if self._loading_ref is not None:
            return self._loading_ref
        return self._calls[0].answer if self._calls else None

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do here, retries included."""
        return not (self._custody.working or self._custody.broken_up or self.loading)

    @property
    def loading(self) -> bool:
        """Whether the model is on its way."""
        return self._actor is not None and self.facts is None and self.failed is None

    @property
    def room(self) -> bool:
        """Whether a batch can be submitted."""
        loaded = self._actor is not None and self.facts is not None and self.failed is None
        return loaded and self._custody.room and not self._full

    @property
    def flights(self) -> list[RayFlight]:
        """Scenes it holds."""
        return [cast("RayFlight", flight) for flight in self._custody.flights]

    @property
    def resting(self) -> bool:
        """Whether it waits for room in the cluster."""
        return time.monotonic() < self.resting_until

    @property
    def overdue(self) -> bool:
        """Whether the actor took longer than it may."""
        return self._deadline is not None and time.monotonic() > self._deadline

    @property
    def deadline(self) -> float | None:
        """When it will be overdue."""
        return self._deadline

    # --- what the driver tells ----------------------------------------------------------

    def use(self, feed: Feed) -> None:
        """Take up another model; its actor starts when there is work for it."""
        self.leave()
        self.feed, self.failed, self._custody.crashes = feed, None, 0
        self._learned, self._lost_starts = {}, 0
        feed.lanes += 1

    def leave(self) -> None:
        """Let go of the model."""
        if self.feed is not None:
            self.feed.lanes -= 1
            self.feed = None
        self._end_actor()

    def start(self) -> None:
        """Load the model unless it is there; to be called while there is work for it."""
        import ray

        if self._actor is not None or self.failed is not None or self.feed is None:
            return
        self._began = time.monotonic()
        kind = ray.remote(SeparationActor)
        options = {
            **self._places.options,
            "max_restarts": 0,  # the driver decides what is done again
            "max_task_retries": 0,
            "max_concurrency": 3,  # one batch separated, one read, and a call for where it is
            "scheduling_strategy": "SPREAD",
        }
        # A kind made at runtime is opaque to the type checker.
        made: Any = kind
        self._actor = made.options(**options).remote(self._places.threads, self._settings.loaders)
        self._place = self._actor.where.remote()
        self._loading_ref = self._actor.load.remote(
            self.feed.spec, self._places.device, self._learned
        )
        self._deadline = self._began + self._settings.ray.start_timeout

    def submit(self, pieces: Sequence[Piece]) -> None:
        """Separate these together, after what is there already."""
        first = not self._custody.working
        self._custody.take(pieces)
        asks = [cast("RayFlight", piece.flight).ask(piece.indices) for piece in pieces]
        call = self._actor.separate.options(num_returns=1 + 2 * len(asks))
        answer, *objects = call.remote(self._sent, asks)
        self._sent += 1
        self._calls.append(_Call(answer, objects))
        if first:
            self._expect_next()

    def retry(self) -> bool:
        """Begin the next piece of a broken batch, by itself; False when there is nothing to."""
        if self._custody.working or not self._custody.broken_up or self.failed is not None:
            return False
        self.start()
        if self.facts is None:
            return False
        piece = self._custody.next_alone()
        if piece is not None:
            self.submit([piece])
        return piece is not None

    def on_ready(self) -> list[Flight]:
        """What was waited for is there; returns the scenes that have all their estimates."""
        import ray
        from ray.exceptions import OutOfMemoryError, RayActorError, RayError

        try:
            answer = ray.get(self.ref)
        except (RayActorError, OutOfMemoryError) as error:  # the latter from Ray's memory monitor
            return self._died(error)
        except RayError as error:  # the call itself failed: its message could not be unpacked
            return self._call_failed(error)
        if self._place is not None:
            self._place, (self._node, self._pid) = None, answer
            self._deadline = time.monotonic() + self._settings.load_timeout
            return []
        if isinstance(answer, Loaded):
            self._loading_ref, self._deadline = None, None
            self._loading += time.monotonic() - self._began
            self.facts, self._lost_starts = answer.facts, 0
            if answer.failure is not None:
                self._give_up(answer.failure)
            elif self.feed is not None and answer.facts is not None:
                self.feed.load_seconds = answer.facts.load_seconds
            return []
        assert isinstance(answer, BatchAnswer)
        return self._separated(answer)

    def _separated(self, answer: BatchAnswer) -> list[Flight]:
        assert self.feed is not None
        self.facts = answer.facts or self.facts
        self._busy += answer.busy_seconds
        self._idle += answer.idle_seconds
        self._learned = dict(answer.learned)
        if self.feed.spec.batch_size is None:
            self.feed.wanted = max(1, answer.wanted)
        self.feed.scene_seconds = answer.busy_seconds / len(answer.scenes)
        call = self._calls.popleft()
        pieces = self._custody.first
        objects = iter(call.objects)
        results = [
            cast("RayFlight", piece.flight).take(scene, next(objects), next(objects), self._sink)
            for piece, scene in zip(pieces, answer.scenes, strict=True)
        ]
        done, count = self._custody.answered(results, answer.peak_memory)
        self._items += count
        self._expect_next()
        self._full = self._full or answer.resident_bytes > self._settings.model_memory_bytes
        if self._full and not self._custody.working:
            # It has grown beyond what it may: a new process begins small again.
            self._restarts += 1
            self._end_actor()
        return done

    # --- ends ---------------------------------------------------------------------------

    def on_overdue(self) -> list[Flight]:
        """The actor took too long; returns scenes that are through nevertheless."""
        assert self.feed is not None
        if self._place is not None:
            logger.warning("The cluster has no room for actor %d; others do its work.", self.number)
            self.step_back()
            return []
        loading = self.loading
        self._end_actor()
        self._restarts += 1
        if loading:
            seconds = self._settings.load_timeout
            text = f"The actor of model '{self._label}' did not load within {seconds:g} s."
            self._give_up(_died(text))
            return []
        return self._broke("hung", timed_out=True)

    def step_back(self) -> None:
        """Let others do its work for a while."""
        if self.feed is not None:
            self._custody.give_back(self.feed)
        self.resting_until = time.monotonic() + self._settings.ray.start_timeout
        self.leave()

    def _died(self, error: RayError) -> list[Flight]:
        from ray.exceptions import ActorDiedError, OutOfMemoryError

        assert self.feed is not None
        loading, node = self.loading, self._node
        self._end_actor()
        self._restarts += 1
        no_memory = isinstance(error, OutOfMemoryError)
        how = "was killed as its node ran out of memory" if no_memory else _how(str(error))
        away = bool(node) and not self._nodes.has(node)
        if away or not isinstance(error, ActorDiedError | OutOfMemoryError):
            logger.warning(
                "Actor %d went away (%s); its work goes again elsewhere.", self.number, how
            )
            return self._hand_back("its node went away" if away else how)
        if not loading:
            return self._broke(how, timed_out=False)
        self._lost_starts += 1
        if getattr(error, "actor_init_failed", False) or (node and self._lost_starts >= STARTS):
            self._give_up(_died(f"The actor of model '{self._label}' {how} while loading."))
        elif self._lost_starts > self._settings.ray.retries:
            self._give_up(_died(f"The actor of model '{self._label}' could not start: it {how}."))
        return []

    def _hand_back(self, reason: str) -> list[Flight]:
        """Nobody's fault here: what it holds starts over, as often as it may."""
        assert self.feed is not None
        held = self.flights
        self._custody.give_back(self.feed)
        done: list[Flight] = []
        for flight in held:
            if not flight.lose(reason, self._settings.ray.retries):
                self.feed.ready.remove(flight)
                done.append(flight)
        return done

    def _broke(self, how: str, *, timed_out: bool) -> list[Flight]:
        assert self.feed is not None
        done = self._custody.broke(self._label, how, timed_out=timed_out, feed=self.feed)
        if self._custody.too_many_crashes:
            text = (
                f"The actor of model '{self._label}' ended {self._custody.crashes} times in a "
                f"row (last: {how}); the rest of its items are left for another run."
            )
            self._give_up(_died(text))
        return done

    def _call_failed(self, error: Exception) -> list[Flight]:
        """A call raised instead of answering: the node cannot take it."""
        last = str(error).strip().splitlines()[-1]
        self._end_actor()
        self._give_up(_died(f"A node cannot run model '{self._label}': {last}"))
        return []

    def _end_actor(self) -> None:
        import ray

        # One that has no place yet ends when nobody refers to it any more.
        if self._actor is not None and self._place is None:
            ray.kill(self._actor, no_restart=True)
        self._actor = self._place = self._loading_ref = self._deadline = None
        self._calls.clear()
        self._sent, self._node, self._pid = 0, "", 0
        self.facts, self._full = None, False

    def _expect_next(self) -> None:
        """The next batch's time begins with the answer to the one before."""
        seconds = self._custody.seconds_allowed
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def _give_up(self, failure: Failure) -> None:
        """This lane cannot use the model; what it holds goes back, for others or to be dropped."""
        assert self.feed is not None
        self.failed = failure
        self._custody.give_back(self.feed)

    def stop(self) -> None:
        """The run is to end: what is separated now is finished, a model that loads is not."""
        if self.loading and not self._custody.broken_up:
            self._end_actor()

    def close(self) -> None:
        """End the actor; what it is doing is dropped."""
        self._end_actor()

    # --- watching -----------------------------------------------------------------------

    def snapshot(self) -> LaneSnapshot:
        """How it is doing."""
        return LaneSnapshot(
            number=self.number,
            device=self.facts.device if self.facts else self._places.device,
            model=self._label,
            state=self._state,
            loading_seconds=self._loading,
            busy_seconds=self._busy,
            idle_seconds=self._idle,
            items=self._items,
            restarts=self._restarts,
            pid=self._pid or None,
        )

    @property
    def _state(self) -> LaneState:
        if self.feed is None:
            return "done"
        if self._actor is None or self._place is not None:
            return "starting"
        if self.facts is None:
            return "loading"
        return "working" if self._custody.working else "waiting"

    @property
    def _label(self) -> str:
        return self.feed.spec.label if self.feed else ""


def _how(text: str) -> str:
    """How a process ended, from what Ray says of it."""
    found = re.search(r"Worker exit type: (\w+) Worker exit detail: ([^.]*)", text)
    if found is None:
        return "ended"
    return f"ended ({found[1]}: {found[2].strip()})"


def _died(text: str) -> Failure:
    return Failure.of(ProcessDiedError(text))
