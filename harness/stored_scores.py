"""What tables need of a workspace: its cells, their scores, counts and cost, as they are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sepbench.harness.identity import digest
from sepbench.harness.records import FINAL
from sepbench.harness.store import Workspace

if TYPE_CHECKING:
    import pandas as pd

_FRAME_COLUMNS = (
    "c.id AS cell",
    "c.label AS model",
    "c.baseline",
    "c.protocol",
    "c.query_kind",
    "t.dataset",
    "t.list",
    "t.shots",
    "i.scene",
    "i.target",
    "i.query_index",
    "i.query",
    "i.cluster",
    "i.attributes",
    "r.status",
    "r.error",
    "r.audio_seconds",
    "r.separate_seconds",
    "m.metric",
    "m.version AS metric_version",
    "s.value",
    "s.cause",
    "s.reason",
)


def results_frame(workspace: Workspace) -> pd.DataFrame:
    """Every score as a row: model, protocol, scene, target, query, metric, value, why not.

    `cell` tells apart what shares a label: other settings, other code, another list revision. An
    item without any score (failed) is one row with its status and error.
    """
    import pandas as pd

    rows = workspace.query(
        f"SELECT {', '.join(_FRAME_COLUMNS)} FROM results r JOIN cells c ON c.id = r.cell_id"
        " JOIN items i ON i.id = r.item_id JOIN tasks t ON t.id = i.task_id"
        " LEFT JOIN scores s ON s.result_id = r.id LEFT JOIN metrics m ON m.id = s.metric_id"
        " ORDER BY r.cell_id, i.scene_position, i.id, m.id"
    )
    names = [text.rpartition(" ")[2].rpartition(".")[2] for text in _FRAME_COLUMNS]
    return pd.DataFrame([tuple(row) for row in rows], columns=names)


def read_cells(workspace: Workspace, protocol: str) -> tuple[list[dict[str, Any]], int]:
    """The cells of a protocol's table, and how many are left out.

    Shown is, for each label and kind of query, the cell used last; `older` counts the others.
    Left out are those of an earlier list revision, rate or mixing than the newest: their numbers
    do not share a column with new ones, nor their mixture's.
    """
    found = workspace.query(
        "SELECT c.*, t.expected_items, t.planned_items, t.shots, t.identity AS task,"
        " EXISTS (SELECT 1 FROM results r WHERE r.cell_id = c.id) AS used FROM cells c"
        " LEFT JOIN tasks t ON t.id = c.task_id WHERE c.protocol = ? ORDER BY c.last_run, c.id",
        (protocol,),
    )
    latest: dict[tuple[str, str, int | None], dict[str, Any]] = {}
    for row in found:  # in the order of last use
        key = (row["label"], row["query_kind"], row["shots"])
        # A variant that never had a result (its checkpoint was missing) is no earlier row.
        older = latest[key]["older"] + latest[key]["used"] if key in latest else 0
        latest[key] = dict(row) | {"older": older, "basis": _basis(row["task"])}
    bases = [cell["basis"] for cell in latest.values() if cell["basis"]]
    newest = bases[-1] if bases else ""
    current = [cell for cell in latest.values() if cell["basis"] in ("", newest)]
    shown = [cell for cell in current if not _is_outdated_refusal(cell, current)]
    return sorted(shown, key=lambda cell: cell["id"]), len(latest) - len(current)


def _basis(task: str | None) -> str:
    """What the mixtures and references of a task are made of; "" for a cell without a task."""
    if task is None:
        return ""
    return digest({key: value for key, value in json.loads(task).items() if key != "query"})


def _is_outdated_refusal(cell: Mapping[str, Any], others: list[dict[str, Any]]) -> bool:
    """Whether a cell that was not applicable has been possible since."""
    return cell["status"] == "not applicable" and any(
        other["status"] == "active"
        and other["label"] == cell["label"]
        and cell["query_kind"] in ("", other["query_kind"])
        and other["last_run"] > cell["last_run"]
        for other in others
    )


def metric_card(workspace: Workspace, name: str) -> dict[str, Any]:
    """The newest card under which a metric was asked for, with its `number` in the workspace."""
    row = workspace.query(
        "SELECT id, card FROM metrics WHERE metric = ? ORDER BY version DESC, id DESC", (name,)
    )[0]
    return {"number": row["id"], **json.loads(row["card"])}


def count_statuses(workspace: Workspace, cell_id: int) -> dict[str, int]:
    """Status -> items of a cell."""
    rows = workspace.query(
        "SELECT status, count(*) n FROM results WHERE cell_id = ? GROUP BY status", (cell_id,)
    )
    return {row["status"]: row["n"] for row in rows}


def count_degraded(workspace: Workspace, cell_id: int) -> dict[str, int]:
    """What was done to save memory, in words -> done items of a cell that are marked with it."""
    rows = workspace.query(
        "SELECT degraded, count(*) n FROM results WHERE cell_id = ? AND degraded != ''"
        f" AND status IN {FINAL} GROUP BY degraded ORDER BY n DESC",
        (cell_id,),
    )
    return {row["degraded"]: row["n"] for row in rows}


def read_cost(workspace: Workspace, cell_id: int) -> dict[str, Any]:
    """Real-time factor and peak memory of a cell; None where not measured."""
    row = workspace.query(
        "SELECT sum(separate_seconds) s, sum(audio_seconds) a, max(peak_memory) m FROM results"
        f" WHERE cell_id = ? AND status IN {FINAL} AND separate_seconds > 0",
        (cell_id,),
    )[0]
    return {
        "real_time_factor": row["s"] / row["a"] if row["a"] else None,
        "peak_memory": row["m"] or None,
    }
