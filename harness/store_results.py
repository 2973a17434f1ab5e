"""Writing results: one outcome into the tables, inside the caller's transaction."""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Mapping, Sequence

from sepbench.harness.api import Framewise, Undefined
from sepbench.harness.identity import canonical
from sepbench.harness.records import FINAL, Failure, ItemOutcome


def record_outcome(
    connection: sqlite3.Connection,
    outcome: ItemOutcome,
    run_id: int,
    metric_ids: Mapping[str, int],
) -> None:
    """Write one outcome; a final result is never replaced, only given more scores."""
    failure = outcome.failure
    if failure is not None:
        note_failure(connection, outcome.cell_id, outcome.item_id, run_id, outcome.status, failure)
    row = connection.execute(
        "INSERT INTO results (cell_id, item_id, status, error_type, error, attempts,"
        " audio_seconds, load_seconds, condition_seconds, separate_seconds, score_seconds,"
        " peak_memory, files, example_files, estimate_sha256, run_id, degraded)"
        " VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (cell_id, item_id) DO UPDATE SET"
        f" attempts = attempts + (status NOT IN {FINAL}),"
        # Scores added to a final result leave its own facts (cost, attempt's error) alone.
        f" status = CASE WHEN status IN {FINAL} AND excluded.status NOT IN ('scored')"
        " THEN status ELSE excluded.status END,"
        f" error_type = CASE WHEN status IN {FINAL} THEN error_type ELSE excluded.error_type END,"
        f" error = CASE WHEN status IN {FINAL} THEN error ELSE excluded.error END,"
        + ",".join(
            f" {c} = CASE WHEN status IN {FINAL} THEN {c} ELSE excluded.{c} END"
            for c in (
                "audio_seconds",
                "load_seconds",
                "condition_seconds",
                "separate_seconds",
                "score_seconds",
                "peak_memory",
                "files",
                "example_files",
                "run_id",
            )
        )
        # A mark stays: some of the scores are of the marked estimate.
        + f", degraded = CASE WHEN status IN {FINAL} AND excluded.degraded = '' THEN degraded"
        " ELSE excluded.degraded END"
        ", estimate_sha256 = CASE WHEN excluded.estimate_sha256 = '' THEN estimate_sha256"
        " ELSE excluded.estimate_sha256 END RETURNING id",
        (
            outcome.cell_id,
            outcome.item_id,
            outcome.status,
            failure.error_type if failure else "",
            failure.error if failure else "",
            outcome.audio_seconds,
            outcome.load_seconds,
            outcome.condition_seconds,
            outcome.separate_seconds,
            outcome.score_seconds,
            outcome.peak_memory,
            canonical(dict(outcome.files)),
            canonical(dict(outcome.example_files)),
            outcome.estimate_sha256,
            run_id,
            outcome.degraded,
        ),
    ).fetchone()
    for metric, value in outcome.scores.items():
        number, cause, reason = (
            (None, value.cause, value.reason)
            if isinstance(value, Undefined)
            else (float(value), None, None)
        )
        connection.execute(
            "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?)",
            (row[0], metric_ids[metric], number, cause, reason),
        )
        if isinstance(value, Framewise):
            connection.execute(
                "INSERT OR REPLACE INTO frames VALUES (?, ?, ?)",
                (row[0], metric_ids[metric], pack_frames(value.frames)),
            )


def pack_frames(frames: Sequence[float]) -> bytes:
    """Windows as the table keeps them."""
    return struct.pack(f"<{len(frames)}d", *frames)


def unpack_frames(packed: bytes) -> tuple[float, ...]:
    """The windows of a score; the way back of `pack_frames`."""
    return struct.unpack(f"<{len(packed) // 8}d", packed)


def note_failure(
    connection: sqlite3.Connection,
    cell_id: int,
    item_id: int | None,
    run_id: int,
    status: str,
    failure: Failure,
) -> None:
    """Keep a failed try, of an item or (item None) of a cell as a whole."""
    connection.execute(
        "INSERT INTO failures (cell_id, item_id, run_id, at, status, error_type, error, traceback)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            cell_id,
            item_id,
            run_id,
            time.time(),
            status,
            failure.error_type,
            failure.error,
            failure.traceback,
        ),
    )
