"""Holding a task's items to what they were."""

from __future__ import annotations

import sqlite3

from sepbench.harness.errors import ManifestError
from sepbench.harness.identity import canonical
from sepbench.harness.plan import Task


def refuse_changed_items(connection: sqlite3.Connection, task_id: int, task: Task) -> None:
    """Compare a task's items with the recorded ones of the same names.

    Raises:
        ManifestError: one of them now means something else.
    """
    stored = {
        (row["scene"], row["target"], row["query_index"]): (row["row_digest"], row["query"])
        for row in connection.execute("SELECT * FROM items WHERE task_id = ?", (task_id,))
    }
    for item in task.items():
        before = stored.get((item.scene, item.target, item.query_index))
        now = (item.row_digest, canonical(item.query))
        if before is not None and before != now:
            what = "files or mixing" if before[0] != now[0] else "query (text or example pool)"
            raise ManifestError(
                f"Scene {item.scene} of {task.protocol.dataset}:{task.protocol.list_name} has "
                f"another {what} than when its scores were recorded, under the same list "
                f"revision '{task.identity['revision']}'. Restore the files, raise the revision in "
                "the dataset's list card, or use a new workspace."
            )
