"""Audio between processes: memory-mapped scratch files under one byte budget, never pickled.

The driver alone allocates. Space is reserved on the file system when it is taken, so that a full
disk is an error with a name here instead of a killed process later. A folder belongs to the
process that holds its lock; folders of dead processes are removed at the next start.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from sepbench.harness.api import Samples
from sepbench.harness.errors import ScratchError

PREFIX = "sepbench-scratch-"
OWNER = "owner.lock"
SEGMENT_BYTES = 64 << 20
_ALIGNMENT = 64  # a cache line


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a scratch file; crosses process borders instead of audio."""

    file: str
    offset: int
    shape: tuple[int, int]  # (C, N) float32

    @property
    def nbytes(self) -> int:
        """Bytes it takes, rounded up to a cache line."""
        return -(-self.shape[0] * self.shape[1] * 4 // _ALIGNMENT) * _ALIGNMENT


class BlockReader:
    """Maps scratch files on demand; every process has its own.

    Args:
        capacity: files mapped at once; the driver reuses few, so few are enough.
    """

    def __init__(self, capacity: int = 8) -> None:
        self._maps: OrderedDict[str, mmap.mmap] = OrderedDict()
        self._capacity = capacity

    def array(self, block: Block) -> Samples:
        """The block as a writable (C, N) float32 array over the shared pages."""
        mapped = self._maps.get(block.file)
        if mapped is None:
            # A map keeps the pages of a removed file: those of a large scene that is done.
            for name in [name for name in self._maps if not Path(name).exists()]:
                del self._maps[name]
            with Path(block.file).open("r+b") as file:
                mapped = mmap.mmap(file.fileno(), 0)
            self._maps[block.file] = mapped
            while len(self._maps) > self._capacity:
                self._maps.popitem(last=False)  # unmapped once no array uses it
        self._maps.move_to_end(block.file)
        count = block.shape[0] * block.shape[1]
        flat = np.frombuffer(mapped, dtype=np.float32, count=count, offset=block.offset)
        return flat.reshape(block.shape)


class _Segment:
    """One scratch file with a first-fit free list."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:  # macOS: nothing is reserved, and a full disk shows only when it is written to
                file.truncate(size)
        self._free: list[tuple[int, int]] = [(0, size)]  # (offset, bytes), by offset

    def take(self, nbytes: int) -> int | None:
        for index, (offset, room) in enumerate(self._free):
            if room >= nbytes:
                if room == nbytes:
                    del self._free[index]
                else:
                    self._free[index] = (offset + nbytes, room - nbytes)
                return offset
        return None

    def give(self, offset: int, nbytes: int) -> None:
        merged: list[tuple[int, int]] = []
        for start, room in sorted([*self._free, (offset, nbytes)]):
            if merged and merged[-1][0] + merged[-1][1] == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + room)
            else:
                merged.append((start, room))
        self._free = merged

    @property
    def empty(self) -> bool:
        return self._free == [(0, self.size)]


class Arena:
    """Scratch space of one run.

    Args:
        folders: candidates for the scratch folder; the first with room for `limit` is used.
        limit: bytes in flight at most. A single scene that needs more still gets it, alone.

    Raises:
        ScratchError: none of the folders can be written.
    """

    def __init__(self, folders: Sequence[Path], limit: int) -> None:
        self.limit = limit
        self._segments: dict[str, _Segment] = {}
        self._in_use = 0
        self._made = 0
        self._folder, self._lock = _make_folder(folders, limit)

    @property
    def in_use(self) -> int:
        """Bytes given out."""
        return self._in_use

    def allocate(self, shapes: Sequence[tuple[int, int]]) -> list[Block] | None:
        """Blocks for a scene's signals together, or None until others are freed.

        Raises:
            ScratchError: the file system is full.
        """
        wanted = sum(Block("", 0, shape).nbytes for shape in shapes)
        if self._in_use and self._in_use + wanted > self.limit:
            return None
        blocks: list[Block] = []
        alone = not self._in_use
        for shape in shapes:
            try:
                blocks.append(self._take(shape))
            except ScratchError:
                self.free(blocks)
                if alone:
                    raise
                return None  # there will be room when the scenes in flight have landed
        return blocks

    def _take(self, shape: tuple[int, int]) -> Block:
        nbytes = Block("", 0, shape).nbytes
        for segment in self._segments.values():
            offset = segment.take(nbytes)
            if offset is not None:
                break
        else:
            segment = self._grow(max(SEGMENT_BYTES, nbytes))
            offset = segment.take(nbytes)
            assert offset is not None
        self._in_use += nbytes
        return Block(str(segment.path), offset, shape)

    def _grow(self, size: int) -> _Segment:
        path = self._folder / f"{self._made}.f32"
        self._made += 1
        try:
            segment = _Segment(path, size)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise ScratchError(
                f"No room for {size >> 20} MB of audio in flight under {self._folder.parent} "
                f"({error.strerror}). Free some space, set TMPDIR to a larger file system, or "
                "lower engine.memory_mb."
            ) from error
        self._segments[str(path)] = segment
        return segment

    def free(self, blocks: Sequence[Block]) -> None:
        """Give blocks back."""
        for block in blocks:
            segment = self._segments[block.file]
            segment.give(block.offset, block.nbytes)
            self._in_use -= block.nbytes
        for name in [n for n, s in self._segments.items() if s.empty and s.size > SEGMENT_BYTES]:
            # Made for one large scene; another size would not fit it again.
            self._segments.pop(name).path.unlink()

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()


def default_folders(workspace: Path) -> tuple[Path, ...]:
    """Shared memory where there is enough of it, the temporary folder, then the workspace."""
    return (Path("/dev/shm"), Path(tempfile.gettempdir()), workspace)


def _make_folder(folders: Sequence[Path], limit: int) -> tuple[Path, TextIO]:
    """A locked scratch folder in the first place with room; leftovers of dead runs go first."""
    problems = []
    for base in folders:  # all of them: an earlier run may have found less room
        try:
            with _guard(base):
                remove_leftovers(base)
        except OSError:
            pass  # not writable: nothing of ours is there
    for number, base in enumerate(folders):
        try:
            with _guard(base):
                # A quarter of spare room: others use this file system too.
                if shutil.disk_usage(base).free < limit * 1.25 and number < len(folders) - 1:
                    problems.append(f"{base}: too little room")
                    continue
                folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
                lock = (folder / OWNER).open("w")
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock.write(f"{os.getpid()}\n")  # for people who wonder whose it is
                lock.flush()
                return folder, lock
        except OSError as error:
            problems.append(f"{base}: {error.strerror}")
    raise ScratchError(f"No scratch folder for audio in flight: {'; '.join(problems)}.")


def remove_leftovers(base: Path) -> None:
    """Remove the scratch folders of runs that are dead. The caller holds the guard."""
    for folder in base.glob(f"{PREFIX}*"):
        try:
            if folder.stat().st_uid != os.getuid():
                continue
        except FileNotFoundError:
            continue  # its run has just ended
        try:
            with (folder / OWNER).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # its run is alive
        except OSError:
            pass  # killed between making the folder and its lock
        shutil.rmtree(folder, ignore_errors=True)


def _guard(base: Path) -> TextIO:
    """Held while folders are made or removed, so that a new one is never taken for a leftover."""
    file = (base / f".sepbench-{os.getuid()}.lock").open("a")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
