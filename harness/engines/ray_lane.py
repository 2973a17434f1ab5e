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
from sepbench.harness.engines.custody import Piece
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.model_lane import ModelLane
from sepbench.harness.engines.processes import STARTS
from sepbench.harness.engines.ray_cluster import Nodes, Places
from sepbench.harness.engines.ray_flight import RayFlight
from sepbench.harness.engines.ray_worker import BatchAnswer, SeparationActor
from sepbench.harness.errors import ProcessDiedError
from sepbench.harness.records import Failure
from sepbench.harness.settings import EngineSettings

if TYPE_CHECKING:
    from ray.exceptions import RayError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Call:
    """One batch at the actor: the reference to its answer, and those to its objects."""

    answer: Any
    objects: list[Any]


class RayLane(ModelLane):
    """One model at a time in one actor.

    An actor that dies is the fault of what it worked on, unless its node died with it.

    Attributes:
        resting_until: it found no room in the cluster and lets others do its work till then.
    """

    kind = "actor"

    def __init__(
        self, number: int, places: Places, settings: EngineSettings, nodes: Nodes, sink: Sink
    ) -> None:
        super().__init__(number, places.device, settings)
        self._places, self._nodes, self._sink = places, nodes, sink
        self._actor: Any = None
        self._place: Any = None  # reference to where it is
        self._node, self._pid = "", 0
        self._loading_ref: Any = None
        self._calls: deque[_Call] = deque()
        self._sent = 0
        self._deadline: float | None = None
        self._began = 0.0
        self.resting_until = 0.0

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

    @property
    def _exists(self) -> bool:
        return self._actor is not None

    @property
    def _placed(self) -> bool:
        return self._exists and self._place is None

    @property
    def _process_id(self) -> int | None:
        return self._pid or None

    # --- what the driver tells ----------------------------------------------------------

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
            self._has_loaded(answer.facts, answer.failure, time.monotonic() - self._began)
            return []
        assert isinstance(answer, BatchAnswer)
        return self._separated(answer)

    def _separated(self, answer: BatchAnswer) -> list[Flight]:
        self._learn(answer, len(answer.scenes))
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
        self._make_small(answer)
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
        self._let_go()
        self._restarts += 1
        if loading:
            seconds = self._settings.load_timeout
            self._die(f"did not load within {seconds:g} s")
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
        self._let_go()
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
            self._die(f"{how} while loading")
        elif self._lost_starts > self._settings.ray.retries:
            self._die(f"could not start: it {how}")
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

    def _call_failed(self, error: Exception) -> list[Flight]:
        """A call raised instead of answering: the node cannot take it."""
        last = str(error).strip().splitlines()[-1]
        self._let_go()
        text = f"A node cannot run model '{self._label}': {last}"
        self._give_up(Failure.of(ProcessDiedError(text)))
        return []

    def _let_go(self) -> None:
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

    def stop(self) -> None:
        """The run is to end: what is separated now is finished, a model that loads is not."""
        if self.loading and not self._custody.broken_up:
            self._let_go()

    def close(self) -> None:
        """End the actor; what it is doing is dropped."""
        self._let_go()


def _how(text: str) -> str:
    """How a process ended, from what Ray says of it."""
    found = re.search(r"Worker exit type: (\w+) Worker exit detail: ([^.]*)", text)
    if found is None:
        return "ended"
    return f"ended ({found[1]}: {found[2].strip()})"
