"""What a run did, for whoever asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sepbench.harness.engines.events import EngineSnapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class CellSummary:
    """What became of one cell in this invocation.

    Attributes:
        cell_id: in the workspace; None for a cell that cannot be.
        shots: examples a query, where that is part of the cell.
    """

    label: str
    protocol: str
    query_kind: str
    cell_id: int | None = None
    shots: int | None = None
    pending: int = 0
    total: int = 0
    reason: str = ""


@dataclass(kw_only=True, slots=True)
class RunSummary:
    """What a run did.

    Attributes:
        done: items finished by this invocation, failed ones included.
        failures: of these, the failed and timed-out ones.
        failed_cells: label and reason of cells that could not be carried out.
        errors: (label, kind) -> how many, and the first as an example.
        engine: how the engine was doing when it was last asked; None where nothing was left.
    """

    workspace: Path
    cells: list[CellSummary] = field(default_factory=list)
    done: int = 0
    failures: int = 0
    failed_cells: list[tuple[str, str]] = field(default_factory=list)
    errors: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    engine: EngineSnapshot | None = None

    def example(self, kind: str) -> str:
        """The first error of a kind, whichever model it was."""
        return next(text for (_, name), (_, text) in self.errors.items() if name == kind)

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for is there."""
        return not self.failures and not self.failed_cells
