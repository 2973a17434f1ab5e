"""Writing a task's items, and holding them to what they were."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable

from sepbench.harness.errors import ManifestError
from sepbench.harness.identity import canonical
from sepbench.harness.plan import PlannedItem, Task


def item_values(item: PlannedItem) -> tuple[object, ...]:
    """The columns of an item, in the order of the table, without the task."""
    return (
        item.scene_position,
        item.scene,
        item.target,
        item.query_index,
        canonical(item.query),
        item.cluster,
        int(item.absent),
        canonical(item.attributes),
        item.row_digest,
    )


def digest_items(items: Iterable[PlannedItem]) -> tuple[str, int]:
    """Digest of all items in order, and their number."""
    running, count = hashlib.sha256(), 0
    for item in items:
        running.update(repr(item_values(item)).encode())
        count += 1
    return running.hexdigest(), count


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
