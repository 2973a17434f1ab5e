"""`bench run`: a grid of models and datasets goes in, durable scored records come out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sepbench.harness.engines.arena import default_folders
from sepbench.harness.engines.contract import CellJob, Engine, EngineContext, ItemWork, SceneWork
from sepbench.harness.engines.inline import InlineEngine
from sepbench.harness.engines.local import LocalEngine
from sepbench.harness.errors import TooManyFailuresError
from sepbench.harness.identity import seed_of
from sepbench.harness.metrics.catalog import card_of, family_of
from sepbench.harness.plan import PlannedCell, plan_cells
from sepbench.harness.queries import restore_query
from sepbench.harness.records import FINAL, CellFacts, Failure, ItemOutcome
from sepbench.harness.run.compiling import should_compile
from sepbench.harness.run.corpora import open_grid
from sepbench.harness.run.models import plan_models, spec_of
from sepbench.harness.run.progress import RunProgress
from sepbench.harness.run.provenance import provenance
from sepbench.harness.settings import EngineSettings, RunSettings
from sepbench.harness.store import AUDIO, StoredItem, Workspace

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CellSummary:
    """What became of one cell in this invocation."""

    label: str
    protocol: str
    query_kind: str
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
    """

    workspace: Path
    cells: list[CellSummary] = field(default_factory=list)
    done: int = 0
    failures: int = 0
    failed_cells: list[tuple[str, str]] = field(default_factory=list)
    errors: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    def example(self, kind: str) -> str:
        """The first error of a kind, whichever model it was."""
        return next(text for (_, name), (_, text) in self.errors.items() if name == kind)

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for is there."""
        return not self.failures and not self.failed_cells


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """A planned cell in the workspace, with what is left of it."""

    cell: PlannedCell
    cell_id: int
    task_id: int
    metrics: tuple[str, ...]
    positions: Sequence[int]
    total: int
    pending: int


def plan_grid(settings: RunSettings) -> list[PlannedCell]:
    """The cells of a grid; opens classes and lists, reads no audio.

    Raises:
        UsageError: anything the request gets wrong.
    """
    protocols = open_grid(settings)
    if settings.compile == "on":
        should_compile("on", 0, settings.device)  # a refusal belongs before any work
    for protocol, _ in protocols:
        require_metrics(settings.metrics or protocol.metrics)
    return plan_cells(
        plan_models(settings), protocols, forced_kind=settings.query_kind, shots=settings.shots
    )


def require_metrics(metrics: Sequence[str]) -> None:
    """Refuse metrics that are unknown, or whose package or network is missing, before any work.

    Raises:
        UsageError: says which, and what to do.
    """
    for metric in metrics:
        require = getattr(family_of(metric), "require", None)
        if require is not None:
            require(frozenset({metric}))


def run_grid(settings: RunSettings) -> RunSummary:
    """Do what is missing of a grid.

    Raises:
        UsageError: before anything is done.
        WorkspaceError: the workspace cannot be used; what was recorded is kept.
        TooManyFailuresError: `max_failures` was reached.
    """
    cells = plan_grid(settings)
    with Workspace(settings.workspace, writable=True) as workspace:
        run_id = workspace.begin_run(settings.resolved, provenance())
        summary = RunSummary(workspace=settings.workspace)
        status = "stopped"
        try:
            works = _register(cells, settings, workspace, run_id, summary)
            total = sum(work.pending for work in works)
            already = sum(work.total for work in works) - total
            with RunProgress(total, already) as progress:
                sink = _WorkspaceSink(workspace, run_id, progress, settings, summary)
                jobs = _jobs(works, settings, workspace)
                _engine(settings).run(jobs, sink)
            summary.done, summary.failures = progress.done, progress.failures
            status = "stopped" if sink.stop else "finished"
        finally:
            workspace.end_run(run_id, status)
    if sink.stop:
        raise TooManyFailuresError(
            f"Stopped after {summary.failures} failed items (max_failures="
            f"{settings.max_failures}). What is done is kept; the same command goes on."
        )
    return summary


def _engine(settings: RunSettings) -> Engine:
    context = EngineContext(settings=settings.engine, scratch=default_folders(settings.workspace))
    engines: dict[str, type[InlineEngine] | type[LocalEngine]] = {
        "inline": InlineEngine,
        "local": LocalEngine,
    }
    return engines[settings.engine.name](context)


def _register(
    cells: Sequence[PlannedCell],
    settings: RunSettings,
    workspace: Workspace,
    run_id: int,
    summary: RunSummary,
) -> list[_Work]:
    """Record cells, tasks and metrics; find out what is left to do."""
    works: list[_Work] = []
    task_ids: dict[str, int] = {}
    for cell in cells:
        metrics = tuple(settings.metrics or cell.protocol.metrics)
        workspace.add_metrics(card_of(metric) for metric in metrics)
        if cell.task is None:
            workspace.add_cell(cell, None, metrics, run_id)
            summary.cells.append(_summary(cell))
            continue
        if cell.task.key not in task_ids:
            task_ids[cell.task.key] = workspace.add_task(cell.task)
        task_id = task_ids[cell.task.key]
        cell_id = workspace.add_cell(cell, task_id, metrics, run_id)
        _flag_changed_source(cell, cell_id, task_id, workspace)
        positions = workspace.pending_positions(cell_id, task_id, metrics, settings.limit)
        total, pending = workspace.count_items(cell_id, task_id, metrics, settings.limit)
        summary.cells.append(_summary(cell, total, pending))
        works.append(
            _Work(
                cell=cell,
                cell_id=cell_id,
                task_id=task_id,
                metrics=metrics,
                positions=_ordered(positions, settings.engine, cell_id),
                total=total,
                pending=pending,
            )
        )
    return works


def _summary(cell: PlannedCell, total: int = 0, pending: int = 0) -> CellSummary:
    return CellSummary(
        label=cell.model.label,
        protocol=cell.protocol.name,
        query_kind=cell.kind or "",
        pending=pending,
        total=total,
        reason=cell.reason,
    )


def _ordered(positions: list[int], engine: EngineSettings, cell_id: int) -> list[int]:
    if engine.order == "shuffled":
        import random

        random.Random(cell_id).shuffle(positions)
    return positions


def _flag_changed_source(
    cell: PlannedCell, cell_id: int, task_id: int, workspace: Workspace
) -> None:
    """Say when a model's code changed under the same version: old rows may not be its own."""
    import json

    mine = dict(cell.model.identity)
    for row in workspace.query(
        "SELECT identity FROM cells WHERE task_id = ? AND baseline = ? AND id != ?",
        (task_id, cell.model.name, cell_id),
    ):
        other = json.loads(row["identity"])["model"]
        if other["source"] != mine["source"] and other["version"] == mine["version"]:
            logger.warning(
                "The code of model '%s' changed but its card still says version %s. Its earlier "
                "results are kept apart; raise the version when estimates change.",
                cell.model.label,
                mine["version"],
            )
            return


