"""Tables of the workspace database, their version, and the way up from older ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

SCHEMA_VERSION = 3
APPLICATION_ID = 0x53455042  # "SEPB": tells our files from other people's databases

_VERSION_1 = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    started REAL NOT NULL,
    finished REAL,
    status TEXT NOT NULL,              -- running, finished, stopped
    settings TEXT NOT NULL,            -- JSON, resolved configuration
    provenance TEXT NOT NULL           -- JSON, versions, commit, machine
);
-- A list under a protocol with one kind of query: what cells share.
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    dataset TEXT NOT NULL,
    list TEXT NOT NULL,
    protocol TEXT NOT NULL,
    query_kind TEXT NOT NULL,
    shots INTEGER,
    identity TEXT NOT NULL,            -- JSON
    rows_digest TEXT NOT NULL DEFAULT '',
    expected_items INTEGER,
    planned_items INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    task_id INTEGER NOT NULL REFERENCES tasks(id),
    scene_position INTEGER NOT NULL,
    scene TEXT NOT NULL,
    target TEXT NOT NULL,
    query_index INTEGER NOT NULL,
    query TEXT NOT NULL,               -- JSON: text, label, example clip ids
    cluster TEXT NOT NULL,
    absent INTEGER NOT NULL,
    attributes TEXT NOT NULL,          -- JSON
    row_digest TEXT NOT NULL,
    UNIQUE (task_id, scene, target, query_index)
);
CREATE INDEX items_by_position ON items (task_id, scene_position, id);
CREATE TABLE cells (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    task_id INTEGER REFERENCES tasks(id),
    label TEXT NOT NULL,
    baseline TEXT NOT NULL,
    protocol TEXT NOT NULL,
    query_kind TEXT NOT NULL,
    status TEXT NOT NULL,              -- active, not applicable, failed
    reason TEXT NOT NULL DEFAULT '',
    identity TEXT NOT NULL,            -- JSON
    card TEXT NOT NULL,                -- JSON
    facts TEXT NOT NULL DEFAULT '{}',  -- JSON: device, parameters, versions
    metrics TEXT NOT NULL DEFAULT '[]',-- JSON: ids last asked for
    aggregate TEXT NOT NULL DEFAULT 'mean',
    role TEXT NOT NULL,
    last_run INTEGER REFERENCES runs(id)
);
CREATE TABLE metrics (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,     -- id@version and parameters
    metric TEXT NOT NULL,
    version INTEGER NOT NULL,
    card TEXT NOT NULL                 -- JSON
);
CREATE TABLE results (
    id INTEGER PRIMARY KEY,
    cell_id INTEGER NOT NULL REFERENCES cells(id),
    item_id INTEGER NOT NULL REFERENCES items(id),
    status TEXT NOT NULL,
    error_type TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL,
    audio_seconds REAL NOT NULL,
    load_seconds REAL NOT NULL,
    condition_seconds REAL NOT NULL,
    separate_seconds REAL NOT NULL,
    score_seconds REAL NOT NULL,
    peak_memory INTEGER NOT NULL,
    files TEXT NOT NULL,               -- JSON: name -> sha256 of the audio read
    example_files TEXT NOT NULL,       -- JSON: clip id -> sha256
    estimate_sha256 TEXT NOT NULL DEFAULT '',
    run_id INTEGER NOT NULL REFERENCES runs(id),
    UNIQUE (cell_id, item_id)
);
-- Every failed try, also of items that were scored later.
CREATE TABLE failures (
    id INTEGER PRIMARY KEY,
    cell_id INTEGER NOT NULL REFERENCES cells(id),
    item_id INTEGER REFERENCES items(id), -- NULL: the cell as a whole
    run_id INTEGER NOT NULL REFERENCES runs(id),
    at REAL NOT NULL,
    status TEXT NOT NULL,
    error_type TEXT NOT NULL,
    error TEXT NOT NULL,
    traceback TEXT NOT NULL
);
CREATE TABLE scores (
    result_id INTEGER NOT NULL REFERENCES results(id),
    metric_id INTEGER NOT NULL REFERENCES metrics(id),
    value REAL,                        -- NULL: undefined
    cause TEXT,                        -- reference or estimate
    reason TEXT,
    PRIMARY KEY (result_id, metric_id)
) WITHOUT ROWID;
-- Contents under which a file's scores were recorded.
CREATE TABLE files (
    dataset TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (dataset, name)
) WITHOUT ROWID;
"""

# Windows of a score, where its metric works in windows: float64, little-endian, NaN = undefined.
_FRAMES = """
CREATE TABLE frames (
    result_id INTEGER NOT NULL REFERENCES results(id),
    metric_id INTEGER NOT NULL REFERENCES metrics(id),
    windows BLOB NOT NULL,
    PRIMARY KEY (result_id, metric_id)
) WITHOUT ROWID;
"""


def _add_frames(connection: sqlite3.Connection) -> None:
    connection.execute(_FRAMES)


# What was done to an estimate because memory ran out, in words; "" for nothing.
_DEGRADED = "ALTER TABLE results ADD COLUMN degraded TEXT NOT NULL DEFAULT '';"


def _add_degraded(connection: sqlite3.Connection) -> None:
    connection.execute(_DEGRADED)


# From version n to n + 1, in order. Old workspaces keep opening.
MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {
    1: _add_frames,
    2: _add_degraded,
}


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of the newest version in an empty database."""
    connection.executescript(
        f"BEGIN;{_VERSION_1}{_FRAMES}{_DEGRADED}PRAGMA application_id={APPLICATION_ID};"
        f"PRAGMA user_version={SCHEMA_VERSION};COMMIT;"
    )


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring an older database up to the newest version, each step in a transaction."""
    for step in range(version, SCHEMA_VERSION):
        connection.execute("BEGIN")
        MIGRATIONS[step](connection)
        connection.execute(f"PRAGMA user_version={step + 1}")
        connection.execute("COMMIT")
