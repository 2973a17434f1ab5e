"""`bench run --dry-run`: the plan and the work left, without writing anything."""

from __future__ import annotations

from sepbench.harness.identity import canonical
from sepbench.harness.metrics.catalog import card_of
from sepbench.harness.plan import PlannedCell
from sepbench.harness.records import FINAL
from sepbench.harness.run.grid import plan_grid
from sepbench.harness.run.text_tables import duration
from sepbench.harness.settings import RunSettings
from sepbench.harness.store import DATABASE, Workspace


def preview(settings: RunSettings) -> str:
    """The cells with their items, those done, and a time estimate from recorded ones.

    Raises:
        UsageError: as the run itself would.
    """
    cells = plan_grid(settings)
    workspace = None
    if (settings.workspace / DATABASE).is_file():
        workspace = Workspace(settings.workspace)
    try:
        lines = [f"{'model':24} {'protocol':20} {'query':8} {'items':>8} {'left':>8}  time"]
        total, known = 0.0, True
        for cell in cells:
            text, seconds = _line(cell, settings, workspace)
            lines.append(text)
            total += seconds or 0.0
            known = known and seconds is not None
    finally:
        if workspace is not None:
            workspace.close()
    unknown = "unknown: some models have no recorded item yet"
    about = f"about {duration(total)}" if known else unknown
    return "\n".join([*lines, f"Separation time left: {about}."])


def _line(
    cell: PlannedCell, settings: RunSettings, workspace: Workspace | None
) -> tuple[str, float | None]:
    shots = f" ×{cell.task.shots}" if cell.task is not None and cell.task.shots else ""
    head = f"{cell.model.label:24} {cell.protocol.name:20} {(cell.kind or '–') + shots:8}"
    if cell.task is None:
        return f"{head} not applicable: {cell.reason}", 0.0
    positions = [item.scene_position for item in cell.task.items()]
    if settings.limit is not None:
        allowed = set(sorted(set(positions))[: settings.limit])
        positions = [position for position in positions if position in allowed]
    done, seconds = _recorded(cell, settings, workspace, set(positions))
    left = len(positions) - done
    estimate = None if seconds is None and left else (seconds or 0.0) * left
    shown = "?" if estimate is None else duration(estimate)
    return f"{head} {len(positions):8} {left:8}  {shown}", estimate


def _recorded(
    cell: PlannedCell, settings: RunSettings, workspace: Workspace | None, positions: set[int]
) -> tuple[int, float | None]:
    """Items with everything asked for, and the mean seconds of one."""
    if workspace is None:
        return 0, None
    cards = [card_of(metric) for metric in settings.metrics or cell.protocol.metrics]
    identities = [f"{card.identity} {canonical(dict(card.parameters))}" for card in cards]
    marks = ",".join("?" * len(identities))
    rows = workspace.query(
        "SELECT i.scene_position, r.separate_seconds, (SELECT count(*) FROM scores s JOIN metrics m"
        f" ON m.id = s.metric_id WHERE s.result_id = r.id AND m.identity IN ({marks})) AS found"
        " FROM results r JOIN items i ON i.id = r.item_id JOIN cells c ON c.id = r.cell_id"
        f" WHERE c.key = ? AND r.status IN {FINAL}",
        (*identities, cell.key),
    )
    whole = [row for row in rows if row["found"] == len(identities)]
    done = sum(row["scene_position"] in positions for row in whole)
    seconds = sum(row["separate_seconds"] for row in rows) / len(rows) if rows else None
    return done, seconds
