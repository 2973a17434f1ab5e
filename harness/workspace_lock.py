"""One writer a workspace: an operating-system lock that dies with its process."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from sepbench.harness.errors import WorkspaceError, WorkspaceLockedError

NAME = "run.lock"
# Somebody who only looks whether it is held has it for an instant: try again that often.
TRIES, SECONDS_BETWEEN_TRIES = 4, 0.05


class WorkspaceLock:
    """Held from `acquire` to `release`, or to the death of the process, however it dies."""

    def __init__(self, workspace: Path) -> None:
        self._path = workspace / NAME
        self._file: TextIO | None = None

    def acquire(self) -> None:
        """Take the lock at once or not at all.

        Raises:
            WorkspaceLockedError: another run holds it; says which.
            WorkspaceError: the lock file cannot be written.
        """
        try:
            file = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise WorkspaceError(
                f"Workspace {self._path.parent} cannot be written: {error.strerror}. "
                "Choose another with --workspace."
            ) from error
        try:
            _lock(file)
        except BlockingIOError:
            holder = _describe(file)
            file.close()
            raise WorkspaceLockedError(
                f"Workspace {self._path.parent} is in use by {holder}. Wait for that run, stop "
                "it, or choose another workspace with --workspace. Reports can be made meanwhile."
            ) from None
        except OSError as error:  # some network file systems have no locks
            file.close()
            raise WorkspaceError(
                f"Workspace {self._path.parent} cannot be locked: {error.strerror}. "
                "Choose one on another file system with --workspace."
            ) from error
        try:
            _introduce(file)
        except OSError as error:
            with suppress(OSError):  # closing writes what is left, and fails likewise
                file.close()
            raise WorkspaceError(
                f"Workspace {self._path.parent} cannot be written: {error.strerror}. "
                "Free some space and run the same command again; what is done is kept."
            ) from error
        self._file = file

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()  # closing releases the lock
            self._file = None


def holder_of(workspace: Path) -> dict[str, Any] | None:
    """Who holds a workspace's lock: pid, host, since and command, as far as it says; None: nobody.

    The lock tells, not the process number: that may be another's by now, or of another host.
    """
    try:
        with (workspace / NAME).open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read_holder(file)
    except OSError:  # never locked, or on a file system without locks, where nobody can hold one
        return None
    return None


def _lock(file: TextIO) -> None:
    for left in reversed(range(TRIES)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not left:
                raise
            time.sleep(SECONDS_BETWEEN_TRIES)


def _introduce(file: TextIO) -> None:
    """Write down who holds the lock."""
    file.seek(0)
    file.truncate()
    json.dump(
        {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        },
        file,
    )
    file.flush()


def _describe(file: TextIO) -> str:
    holder = _read_holder(file)
    try:
        return (
            f"process {holder['pid']} on {holder['host']} since {holder['since']} "
            f"('{holder['command']}')"
        )
    except KeyError:
        return "another run"


def _read_holder(file: TextIO) -> dict[str, Any]:
    """What the holder wrote down; {} when it has not come to that."""
    file.seek(0)
    try:
        holder = json.load(file)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}
