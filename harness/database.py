"""The SQLite file of a workspace: opened safely, errors by name, transactions that hold."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sepbench.harness import store_schema
from sepbench.harness.errors import WorkspaceError, WorkspaceVersionError

# Write-ahead logging needs shared memory, which these file systems do not give.
NETWORK_FILE_SYSTEMS = (
    "nfs",
    "cifs",
    "smb",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "9p",
    "fuse.",
    "afs",
)

_ADVICE = {
    "full": "Free some space and run the same command again; what is done is kept.",
    "readonly": "Make the folder writable, or choose another with --workspace.",
    "unable to open": "Check that the folder can be written, or use --workspace.",
    "not a database": "It is not a sepbench workspace; choose another with --workspace.",
    "malformed": "The database is damaged; restore a copy or choose another workspace.",
}


class Database:
    """An open workspace database of the newest schema.

    Raises:
        WorkspaceError: not a database, not writable, or of an older schema and not `writable`.
        WorkspaceVersionError: written by a newer sepbench.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self._path = path
        with self.named_errors():
            self._connection = self._connect(writable)
            try:
                self._settle(writable)
                self._open_schema(writable)
            except BaseException:
                self._connection.close()
                raise

    def _connect(self, writable: bool) -> sqlite3.Connection:
        path = self._path
        if writable:
            connection = sqlite3.connect(path, isolation_level=None, timeout=60)
        else:
            # On a read-only file system SQLite can make no shared index of the write-ahead log;
            # without a log the file alone is the whole truth, and nobody can change it.
            log = path.with_name(f"{path.name}-wal")
            frozen = not os.access(path.parent, os.W_OK) and not log.exists()
            uri = f"{path.absolute().as_uri()}?{'immutable=1' if frozen else 'mode=ro'}"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=60)
        connection.row_factory = sqlite3.Row
        return connection

    def _settle(self, writable: bool) -> None:
        if writable:
            mode = "DELETE" if _on_network(self._path.parent) else "WAL"
            self._connection.execute(f"PRAGMA journal_mode={mode}")
            # FULL: a recorded item survives a power cut, not only a killed process.
            self._connection.execute("PRAGMA synchronous=FULL")

    def _open_schema(self, writable: bool) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > store_schema.SCHEMA_VERSION:
            raise WorkspaceVersionError(
                f"Workspace {self._path.parent} was written by a newer sepbench (schema {version}, "
                f"this one knows {store_schema.SCHEMA_VERSION}). Upgrade sepbench, or choose "
                "another workspace."
            )
        known = self._connection.execute("PRAGMA application_id").fetchone()[0]
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and known != store_schema.APPLICATION_ID:
            raise WorkspaceError(
                f"{self._path} is a database of another program. Choose another workspace."
            )
        if version == 0 and not writable:
            raise WorkspaceError(
                f"{self._path.parent} holds no results yet. Run `bench run` first, or name "
                "another folder with --workspace."
            )
        if version == 0:
            store_schema.create(self._connection)
        elif version < store_schema.SCHEMA_VERSION and writable:
            store_schema.migrate(self._connection, version)
        elif version < store_schema.SCHEMA_VERSION:
            raise WorkspaceError(
                f"Workspace {self._path.parent} has an older schema; `bench run` upgrades it."
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """One statement."""
        with self.named_errors():
            return self._connection.execute(sql, tuple(parameters))

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """All rows of a statement; the tables are in `store_schema.py`."""
        with self.named_errors():
            return self._connection.execute(sql, tuple(parameters)).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; durable when the block is left."""
        with self.named_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """SQLite's errors under our names, with what to do."""
        try:
            yield
        except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
            text = str(error)
            advice = next((v for k, v in _ADVICE.items() if k in text), "What is done is kept.")
            raise WorkspaceError(f"Workspace {self._path.parent}: {text}. {advice}") from error


def _on_network(folder: Path) -> bool:
    """Whether the folder lies on a file system where write-ahead logging does not work."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8").splitlines()
    except OSError:
        return False
    here = folder.resolve()
    best, kind = -1, ""
    for line in mounts:
        fields = line.split()
        point = Path(fields[1].replace("\\040", " "))
        if here.is_relative_to(point) and len(point.parts) > best:
            best, kind = len(point.parts), fields[2]
    return kind.startswith(NETWORK_FILE_SYSTEMS)