def _jobs(works: Sequence[_Work], settings: RunSettings, workspace: Workspace) -> Iterator[CellJob]:
    """The cells with work left; all of one model agree on whether it is compiled."""
    left: Counter[str] = Counter()
    for work in works:
        left[work.cell.model.label] += work.pending
    for work in works:
        if work.positions:
            label = work.cell.model.label
            compiled = should_compile(settings.compile, left[label], settings.device)
            yield _job(work, settings, workspace, compiled=compiled)


def _job(work: _Work, settings: RunSettings, workspace: Workspace, *, compiled: bool) -> CellJob:
    cell = work.cell
    assert cell.task is not None
    return CellJob(
        cell_id=work.cell_id,
        model=replace(spec_of(cell.model, settings), compile=compiled),
        dataset=cell.task.dataset,
        protocol=cell.protocol,
        needs_references=cell.model.card.needs_references,
        joint=cell.model.card.joint,
        scenes=_scenes(work, workspace),
        keep=workspace.folder / AUDIO if settings.keep_audio else None,
    )


def _scenes(work: _Work, workspace: Workspace) -> Iterator[SceneWork]:
    """The pending scenes of a cell, read from the workspace as the engine asks for them."""
    task, card = work.cell.task, work.cell.model.card
    assert task is not None
    rows = task.rows()
    together = any(card_of(metric).scope == "scene" for metric in work.metrics)
    by_name: dict[str, int] | None = None
    for position in work.positions:
        stored = workspace.scene_items(work.cell_id, work.task_id, position, work.metrics)
        row = rows[position] if position < len(rows) else None
        if row is None or row.scene_id != stored[0].scene:
            # The list on disk has gained or lost scenes since it was planned.
            by_name = by_name or {row.scene_id: k for k, row in enumerate(rows)}
            if stored[0].scene not in by_name:
                logger.warning("Scene %s is no longer in the list; skipped.", stored[0].scene)
                continue
            row = rows[by_name[stored[0].scene]]
        whole = together or card.joint
        chosen = stored if whole else [item for item in stored if item.missing]
        yield SceneWork(
            row=row,
            items=tuple(_item(item, work, workspace, together=together) for item in chosen),
        )


def _item(item: StoredItem, work: _Work, workspace: Workspace, *, together: bool) -> ItemWork:
    task = work.cell.task
    assert task is not None
    kept = workspace.audio_path(item.estimate_sha256) if item.estimate_sha256 else None
    estimate = kept if kept is not None and kept.is_file() else None
    # A kept estimate is what was scored; one that is made again has to show that it is the same.
    check = next(iter(item.known.items()), None) if item.missing and estimate is None else None
    missing = work.metrics if together and not item.missing else item.missing
    return ItemWork(
        item_id=item.item_id,
        target=item.target,
        absent=item.absent,
        query=restore_query(item.query, task.pool),
        seed=seed_of(task.protocol.dataset, item.scene, item.target, item.query_index),
        metrics=missing,
        check=check,
        estimate=estimate,
    )


class _WorkspaceSink:
    """Records what the engine finishes, and counts."""

    def __init__(
        self,
        workspace: Workspace,
        run_id: int,
        progress: RunProgress,
        settings: RunSettings,
        summary: RunSummary,
    ) -> None:
        self._workspace = workspace
        self._run_id = run_id
        self._progress = progress
        self._limit = settings.max_failures
        self._summary = summary
        self._facts: dict[int, CellFacts] = {}

    def record(self, outcomes: Sequence[ItemOutcome]) -> None:
        self._workspace.record(outcomes, self._run_id)
        failed = [outcome for outcome in outcomes if outcome.status not in FINAL]
        for outcome in failed:
            self._note(outcome)
        self._progress.advance(len(outcomes), len(failed))

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
        if self._facts.get(cell_id) != facts:
            self._facts[cell_id] = facts
            self._workspace.set_facts(cell_id, facts)

    def cell_failed(self, cell_id: int, failure: Failure) -> None:
        self._workspace.fail_cell(cell_id, failure, self._run_id)
        row = self._workspace.query("SELECT label FROM cells WHERE id = ?", (cell_id,))[0]
        self._summary.failed_cells.append((row["label"], failure.error))

    def check_files(self, dataset: str, files: Mapping[str, str]) -> None:
        self._workspace.check_files(dataset, files)

    @property
    def stop(self) -> bool:
        return self._limit is not None and self._progress.failures >= self._limit
