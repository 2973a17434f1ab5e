"""The workspace: one SQLite database, kept audio and reports in a folder.

One writer, held by an operating-system lock; readers work during a run. Every finished item is
durable when `record` returns.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sepbench.harness.api import MetricCard
from sepbench.harness.database import Database
from sepbench.harness.errors import (
    ChangedFileError,
    WorkspaceError,
)
from sepbench.harness.identity import canonical, digest, plain
from sepbench.harness.plan import PlannedCell, Task, digest_items, item_values
from sepbench.harness.records import FINAL, CellFacts, Failure, ItemOutcome
from sepbench.harness.store_audio import KeptEstimates
from sepbench.harness.store_items import refuse_changed_items
from sepbench.harness.store_results import note_failure, record_outcome
from sepbench.harness.workspace_lock import WorkspaceLock

DATABASE = "results.sqlite"
AUDIO = "audio"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredItem:
    """An item with what is known of it in one cell.

    Attributes:
        known: metric id -> value already recorded (finite ones only), to check a new estimate by.
        missing: metric ids still to be computed.
        estimate_sha256: of the kept estimate, "" when there is none.
    """

    item_id: int
    scene: str
    target: str
    query_index: int
    query: Mapping[str, Any]
    absent: bool
    missing: tuple[str, ...]
    known: Mapping[str, float]
    estimate_sha256: str


class Workspace:
    """An open workspace.

    Args:
        folder: made when it does not exist and `writable`.
        writable: take the writer's lock; readers need none.

    Raises:
        WorkspaceError: not a folder, not writable, not a database.
        WorkspaceLockedError: another run holds it.
        WorkspaceVersionError: written by a newer sepbench.
    """

    def __init__(self, folder: Path, *, writable: bool = False) -> None:
        self.folder = folder
        self._lock = WorkspaceLock(folder)
        self._metric_ids: dict[str, int] = {}
        self._kept: KeptEstimates | None = None
        if writable:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise WorkspaceError(
                    f"Workspace {folder} cannot be made: {error.strerror}. "
                    "Choose another with --workspace."
                ) from error
            self._lock.acquire()
        elif not (folder / DATABASE).is_file():
            raise WorkspaceError(
                f"{folder} holds no results yet. Run `bench run` first, or name another folder "
                "with --workspace."
            )
        try:
            self._database = Database(folder / DATABASE, writable=writable)
        except BaseException:
            self._lock.release()
            raise
        self.query = self._database.query

    def close(self) -> None:
        """Close the database and give the lock back."""
        self._database.close()
        self._lock.release()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- runs ---------------------------------------------------------------------------

    def begin_run(self, settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> int:
        """Note that a run started; returns its id."""
        for unfinished in self.folder.glob(f"{AUDIO}/*/*.part.wav"):
            unfinished.unlink(missing_ok=True)  # of a run that was killed
        with self._database.transaction() as connection:
            # The lock is ours, so a run that still counts as running was killed.
            connection.execute("UPDATE runs SET status = 'stopped' WHERE status = 'running'")
            cursor = connection.execute(
                "INSERT INTO runs (started, status, settings, provenance) VALUES (?, ?, ?, ?)",
                (time.time(), "running", canonical(settings), canonical(provenance)),
            )
            return int(cursor.lastrowid or 0)

    def end_run(self, run_id: int, status: str) -> None:
        """Note how a run ended: finished or stopped."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE runs SET finished = ?, status = ? WHERE id = ?",
                (time.time(), status, run_id),
            )

    # --- the grid -----------------------------------------------------------------------

    def add_task(self, task: Task) -> int:
        """Record a task and its items, or check that they are what they were.

        Raises:
            ManifestError: an item of the same name now means something else.
        """
        rows_digest, count = task.rows_digest, task.count
        if rows_digest is None:
            rows_digest, count = digest_items(task.items())
        protocol = task.protocol
        with self._database.transaction() as connection:
            found = connection.execute(
                "SELECT id, rows_digest FROM tasks WHERE key = ?", (task.key,)
            ).fetchone()
            if found is not None and found["rows_digest"] == rows_digest:
                connection.execute(
                    "UPDATE tasks SET expected_items = ? WHERE id = ?",
                    (protocol.expected_items, found["id"]),
                )
                return int(found["id"])
            if found is None:
                cursor = connection.execute(
                    "INSERT INTO tasks (key, dataset, list, protocol, query_kind, shots, identity)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        task.key,
                        protocol.dataset,
                        protocol.list_name,
                        protocol.name,
                        task.kind,
                        task.shots,
                        canonical(task.identity),
                    ),
                )
                task_id = int(cursor.lastrowid or 0)
            else:
                task_id = int(found["id"])
                refuse_changed_items(connection, task_id, task)
            connection.executemany(
                "INSERT INTO items (task_id, scene_position, scene, target, query_index, query,"
                " cluster, absent, attributes, row_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (task_id, scene, target, query_index)"
                " DO UPDATE SET scene_position = excluded.scene_position,"
                " cluster = excluded.cluster, attributes = excluded.attributes",
                ((task_id, *item_values(item)) for item in task.items()),
            )
            connection.execute(
                "UPDATE tasks SET rows_digest = ?, planned_items = ?, expected_items = ?"
                " WHERE id = ?",
                (rows_digest, count, protocol.expected_items, task_id),
            )
            return task_id

    def add_cell(
        self, cell: PlannedCell, task_id: int | None, metrics: Sequence[str], run_id: int
    ) -> int:
        """Record a cell, or note that it was asked for again; returns its id."""
        # A cell that cannot be has no task; its identity is the request itself.
        identity = cell.identity or {
            "model": dict(cell.model.identity),
            "protocol": cell.protocol.name,
            "kind": cell.kind,
        }
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO cells (key, task_id, label, baseline, protocol, query_kind, status,"
                " reason, identity, card, metrics, aggregate, role, last_run)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET label = excluded.label,"
                " status = excluded.status, reason = excluded.reason, card = excluded.card,"
                " metrics = excluded.metrics, aggregate = excluded.aggregate,"
                " last_run = excluded.last_run RETURNING id",
                (
                    digest(identity),
                    task_id,
                    cell.model.label,
                    cell.model.name,
                    cell.protocol.name,
                    cell.kind or "",
                    "active" if cell.task is not None else "not applicable",
                    cell.reason,
                    canonical(identity),
                    canonical(plain(cell.model.card)),
                    canonical(list(metrics)),
                    canonical(plain(cell.protocol.aggregate)),
                    cell.model.card.role,
                    run_id,
                ),
            )
            return int(cursor.fetchone()[0])

    def add_metrics(self, cards: Iterable[MetricCard]) -> None:
        """Give each metric identity its number; scores of other versions stay apart."""
        with self._database.transaction() as connection:
            for card in cards:
                identity = f"{card.identity} {canonical(dict(card.parameters))}"
                row = connection.execute(
                    "INSERT INTO metrics (identity, metric, version, card) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (identity) DO UPDATE SET card = excluded.card RETURNING id",
                    (identity, card.metric_id, card.version, canonical(plain(card))),
                ).fetchone()
                self._metric_ids[card.metric_id] = int(row[0])

    def set_facts(self, cell_id: int, facts: CellFacts) -> None:
        """Record what is known of a cell's model once it is loaded."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE cells SET facts = ? WHERE id = ?", (canonical(plain(facts)), cell_id)
            )

    # --- work ---------------------------------------------------------------------------

    def pending_positions(
        self, cell_id: int, task_id: int, metrics: Sequence[str], limit: int | None
    ) -> tuple[list[int], int]:
        """Positions of scenes that have something left to do, in list order; and items left.

        Args:
            cell_id: the cell.
            task_id: its task.
            metrics: ids that every item should have.
            limit: look only at the first so many scenes of the list.
        """
        where, parameters = self._within(task_id, limit)
        pending, more = self._pending(metrics)
        rows = self._database.execute(
            f"SELECT i.scene_position, count(*) FROM items i"
            f" LEFT JOIN results r ON r.cell_id = ? AND r.item_id = i.id WHERE {where}"
            f" AND {pending} GROUP BY i.scene_position ORDER BY i.scene_position",
            [cell_id, *parameters, *more],
        )
        positions, items = [], 0
        for row in rows:
            positions.append(row[0])
            items += row[1]
        return positions, items

    def count_items(self, task_id: int, limit: int | None) -> int:
        """How many items a task has within the limit."""
        where, parameters = self._within(task_id, limit)
        return int(self.query(f"SELECT count(*) FROM items i WHERE {where}", parameters)[0][0])

    def _within(self, task_id: int, limit: int | None) -> tuple[str, list[object]]:
        """Items of a task within the limit."""
        if limit is None:
            return "i.task_id = ?", [task_id]
        last = (
            "SELECT max(p) FROM (SELECT DISTINCT scene_position p FROM items WHERE task_id = ?"
            " ORDER BY p LIMIT ?)"
        )
        return f"i.task_id = ? AND i.scene_position <= ({last})", [task_id, task_id, limit]

    def _pending(self, metrics: Sequence[str]) -> tuple[str, list[object]]:
        """Items without a final result, or without a score for one of the metrics."""
        numbers = [self._metric_ids[m] for m in metrics]
        marks = ",".join("?" * len(numbers))
        scored = (
            f"SELECT count(*) FROM scores s WHERE s.result_id = r.id AND s.metric_id IN ({marks})"
        )
        text = f"(r.id IS NULL OR r.status NOT IN {FINAL} OR ({scored}) < ?)"
        return text, [*numbers, len(numbers)]

    def scene_items(
        self, cell_id: int, task_id: int, position: int, metrics: Sequence[str]
    ) -> list[StoredItem]:
        """All items of one scene with what each still lacks in this cell."""
        names = {self._metric_ids[m]: m for m in metrics}
        rows = self._database.execute(
            "SELECT i.id, i.scene, i.target, i.query_index, i.query, i.absent, r.id AS result_id,"
            " r.status, r.estimate_sha256 FROM items i"
            " LEFT JOIN results r ON r.cell_id = ? AND r.item_id = i.id"
            " WHERE i.task_id = ? AND i.scene_position = ? ORDER BY i.id",
            (cell_id, task_id, position),
        ).fetchall()
        items = []
        for row in rows:
            done: dict[str, float | None] = {}
            if row["status"] in FINAL:
                scores = self._database.execute(
                    "SELECT metric_id, value FROM scores WHERE result_id = ?", (row["result_id"],)
                )
                done = {names[s[0]]: s[1] for s in scores if s[0] in names}
            items.append(
                StoredItem(
                    item_id=row["id"],
                    scene=row["scene"],
                    target=row["target"],
                    query_index=row["query_index"],
                    query=json.loads(row["query"]),
                    absent=bool(row["absent"]),
                    missing=tuple(m for m in metrics if m not in done),
                    known={m: v for m, v in done.items() if v is not None and abs(v) < 1e3},
                    estimate_sha256=row["estimate_sha256"] or "",
                )
            )
        return items

    def record(self, outcomes: Sequence[ItemOutcome], run_id: int) -> None:
        """Make finished items durable, all of them in one transaction.

        A final result keeps its scores; new ones are added beside them. A failed try replaces an
        earlier failed try and never a final result.
        """
        if not outcomes:
            return
        with self._database.transaction() as connection:
            for outcome in outcomes:
                record_outcome(connection, outcome, run_id, self._metric_ids)

    def fail_cell(self, cell_id: int, failure: Failure, run_id: int) -> None:
        """Note that a cell could not be carried out; its missing items stay missing."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE cells SET status = 'failed', reason = ? WHERE id = ?",
                (failure.error, cell_id),
            )
            note_failure(connection, cell_id, None, run_id, "failed", failure)

    # --- files --------------------------------------------------------------------------

    def check_files(self, dataset: str, files: Mapping[str, str]) -> None:
        """Remember the contents of files, or refuse contents that changed.

        Raises:
            ChangedFileError: a file under the same name has other bytes than when it was scored.
        """
        new: list[tuple[str, str, str]] = []
        for name, sha256 in files.items():
            row = self._database.execute(
                "SELECT sha256 FROM files WHERE dataset = ? AND name = ?", (dataset, name)
            ).fetchone()
            if row is None:
                new.append((dataset, name, sha256))
            elif row[0] != sha256:
                raise ChangedFileError(
                    f"{name} of dataset {dataset} has changed since its scores were recorded "
                    f"(sha256 {row[0][:12]}… then, {sha256[:12]}… now). Restore the file, or use a "
                    "new workspace."
                )
        if new:
            with self._database.transaction() as connection:
                connection.executemany("INSERT OR IGNORE INTO files VALUES (?, ?, ?)", new)

    def audio_path(self, sha256: str) -> Path:
        """Where a kept estimate lies, in the workspace or in a store that a run used."""
        if self._kept is None:
            rows = self.query(
                "SELECT json_extract(settings, '$.audio_store') AS store FROM runs ORDER BY id"
            )
            stores = [str(row["store"]) for row in rows if row["store"]]
            self._kept = KeptEstimates(self.folder / AUDIO, stores)
        return self._kept.path(sha256)
