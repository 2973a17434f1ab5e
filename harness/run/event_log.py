"""The event log of a workspace: JSON lines that others read while a run goes on.

One line an event, each written with one call, so a reader sees whole lines but for the last one of
a run that was killed. The log is for watching; the database is the record. A log that cannot be
written is said once and never stops a run.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

# Raised when a field changes its meaning; fields and events may be added without.
VERSION = 1
NAME = "events.jsonl"
OLDER = "events.1.jsonl"
MOST_BYTES = 4 << 20  # of one file; with the older one the log takes twice as much at most
DECIMALS = 3  # of seconds

Event = dict[str, Any]


class EventLog:
    """Appends the events of one run.

    Args:
        folder: the workspace.
        run_id: of this invocation.
        clock: seconds that only go forward; all `t` are differences of it.
        wall: time of day, for people only.
        most_bytes: of the file, beyond which it becomes the older one and a new one begins.
    """

    def __init__(
        self,
        folder: Path,
        run_id: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._path, self._older = folder / NAME, folder / OLDER
        self._run_id, self._most = run_id, most_bytes
        self._clock, self._wall = clock, wall
        self._began = clock()
        self._file: int | None = None
        self._head: list[tuple[str, Event]] = []
        self._size = self._head_bytes = 0
        self._torn = self._warned = False
        self.generation = 0

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return self._clock() - self._began

    def write(self, event: str, fields: Event, *, head: bool = False) -> None:
        """Append one event.

        Args:
            event: its name.
            fields: plain data; times are rounded.
            head: repeat it at the beginning of every new file, so that each can be read alone.
        """
        try:
            self._open()
            # The head comes in one piece, and does not count against the bound.
            if not head and self._size >= self._most + self._head_bytes:
                self._rotate()
            before = self._size
            self._append(event, fields)
            if head:
                self._head.append((event, fields))
                self._head_bytes += self._size - before
        except OSError as error:
            self._torn = True
            if not self._warned:
                self._warned = True
                logger.warning(
                    "The event log %s cannot be written: %s. The run goes on; `bench status` "
                    "knows less of it.",
                    self._path,
                    error.strerror,
                )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):  # what was written is there; the log is no record
                os.close(self._file)
            self._file = None

    def _open(self) -> None:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            self._size = os.fstat(self._file).st_size
            # A run that was killed may have left half a line.
            last = os.pread(self._file, 1, self._size - 1) if self._size else b"\n"
            self._torn = last != b"\n"

    def _rotate(self) -> None:
        self.close()
        self._path.replace(self._older)
        self.generation += 1
        self._open()
        for event, fields in self._head:
            self._append(event, {**fields, "continued": True})
        self._head_bytes = self._size

    def _append(self, event: str, fields: Event) -> None:
        assert self._file is not None
        record = {
            "v": VERSION,
            "event": event,
            "run": self._run_id,
            "t": round(self.seconds, DECIMALS),
            "at": round(self._wall(), DECIMALS),
            **rounded(fields),
        }
        line = b"\n" * self._torn + json.dumps(record, separators=(",", ":")).encode() + b"\n"
        written = os.write(self._file, line)
        self._torn = written < len(line)
        self._size += written


class EventTail:
    """Reads a log from its beginning and then what is added, through rotations."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._inode = self._offset = 0

    def read(self) -> list[Event]:
        """Whole events since the last call; lines that are no events of this version are skipped.

        A line without its end is left for the next call: somebody is writing it, or died.
        """
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._inode or found.st_size < self._offset:
                    self._inode, self._offset = found.st_ino, 0
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        events = (_event(line) for line in whole.splitlines())
        return [event for event in events if event is not None]


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:  # the half line of a run that was killed
        return None
    return event if isinstance(event, dict) and event.get("v") == VERSION else None


def rounded(value: Any) -> Any:
    """Plain data with floats to a millisecond; mapping keys become text."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {str(key): rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    return value
