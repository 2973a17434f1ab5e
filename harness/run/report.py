"""`bench report`: from a workspace to files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sepbench.harness.aggregate import tables
from sepbench.harness.compare import Comparison, compare_board
from sepbench.harness.errors import PluginError, UsageError, WorkspaceError
from sepbench.harness.published import read_published
from sepbench.harness.run.board_items import BoardItems
from sepbench.harness.run.breaking_down import breakdown_texts
from sepbench.harness.run.catalogs import REPORTS
from sepbench.harness.run.listening import KeptAudio
from sepbench.harness.store import Workspace
from sepbench.reports.contract import Leaderboard, Report

FOLDER = "reports"


def open_board(workspace: Workspace, protocols: Sequence[str] | None = None) -> Leaderboard:
    """The leaderboard of an open workspace: all protocols, or those named."""
    return Leaderboard(tables=tables(workspace, protocols), provenance=_provenance(workspace))


def complete_board(workspace: Workspace, *, compared: bool = True) -> Leaderboard:
    """The leaderboard with all that formats may show beside the tables.

    Items and audio are read when a format asks for them, so the workspace has to stay open while
    it writes. Comparisons are not: they are left out where `compared` is false.
    """
    board = open_board(workspace)
    protocols = [table.protocol for table in board.tables] if compared else []
    comparisons = [c for protocol in protocols for c in _compared(workspace, protocol)]
    shown = list(board.tables)
    return replace(
        board,
        comparisons=comparisons,
        published=read_published(),
        items=BoardItems(workspace),
        audio=KeptAudio(workspace, shown),
    )


def _compared(workspace: Workspace, protocol: str) -> Sequence[Comparison]:
    try:
        return compare_board(workspace, protocol)
    except UsageError:  # rows without a metric in common, or fewer than two of them
        return ()


def write_reports(folder: Path, formats: Sequence[str], output: Path | None = None) -> list[Path]:
    """Write reports of a workspace.

    Args:
        folder: the workspace.
        formats: names of report formats.
        output: where to; default the workspace's own `reports` folder.

    Returns:
        The files written.

    Raises:
        UnknownNameError: no such format.
        WorkspaceError: no results there, or the folder cannot be written.
    """
    reports: list[Report] = [REPORTS.load(name) for name in formats]
    for name, report in zip(formats, reports, strict=True):
        if not callable(getattr(report, "write", None)):
            raise PluginError(f"Report format '{name}' has no write(board, folder).")
    target = output or folder / FOLDER
    try:
        with Workspace(folder) as workspace:
            # Ten thousand draws a pair are not made for files that show tables alone.
            compared = not all(getattr(report, "tables_alone", False) for report in reports)
            board = complete_board(workspace, compared=compared)
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
