"""`bench report`: from a workspace to files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sepbench.harness.aggregate import tables
from sepbench.harness.errors import WorkspaceError
from sepbench.harness.run.catalogs import REPORTS
from sepbench.harness.store import Workspace
from sepbench.reports.contract import Leaderboard, Report

FOLDER = "reports"


def open_board(workspace: Workspace, protocols: Sequence[str] | None = None) -> Leaderboard:
    """The leaderboard of an open workspace: all protocols, or those named."""
    return Leaderboard(tables=tables(workspace, protocols), provenance=_provenance(workspace))


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
    with Workspace(folder) as workspace:
        board = open_board(workspace)
    target = output or folder / FOLDER
    try:
        target.mkdir(parents=True, exist_ok=True)
        return [path for report in reports for path in report.write(board, target)]
    except OSError as error:
        raise WorkspaceError(
            f"Reports cannot be written to {target}: {error.strerror}. Name another folder with "
            "--output."
        ) from error


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
