"""`bench run`: a grid of models and datasets goes in, durable scored records come out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sepbench.harness.engines.arena import default_folders
from sepbench.harness.engines.contract import CellJob, Engine, EngineContext, ItemWork, SceneWork
from sepbench.harness.engines.devices import lane_devices
from sepbench.harness.engines.inline import InlineEngine
from sepbench.harness.engines.local import LocalEngine
from sepbench.harness.engines.ray import RayEngine
from sepbench.harness.errors import TooManyFailuresError
from sepbench.harness.identity import seed_of
from sepbench.harness.metrics.catalog import card_of, family_of
from sepbench.harness.plan import PlannedCell, plan_cells
from sepbench.harness.queries import restore_query
from sepbench.harness.run.compiling import should_compile
from sepbench.harness.run.corpora import open_grid
from sepbench.harness.run.event_log import EventLog
from sepbench.harness.run.models import plan_models, spec_of
from sepbench.harness.run.progress import RunProgress
from sepbench.harness.run.provenance import provenance
from sepbench.harness.run.recording import WorkspaceSink
from sepbench.harness.run.stopping import DiskRoom, Interrupts
from sepbench.harness.run.summary import CellSummary, RunSummary
from sepbench.harness.run.watching import RunWatch, log_end
from sepbench.harness.settings import EngineSettings, RunSettings
from sepbench.harness.storage.places import as_remote
from sepbench.harness.store import AUDIO, StoredItem, Workspace
from sepbench.harness.store_audio import open_store

logger = logging.getLogger(__name__)


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
        plan_models(settings), protocols, kinds=settings.query_kinds, shots=settings.shots
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
        NoRoomError: a disk is full, or nearly so; what was recorded is kept.
        TooManyFailuresError: `max_failures` was reached.
        KeyboardInterrupt: somebody asked for the end; what was in flight is recorded.
    """
    cells = plan_grid(settings)
    with Workspace(settings.workspace, writable=True) as workspace:
        run_id = workspace.begin_run(settings.resolved, provenance())
        summary = RunSummary(workspace=settings.workspace)
        log = EventLog(workspace.folder, run_id)
        status = "stopped"
        try:
            keep = _place_of_estimates(settings, workspace)
            works = _register(cells, settings, workspace, run_id, summary)
            total = sum(work.pending for work in works)
            already = sum(work.total for work in works) - total
            written = [workspace.folder, keep] if keep is not None else [workspace.folder]
            room = DiskRoom([folder for folder in written if as_remote(folder) is None])
            room.require(total)
            bars = RunProgress(total, already, summary.cells)
            with bars as progress, Interrupts() as interrupts:
                sink = WorkspaceSink(
                    workspace,
                    run_id,
                    RunWatch(log, progress, summary.cells, settings),
                    summary,
                    max_failures=settings.max_failures,
                    interrupts=interrupts,
                    room=room,
                )
                try:
                    if total:
                        jobs = _jobs(works, settings, workspace, keep)
                        _engine(settings).run(jobs, sink)
                finally:  # also at a second Ctrl-C: what is recorded is done
                    summary.done, summary.failures = progress.done, progress.failures
            # Asked to end when everything was done already: it is finished all the same.
            whole = summary.done == total
            status = "stopped" if sink.stop and not whole else "finished"
        finally:
            log_end(log, status, summary)
            workspace.end_run(run_id, status)
    if sink.too_many_failures:
        raise TooManyFailuresError(
            f"Stopped after {summary.failures} failed items (max_failures="
            f"{settings.max_failures}). What is done is kept; the same command goes on."
        )
    if status == "stopped":
        if interrupts.asked:
            raise KeyboardInterrupt
        raise room.error()
    return summary


def _engine(settings: RunSettings) -> Engine:
    context = EngineContext(
        settings=settings.engine,
        devices=lane_devices(settings.device, settings.engine.lanes),
        scratch=default_folders(settings.workspace),
    )
    engines: dict[str, type[InlineEngine] | type[LocalEngine] | type[RayEngine]] = {
        "inline": InlineEngine,
        "local": LocalEngine,
        "ray": RayEngine,
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
            summary.cells.append(_summary(cell, None))
            continue
        if cell.task.key not in task_ids:
            task_ids[cell.task.key] = workspace.add_task(cell.task)
        task_id = task_ids[cell.task.key]
        cell_id = workspace.add_cell(cell, task_id, metrics, run_id)
        _flag_changed_source(cell, cell_id, task_id, workspace)
        limit = settings.limit
        positions, pending = workspace.pending_positions(cell_id, task_id, metrics, limit)
        total = workspace.count_items(task_id, limit)
        summary.cells.append(_summary(cell, cell_id, total, pending))
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


def _summary(
    cell: PlannedCell, cell_id: int | None, total: int = 0, pending: int = 0
) -> CellSummary:
    return CellSummary(
        label=cell.model.label,
        protocol=cell.protocol.name,
        query_kind=cell.kind or "",
        cell_id=cell_id,
        shots=cell.task.shots if cell.task is not None else None,
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


def _place_of_estimates(settings: RunSettings, workspace: Workspace) -> Path | None:
    if not settings.keep_audio:
        return None
    if settings.audio_store is None:
        return workspace.folder / AUDIO
    return open_store(settings.audio_store)


def _jobs(
    works: Sequence[_Work], settings: RunSettings, workspace: Workspace, keep: Path | None
) -> Iterator[CellJob]:
    """The cells with work left; all of one model agree on whether it is compiled."""
    left: Counter[str] = Counter()
    for work in works:
        left[work.cell.model.label] += work.pending
    for work in works:
        if work.positions:
            label = work.cell.model.label
            compiled = should_compile(settings.compile, left[label], settings.device)
            yield replace(_job(work, settings, workspace, compiled=compiled), keep=keep)


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
        num_scenes=len(work.positions),
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
    # What a metric of the whole scene looks at beside the missing items; final scores stay.
    context = together and not item.missing
    # A kept estimate is what was scored; one that is made again has to show that it is the same.
    again = (item.missing or context) and estimate is None
    check = next(iter(item.known.items()), None) if again else None
    return ItemWork(
        item_id=item.item_id,
        target=item.target,
        absent=item.absent,
        query=restore_query(item.query, task.pool),
        seed=seed_of(task.protocol.dataset, item.scene, item.target, item.query_index),
        metrics=item.missing,
        check=check,
        estimate=estimate,
        context=context,
    )
