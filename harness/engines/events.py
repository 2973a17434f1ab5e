"""What an engine tells of itself while it works: plain data, a few times a second.

The engine only fills these in; whoever shows progress or writes a log reads them from
`Sink.watch`. All times are seconds on the monotonic clock: a clock that is set does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

# starting: no process yet, or one that leaves; loading: the model; working; waiting: loaded, and
# nothing to do at the moment; done: nothing left that this lane could do.
LaneState: TypeAlias = Literal["starting", "loading", "working", "waiting", "done"]


# Scenes that one message to a scorer holds at most; so many waiting for each of them, and the
# engine reads no more.
SCENES_A_SCORER = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneSnapshot:
    """One separation process.

    Attributes:
        device: where its model runs.
        model: label of the model it has, "" before the first.
        loading_seconds: spent on starting processes and loading models.
        busy_seconds: spent on separating, conditions included, as its process measured it.
        idle_seconds: that a loaded model waited for work, as its process measured it.
        items: separated so far.
        restarts: processes started after a crash, a hang or a leak.
    """

    number: int
    device: str
    model: str = ""
    state: LaneState = "starting"
    loading_seconds: float = 0.0
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    items: int = 0
    restarts: int = 0
    pid: int | None = None

    @property
    def idle_share(self) -> float:
        """Part of the time with a loaded model in which it waited; 0 before any."""
        total = self.busy_seconds + self.idle_seconds
        return self.idle_seconds / total if total else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ScorersSnapshot:
    """The scoring processes together.

    Attributes:
        processes: that are running; `most`: that there may be.
        working: of these, the ones that score now.
        busy_seconds: spent on scoring, all processes together.
        restarts: that died or hung so far.
    """

    processes: int = 0
    most: int = 0
    working: int = 0
    busy_seconds: float = 0.0
    items: int = 0
    restarts: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueDepths:
    """Scenes at each place on their way."""

    reading: int = 0
    ready: int = 0
    separating: int = 0
    to_score: int = 0
    scoring: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSnapshot:
    """The whole engine at one moment.

    Attributes:
        seconds: since the engine began.
        cells: cell id -> items that this invocation ended, failed ones included.
        stages: stage (load, condition, separate, score) -> seconds spent on the items that ended.
        scratch_bytes: audio in flight.
        stopping: nothing new is begun.
    """

    seconds: float
    lanes: tuple[LaneSnapshot, ...] = ()
    scorers: ScorersSnapshot = field(default_factory=ScorersSnapshot)
    depths: QueueDepths = field(default_factory=QueueDepths)
    cells: Mapping[int, int] = field(default_factory=dict)
    stages: Mapping[str, float] = field(default_factory=dict)
    scratch_bytes: int = 0
    stopping: bool = False

    @property
    def idle_share(self) -> float:
        """Part of their time in which loaded models waited for work, all lanes together."""
        busy = sum(lane.busy_seconds for lane in self.lanes)
        idle = sum(lane.idle_seconds for lane in self.lanes)
        return idle / (busy + idle) if busy + idle else 0.0
