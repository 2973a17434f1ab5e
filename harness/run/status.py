"""`bench status`: what a workspace is doing, read from outside and without disturbing it.

While a run goes on, the event log tells (at most two seconds old); otherwise the database, which
knows every recorded item. Whether a run goes on is told by its lock, which dies with its process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from sqlite3 import Row
from typing import Any, Literal, TypeAlias

from sepbench.harness.errors import WorkspaceError
from sepbench.harness.records import FINAL
from sepbench.harness.run.event_log import EventTail
from sepbench.harness.run.logged_run import LoggedCell, LoggedRun, latest_run, waits_for
from sepbench.harness.store import Workspace
from sepbench.harness.workspace_lock import holder_of

VERSION = 1  # of the JSON

# running: items are being done; stopping: what is in flight is finished; killed: it ended without
# a word; busy: somebody holds the workspace, and no run has begun in it.
RunState: TypeAlias = Literal["running", "stopping", "finished", "stopped", "killed", "busy"]
CellState: TypeAlias = Literal[
    "running", "waiting", "done", "incomplete", "failed", "not applicable"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class CellStatus:
    """One cell of the latest run.

    Attributes:
        done: items with a final result and every metric asked for.
        failed: whose last try failed; the next run tries them again.
        left: not tried yet.
        items_per_second: lately; None while nothing of it moves.
    """

    cell: int
    model: str
    protocol: str
    query: str
    state: CellState
    items: int
    done: int
    failed: int
    left: int
    items_per_second: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneStatus:
    """One separation process; `use` is its share of time at work lately, 0 to 1."""

    device: str
    model: str
    state: str
    use: float | None
    items: int
    restarts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkspaceStatus:
    """A workspace at one moment.

    Attributes:
        holder: pid, host, since and command of who holds the workspace; {} when nobody does.
        started: time of day when the latest run began, seconds since 1970.
        seconds: that it lasted up to its latest event, on its own clock; None without a log.
        heard_at: time of day of the latest event; None without a log.
        reason: why it is being or was stopped, or "".
        scorers: processes, working, busy (scoring on average lately), items, restarts.
        failures: the latest failed items of this run: model, scene, target, error.
    """

    workspace: str
    state: RunState
    run: int
    started: float
    holder: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    heard_at: float | None = None
    reason: str = ""
    items: int = 0
    done: int = 0
    failed: int = 0
    left: int = 0
    items_per_second: float | None = None
    seconds_left: float | None = None
    waits_for: str = ""
    cells: tuple[CellStatus, ...] = ()
    lanes: tuple[LaneStatus, ...] = ()
    scorers: Mapping[str, float | None] = field(default_factory=dict)
    failures: tuple[Mapping[str, str], ...] = ()

    @property
    def alive(self) -> bool:
        """Whether a run goes on."""
        return self.state in ("running", "stopping", "busy")

    def as_json(self) -> str:
        """One JSON object; the fields are those of these classes."""
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False)


class StatusReader:
    """Looks at a workspace again and again; reads only what is new in its log.

    Args:
        folder: the workspace.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tail = EventTail(folder)
        self._logged: LoggedRun | None = None

    def read(self) -> WorkspaceStatus:
        """The state of this moment.

        Raises:
            WorkspaceError: no run has begun there.
        """
        # In this order: a run that ends meanwhile is seen with its end, not as a killed one.
        holder = holder_of(self._folder)
        self._logged = latest_run(self._tail.read(), self._logged)
        with Workspace(self._folder) as workspace:
            rows = workspace.query("SELECT * FROM runs ORDER BY id DESC LIMIT 1")
            if not rows:
                raise WorkspaceError(
                    f"{self._folder} holds no run yet. Run `bench run` first, or name another "
                    "folder."
                )
            run = rows[0]
            logged = self._logged
            if logged is not None and logged.run_id != run["id"]:
                logged = None  # the log of a database that is gone, or of the run before
            state = _state(run["status"], holder, logged)
            live = state in ("running", "stopping") and logged is not None and bool(logged.cells)
            cells = _cells(workspace, run, logged if live else None)
            failures = _failures(workspace, run["id"])
        return WorkspaceStatus(
            workspace=str(self._folder),
            state=state,
            run=run["id"],
            started=run["started"],
            holder=holder or {},
            items=sum(cell.items for cell in cells),
            done=sum(cell.done for cell in cells),
            failed=sum(cell.failed for cell in cells),
            left=sum(cell.left for cell in cells),
            cells=tuple(cells),
            failures=failures,
            **_from_log(logged, live=live),
        )


def _state(recorded: str, holder: Mapping[str, Any] | None, logged: LoggedRun | None) -> RunState:
    if holder is None:
        return "killed" if recorded == "running" else _ended(recorded)
    if recorded != "running":
        return "busy"
    return "stopping" if logged is not None and logged.stopping else "running"


def _ended(recorded: str) -> RunState:
    return "finished" if recorded == "finished" else "stopped"


