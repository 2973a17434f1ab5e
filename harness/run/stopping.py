"""Reasons to end a run early and in order: Ctrl-C, and a disk that is filling up."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol

from sepbench.harness.errors import NoRoomError

STOPPING = b"\nStopping: what is in flight is finished and recorded. Ctrl-C again stops at once.\n"
# What stays free on the disk of the workspace, so that the database, its log and whatever else
# lives there can still write; a twentieth of a small disk.
RESERVE_BYTES = 256 << 20
RESERVE_SHARE = 20
# In the database; with one metric and no failure `tests/bench/overhead.py --scan` finds half of it.
BYTES_AN_ITEM = 1024
SECONDS_BETWEEN_LOOKS = 1.0


class Interrupts:
    """The first Ctrl-C (or SIGTERM) asks the run to end, the second one ends it at once.

    Outside the main thread, where Python allows no handlers, Ctrl-C means what it meant before.

    Attributes:
        asked: a signal has come.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        # Not through logging or print: a handler may come in the middle of either.
        os.write(2, STOPPING)


class Usage(Protocol):
    """Bytes of a file system."""

    @property
    def free(self) -> int:
        """That can still be written."""
        ...

    @property
    def total(self) -> int:
        """That it can hold."""
        ...


def _usage(folder: Path) -> Usage:
    return shutil.disk_usage(folder)


class DiskRoom:
    """Whether there is room to go on.

    Args:
        folders: that the run writes to; one that is not there yet will be on its parent's disk.
        usage: of the file system of a folder.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        usage: Callable[[Path], Usage] = _usage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders = list(folders)
        self._usage, self._clock = usage, clock
        self._next = -float("inf")
        self._short: Path | None = None

    def require(self, items: int) -> None:
        """Refuse to begin what cannot be finished.

        Raises:
            NoRoomError: too little room for the records of so many items.
        """
        for folder in self._folders:
            free, reserve = self._room(folder)
            if items and free < reserve + items * BYTES_AN_ITEM:
                raise NoRoomError(
                    f"{folder} has {_megabytes(free)} free; the records of {items:,} items need "
                    f"about {_megabytes(reserve + items * BYTES_AN_ITEM)}, kept audio comes on "
                    "top. Free some space, or choose another folder with --workspace."
                )

    @property
    def short(self) -> bool:
        """Whether a disk is nearly full; looked at once a second, and final."""
        if self._short is None and self._clock() >= self._next:
            self._next = self._clock() + SECONDS_BETWEEN_LOOKS
            for folder in self._folders:
                free, reserve = self._room(folder)
                if free < reserve:
                    self._short = folder
        return self._short is not None

    def error(self) -> NoRoomError:
        """What to say of it."""
        assert self._short is not None
        return NoRoomError(
            f"Stopped: {self._short} has {_megabytes(self._room(self._short)[0])} left. What is "
            "done is kept. Free some space; the same command goes on."
        )

    def _room(self, folder: Path) -> tuple[int, int]:
        """Bytes free, and bytes that are to stay free."""
        usage = self._usage(_nearest(folder))
        return usage.free, min(RESERVE_BYTES, usage.total // RESERVE_SHARE)


def _nearest(folder: Path) -> Path:
    """The folder, or of those above it the first that is there."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), Path.cwd())


def _megabytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MB"
