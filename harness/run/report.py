"""`bench report`: from a workspace to files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sepbench.harness.aggregate import Table, tables
from sepbench.harness.compare import Comparison, compare_board
from sepbench.harness.errors import PluginError, WorkspaceError
from sepbench.harness.item_scores import ScoreReader
from sepbench.harness.marks import best_marks
from sepbench.harness.published import read_published
from sepbench.harness.run.board_items import BoardItems
from sepbench.harness.run.breaking_down import breakdown_texts
from sepbench.harness.run.catalogs import REPORTS
from sepbench.harness.run.listening import KeptAudio
from sepbench.harness.store import Workspace
from sepbench.reports.contract import DEFAULT_HEARD, Leaderboard, Report

FOLDER = "reports"
# Of a table; each takes a millisecond, or some where recordings are thousands and models failed.
MOST_COMPARISONS = 30_000


def open_board(workspace: Workspace, protocols: Sequence[str] | None = None) -> Leaderboard:
    """The leaderboard of an open workspace, with its comparisons: all protocols, or those named.

    The scores are read once, for tables and comparisons.
    """
    return _board(workspace, ScoreReader(workspace), protocols)


def _board(
    workspace: Workspace, reader: ScoreReader, protocols: Sequence[str] | None = None
) -> Leaderboard:
    shown, comparisons = [], []
    for table in tables(workspace, protocols, reader=reader):
        found, notes = _compared(workspace, table, reader)
        shown.append(replace(table, notes=(*table.notes, *notes)))
        comparisons += found
    return Leaderboard(
        tables=shown,
        provenance=_provenance(workspace),
        comparisons=comparisons,
        best=best_marks(shown, comparisons),
    )


def _compared(
    workspace: Workspace, table: Table, reader: ScoreReader
) -> tuple[list[Comparison], list[str]]:
    """Every pair of the table's models by every metric, or why there are none."""
    models = sum(row.role == "model" and row.status == "active" for row in table.rows)
    metrics = sum(not column.improvement for column in table.columns)
    count = models * (models - 1) // 2 * metrics
    if count > MOST_COMPARISONS:
        return [], [
            f"{models} models are {count:,} comparisons by {metrics} metrics, more than the "
            f"{MOST_COMPARISONS:,} that reports make: no value is marked as the best; "
            "`bench compare A B` compares two"
        ]
    return compare_board(workspace, table.protocol, reader=reader), []


def complete_board(workspace: Workspace) -> Leaderboard:
    """The leaderboard with all that formats may show beside the tables.

    Items and audio are read when a format asks for them, so the workspace has to stay open while
    it writes; items from the scores that the tables were made of.
    """
    reader = ScoreReader(workspace)
    board = _board(workspace, reader)
    return replace(
        board,
        published=read_published(),
        items=BoardItems(workspace, reader),
        audio=KeptAudio(workspace, list(board.tables)),
    )


def write_reports(
    folder: Path,
    formats: Sequence[str],
    output: Path | None = None,
    *,
    heard: int | None = None,
    items: Sequence[str] = (),
) -> list[Path]:
    """Write reports of a workspace.

    Args:
        folder: the workspace.
        formats: names of report formats.
        output: where to; default the workspace's own `reports` folder.
        heard: targets of a protocol that the page draws and plays; default a few.
        items: more of them by name, "SCENE~TARGET".

    Returns:
        The files written.

    Raises:
        UnknownNameError: no such format.
        UsageError: the page cannot draw an item that was named.
        WorkspaceError: no results there, or the folder cannot be written.
    """
    reports: list[Report] = [REPORTS.load(name) for name in formats]
    for name, report in zip(formats, reports, strict=True):
        if not callable(getattr(report, "write", None)):
            raise PluginError(f"Report format '{name}' has no write(board, folder).")
    target = output or folder / FOLDER
    try:
        with Workspace(folder) as workspace:
            most = DEFAULT_HEARD if heard is None else heard
            board = replace(complete_board(workspace), most_heard=most, asked_for=tuple(items))
            target.mkdir(parents=True, exist_ok=True)
            return [path for report in reports for path in report.write(board, target)]
    except OSError as error:
        raise WorkspaceError(
            f"Reports cannot be written to {target}: {error.strerror}. Name another folder with "
            "--output."
        ) from error


def write_breakdowns(
    folder: Path,
    by: Sequence[str],
    *,
    edges: Sequence[float] | None = None,
    output: Path | None = None,
) -> list[Path]:
    """Write `by-NAME.md` and `by-NAME.csv` for each way to take the tables apart.

    Args:
        folder: the workspace.
        by: as in `breakdown_texts`.
        edges: of the bins of a numeric attribute.
        output: where to; default the workspace's own `reports` folder.

    Raises:
        UsageError: no item of the workspace has such an attribute.
        WorkspaceError: no results there, or the folder cannot be written.
    """
    target = output or folder / FOLDER
    texts = breakdown_texts(folder, by, edges=edges)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (target / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(
            f"Reports cannot be written to {target}: {error.strerror}. Name another folder with "
            "--output."
        ) from error
    return [target / name for name in texts]


def describe_failures(folder: Path) -> str:
    """Every recorded failure of a workspace, newest first, with its traceback; "" if none."""
    with Workspace(folder) as workspace:
        rows = workspace.query(
            "SELECT f.*, c.label, c.protocol, i.scene, i.target FROM failures f"
            " JOIN cells c ON c.id = f.cell_id LEFT JOIN items i ON i.id = f.item_id"
            " ORDER BY f.id DESC"
        )
    parts = []
    for row in rows:
        what = f"{row['scene']}, {row['target']}" if row["scene"] else "the whole cell"
        head = f"{row['label']} on {row['protocol']}, {what}: {row['status']}"
        parts.append(f"{head}\n{row['error_type']}: {row['error']}\n{row['traceback']}\n")
    return "\n".join(parts)


def _provenance(workspace: Workspace) -> list[str]:
    rows = workspace.query("SELECT provenance FROM runs ORDER BY id DESC LIMIT 1")
    if not rows:
        return []
    facts = json.loads(rows[0]["provenance"])
    commit = facts.get("commit", "")[:10]
    dirty = " with uncommitted changes" if facts.get("dirty") else ""
    packages = facts["packages"]
    shown = [f"{name} {packages[name]}" for name in ("torch", "fast-bss-eval") if packages[name]]
    return [
        f"sepbench {facts['sepbench']}" + (f" (commit {commit}{dirty})" if commit else ""),
        f"Python {facts['python']}",
        *shown,
    ]
