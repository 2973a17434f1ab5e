"""Reasons to end a run early: asked for, or no room."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from sepbench.harness.errors import NoRoomError
from sepbench.harness.run.stopping import (
    BYTES_AN_ITEM,
    RESERVE_BYTES,
    SECONDS_BETWEEN_LOOKS,
    DiskRoom,
    Interrupts,
)

TERABYTE = 10**12


@dataclass
class Disk:
    """A disk and a clock that a test can set."""

    free: int
    total: int = TERABYTE
    now: float = 0.0
    looks: int = 0

    def usage(self, folder: Path) -> Disk:
        self.looks += 1
        return self

    def room(self, folder: Path) -> DiskRoom:
        return DiskRoom([folder], usage=self.usage, clock=lambda: self.now)


# --- signals ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_one_ends(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    with Interrupts() as interrupts:
        os.kill(os.getpid(), number)
        asked = interrupts.asked

        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)

    assert asked
    assert capfd.readouterr().err.count("Ctrl-C again stops at once") == 1


def test_handlers_are_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    with Interrupts():
        within = signal.getsignal(signal.SIGINT)

    assert within != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_run_in_a_thread_leaves_signals_alone() -> None:
    before, within = signal.getsignal(signal.SIGINT), list[object]()

    def run() -> None:
        with Interrupts() as interrupts:
            within.extend([signal.getsignal(signal.SIGINT), interrupts.asked])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert within == [before, False]


# --- room ---------------------------------------------------------------------------------


def test_a_run_that_cannot_be_recorded_is_not_begun(tmp_path: Path) -> None:
    disk = Disk(free=RESERVE_BYTES + 1000 * BYTES_AN_ITEM)

    disk.room(tmp_path).require(1000)

    with pytest.raises(NoRoomError, match=r"257\.0 MB free; the records of 2,000 items need about"):
        disk.room(tmp_path).require(2000)


def test_a_finished_grid_needs_no_room(tmp_path: Path) -> None:
    disk = Disk(free=0)

    disk.room(tmp_path).require(0)

    assert disk.looks == 1


def test_a_disk_that_fills_up_is_noticed_and_named(tmp_path: Path) -> None:
    disk = Disk(free=TERABYTE)
    room = disk.room(tmp_path)
    before = room.short
    disk.free, disk.now = RESERVE_BYTES - 1, SECONDS_BETWEEN_LOOKS

    assert (before, room.short) == (False, True)
    assert "256.0 MB left. What is done is kept." in str(room.error())


def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_the_nearest_one_above(
    tmp_path: Path,
) -> None:
    disk, looked = Disk(free=0), list[Path]()

    def usage(folder: Path) -> Disk:
        looked.append(folder)
        return disk

    room = DiskRoom([tmp_path / "store" / "of mine"], usage=usage)
    before = room.short
    error = str(room.error())
    (tmp_path / "store").mkdir()
    room.error()

    assert before
    assert f"{tmp_path / 'store' / 'of mine'} has 0.0 MB left" in error
    assert looked == [tmp_path, tmp_path, tmp_path / "store"]


def test_it_is_looked_at_once_a_second(tmp_path: Path) -> None:
    disk = Disk(free=TERABYTE)
    room = disk.room(tmp_path)

    asked = [room.short for _ in range(1000)]
    disk.now = SECONDS_BETWEEN_LOOKS
    asked.append(room.short)

    assert not any(asked)
    assert disk.looks == 2


def test_small_disks_may_be_filled_further(tmp_path: Path) -> None:
    disk = Disk(free=1 << 20, total=8 << 20)

    assert not disk.room(tmp_path).short