def _from_log(logged: LoggedRun | None, *, live: bool) -> dict[str, Any]:
    """What only the log knows."""
    if logged is None:
        return {}
    found: dict[str, Any] = {
        "seconds": logged.seconds,
        "heard_at": logged.at,
        "reason": logged.stopping,
    }
    snapshot = logged.snapshot
    if not live or snapshot is None:
        return found
    return found | {
        "items_per_second": logged.pace.slope,
        "seconds_left": logged.seconds_left,
        "waits_for": waits_for(snapshot),
        "lanes": tuple(
            LaneStatus(
                device=lane.device,
                model=lane.model,
                state=lane.state,
                use=logged.use[lane.number].slope,
                items=lane.items,
                restarts=lane.restarts,
            )
            for lane in snapshot.lanes
        ),
        "scorers": {
            "processes": snapshot.scorers.processes,
            "working": snapshot.scorers.working,
            "busy": logged.scoring.slope,
            "items": snapshot.scorers.items,
            "restarts": snapshot.scorers.restarts,
        },
    }


# --- cells --------------------------------------------------------------------------------


def _cells(workspace: Workspace, run: Row, logged: LoggedRun | None) -> list[CellStatus]:
    """The cells that the latest run was asked for, counted by its log or else by the database."""
    limit = json.loads(run["settings"]).get("limit")
    rows = workspace.query(
        "SELECT c.id, c.task_id, c.label, c.protocol, c.query_kind, c.status, c.reason, c.metrics,"
        " t.shots FROM cells c LEFT JOIN tasks t ON t.id = c.task_id WHERE c.last_run = ?"
        " ORDER BY c.id",
        (run["id"],),
    )
    cells = []
    for row in rows:
        known = logged.cells.get(row["id"]) if logged is not None else None
        if known is not None and logged is not None:
            items, failed = known.items, known.failed
            done = known.items - known.pending + known.done - failed
            state, pace = _live_state(known, logged), known.pace.slope
        else:
            items, done, failed = _counted(workspace, row, limit)
            state, pace = _state_at_rest(row["status"], items - done), None
        cells.append(
            CellStatus(
                cell=row["id"],
                model=row["label"],
                protocol=row["protocol"],
                query=row["query_kind"] + (f" ×{row['shots']}" if row["shots"] else ""),
                state=state,
                items=items,
                done=done,
                failed=failed,
                left=items - done - failed,
                items_per_second=pace if state == "running" else None,
                reason=row["reason"],
            )
        )
    return cells


def _live_state(cell: LoggedCell, logged: LoggedRun) -> CellState:
    if cell.error:
        return "failed"
    if cell.done >= cell.pending:
        return "incomplete" if cell.failed else "done"
    lanes = logged.snapshot.lanes if logged.snapshot is not None else ()
    taken = any(lane.model == cell.model and lane.state == "working" for lane in lanes)
    return "running" if cell.done or cell.loaded or taken else "waiting"


def _state_at_rest(status: str, missing: int) -> CellState:
    if status == "not applicable":
        return "not applicable"
    if not missing:
        return "done"
    return "failed" if status == "failed" else "incomplete"


def _counted(workspace: Workspace, cell: Row, limit: int | None) -> tuple[int, int, int]:
    """Items of a cell within the limit; of these, the finished and the failed ones."""
    if cell["task_id"] is None:
        return 0, 0, 0
    metrics = json.loads(cell["metrics"])
    # Of a metric's versions the newest is the one that was asked for.
    newest = "SELECT max(id) FROM metrics WHERE metric IN (SELECT value FROM json_each(?))"
    scored = (
        "SELECT count(*) FROM scores s WHERE s.result_id = r.id"
        f" AND s.metric_id IN ({newest} GROUP BY metric)"
    )
    within = "i.task_id = ?"
    parameters: list[object] = [cell["task_id"]]
    if limit is not None:
        within += (
            " AND i.scene_position <= (SELECT max(p) FROM (SELECT DISTINCT scene_position p"
            " FROM items WHERE task_id = ? ORDER BY p LIMIT ?))"
        )
        parameters += [cell["task_id"], limit]
    found = workspace.query(
        f"SELECT count(*) AS items, coalesce(sum(r.status IN {FINAL} AND ({scored}) >= ?), 0)"
        f" AS done, coalesce(sum(r.status NOT IN {FINAL}), 0) AS failed FROM items i"
        f" LEFT JOIN results r ON r.cell_id = ? AND r.item_id = i.id WHERE {within}",
        (cell["metrics"], len(metrics), cell["id"], *parameters),
    )[0]
    return found["items"], found["done"], found["failed"]


def _failures(workspace: Workspace, run_id: int) -> tuple[dict[str, str], ...]:
    """The latest few of a run."""
    rows = workspace.query(
        "SELECT c.label, c.protocol, i.scene, i.target, f.error_type, f.error FROM failures f"
        " JOIN cells c ON c.id = f.cell_id LEFT JOIN items i ON i.id = f.item_id"
        " WHERE f.run_id = ? ORDER BY f.id DESC LIMIT 3",
        (run_id,),
    )
    return tuple(
        {
            "model": row["label"],
            "protocol": row["protocol"],
            "scene": row["scene"] or "",
            "target": row["target"] or "",
            "error_type": row["error_type"],
            "error": row["error"],
        }
        for row in rows
    )
