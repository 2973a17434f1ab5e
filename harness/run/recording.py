"""What the engine finishes goes into the workspace, is counted, and may end the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sepbench.harness.engines.events import EngineSnapshot
from sepbench.harness.records import FINAL, CellFacts, Failure, ItemOutcome
from sepbench.harness.run.stopping import DiskRoom, Interrupts
from sepbench.harness.run.summary import RunSummary
from sepbench.harness.run.watching import RunWatch
from sepbench.harness.store import Workspace


class WorkspaceSink:
    """The engine's sink for a workspace.

    Args:
        workspace: open for writing.
        run_id: of this invocation.
        watch: is told of everything that happens.
        summary: collects what went wrong.
        max_failures: items that may fail before the run ends; None = any number.
        interrupts: tells whether somebody asked for the end.
        room: tells whether a disk is nearly full.
    """

    def __init__(
        self,
        workspace: Workspace,
        run_id: int,
        watch: RunWatch,
        summary: RunSummary,
        *,
        max_failures: int | None,
        interrupts: Interrupts,
        room: DiskRoom,
    ) -> None:
        self._workspace = workspace
        self._run_id = run_id
        self._watch = watch
        self._limit = max_failures
        self._interrupts, self._room = interrupts, room
        self._summary = summary
        self._facts: dict[int, CellFacts] = {}

    def record(self, outcomes: Sequence[ItemOutcome]) -> None:
        """Make finished items durable."""
        self._workspace.record(outcomes, self._run_id)
        failed = [outcome for outcome in outcomes if outcome.status not in FINAL]
        for outcome in failed:
            self._note(outcome)
        self._watch.recorded(outcomes)

    def _note(self, outcome: ItemOutcome) -> None:
        """Count a failure under its model and kind, with the first of each as an example."""
        assert outcome.failure is not None
        row = self._workspace.query(
            "SELECT c.label, i.scene, i.target FROM cells c, items i WHERE c.id = ? AND i.id = ?",
            (outcome.cell_id, outcome.item_id),
        )[0]
        key = (row["label"], outcome.failure.error_type)
        example = f"{row['scene']}, {row['target']}: {outcome.failure.error}"
        count, text = self._summary.errors.get(key, (0, example))
        self._summary.errors[key] = (count + 1, text)

    def cell_loaded(self, cell_id: int, facts: CellFacts) -> None:
        """The cell's model is loaded."""
        if self._facts.get(cell_id) != facts:
            self._facts[cell_id] = facts
            self._workspace.set_facts(cell_id, facts)
            self._watch.cell_loaded(cell_id, facts)

    def cell_failed(self, cell_id: int, failure: Failure) -> None:
        """The cell cannot be carried out."""
        self._workspace.fail_cell(cell_id, failure, self._run_id)
        row = self._workspace.query("SELECT label FROM cells WHERE id = ?", (cell_id,))[0]
        self._summary.failed_cells.append((row["label"], failure.error))
        self._watch.cell_failed(cell_id, failure)

    def check_files(self, dataset: str, files: Mapping[str, str]) -> None:
        """Refuse audio that changed since it was scored.

        Raises:
            ChangedFileError: other bytes under the same name.
        """
        self._workspace.check_files(dataset, files)

    def watch(self, snapshot: EngineSnapshot) -> None:
        """How the engine is doing; the latest is kept."""
        self._summary.engine = snapshot
        self._watch.snapshot(snapshot, stopping=self._reason)

    @property
    def too_many_failures(self) -> bool:
        """Whether as many items have failed as may."""
        return self._limit is not None and self._watch.failures >= self._limit

    @property
    def stop(self) -> bool:
        """Whether the run should end."""
        return bool(self._reason)

    @property
    def _reason(self) -> str:
        """Why the run should end, "" while it should go on."""
        if self.too_many_failures:
            return "too many failures"
        if self._interrupts.asked:
            return "asked to"
        return "no room on a disk" if self._room.short else ""
