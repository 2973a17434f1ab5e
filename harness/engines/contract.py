"""What an engine is given and what it gives back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sepbench.harness.api import Dataset, Query, SceneRow, ScoringProtocol
from sepbench.harness.engines.events import EngineSnapshot
from sepbench.harness.records import CellFacts, Failure, ItemOutcome
from sepbench.harness.settings import EngineSettings
from sepbench.harness.stages.requests import ModelSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemWork:
    """One item to separate and score.

    Attributes:
        metrics: ids to compute and to record; none for an item that is here for the others' sake.
        check: a recorded value the new estimate must give again, or None.
        estimate: a kept estimate to score instead of separating, or None.
        context: it has all its scores, and metrics of a whole scene look at its estimate.
    """

    item_id: int
    target: str
    absent: bool
    query: Query
    seed: int
    metrics: tuple[str, ...]
    check: tuple[str, float] | None = None
    estimate: Path | None = None
    context: bool = False

    @property
    def scored(self) -> bool:
        """Whether its estimate goes to the metrics."""
        return bool(self.metrics) or self.context


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneWork:
    """The unit of work: a scene with its pending items."""

    row: SceneRow
    items: tuple[ItemWork, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CellJob:
    """One cell's pending work; `scenes` is drawn from as room allows.

    Attributes:
        num_scenes: how many `scenes` gives at most.
        needs_references: the model is an oracle.
        joint: all items of a scene go to the model in one call.
        keep: folder of kept estimates, or None.
    """

    cell_id: int
    model: ModelSpec
    dataset: Dataset
    protocol: ScoringProtocol
    needs_references: bool
    joint: bool
    scenes: Iterator[SceneWork]
    num_scenes: int = 0
    keep: Path | None = None


class Sink(Protocol):
    """Where results go. Called from the engine's driver only, never from a worker."""

    def record(self, outcomes: Sequence[ItemOutcome]) -> None:
        """Make finished items durable."""
        ...

    def cell_loaded(self, cell_id: int, facts: CellFacts) -> None:
        """The cell's model is loaded."""
        ...

    def cell_failed(self, cell_id: int, failure: Failure) -> None:
        """The cell cannot be carried out."""
        ...

    def check_files(self, dataset: str, files: Mapping[str, str]) -> None:
        """Refuse audio that changed since it was scored.

        Raises:
            ChangedFileError: other bytes under the same name.
        """
        ...

    def watch(self, snapshot: EngineSnapshot) -> None:
        """How the engine is doing: at most every half second, and once at the end."""
        ...

    @property
    def stop(self) -> bool:
        """True once the run should end: what is in flight is finished, nothing is begun."""
        ...


class Engine(Protocol):
    """Executes jobs, those of one model together; one item's failure stops nothing."""

    def run(self, jobs: Iterable[CellJob], sink: Sink) -> None:
        """Carry out all jobs."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineContext:
    """What every engine needs.

    Attributes:
        devices: one name a separation process, as `lane_devices` gives them.
        scratch: folders that may hold audio in flight, the preferred one first.
    """

    settings: EngineSettings
    devices: tuple[str, ...] = ("auto",)
    scratch: tuple[Path, ...] = ()
