"""Copies of files from far away, kept on this machine up to a number of bytes.

The least recently used copies go first. Several processes may share a folder: a copy appears whole
or not at all, and all that change the total take turns under one lock. A copy is believed only
while its length, and where it is read whole its sha256, are what they were when it arrived.

    files/ab/abcd…/data.wav, SUM     one copy with "bytes sha256"; its folder's time is its last use
    arriving/HOST-PID-…/             copies on their way
    total                            the bytes of all copies, and the lock
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sepbench.harness.errors import SettingError, StorageError

Fetch = Callable[[Path], None]

CACHE_VARIABLE = "SEPBENCH_CACHE"
BOUND_VARIABLE = "SEPBENCH_CACHE_MB"
DEFAULT_BOUND_MB = 10240

SUM = "SUM"
# Room is made for more than one file at a time, because making room looks at every copy.
_KEPT_SHARE = 0.9
# What a process of another machine left half done is removed after this long.
_FOREIGN_SECONDS = 86400.0
_ATTEMPTS = 3
_STRIPES = 64


class CacheUnusableError(StorageError):
    """The folder cannot be written to, or is full; files are then read without it."""


class ReadCache:
    """A folder of copies.

    Args:
        folder: made when the first file arrives.
        bound: bytes that the copies may take together. Files on their way come on top.
    """

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder = folder
        self.bound = bound
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._swept = False

    def holds(self, size: int | None) -> bool:
        """Whether a file of so many bytes can be kept at all."""
        return size is None or size <= self.bound * _KEPT_SHARE

    def open(self, key: str, suffix: str, size: int | None, fetch: Fetch) -> BinaryIO:
        """The copy of a file, open; it stays readable when the copy is dropped.

        Args:
            key: hexadecimal; says which file in which state.
            suffix: of the file's name, kept for readers that go by it.
            size: bytes that it has; None where that is not known.
            fetch: writes the file to a path.

        Raises:
            CacheUnusableError: the folder cannot be used.
            StorageError: what came has another length than was announced.
        """
        entry = self._entry(key)
        with self._stripes[int(key[:8], 16) % _STRIPES]:
            for _ in range(_ATTEMPTS):
                handle = self._found(entry, suffix, size)
                if handle is not None:
                    return handle
                self._bring(entry, suffix, size, fetch)
        raise CacheUnusableError(
            f"{self.folder} loses files as fast as they come. Raise SEPBENCH_CACHE_MB (now "
            f"{self.bound >> 20:,}), or give the processes caches of their own."
        )

    def read(self, key: str, suffix: str, size: int | None, fetch: Fetch) -> bytes:
        """The bytes of a file; a copy whose sha256 is no longer right is fetched again.

        Args and errors as of `open`.
        """
        for _ in range(_ATTEMPTS):
            with self.open(key, suffix, size, fetch) as handle:
                data = handle.read()
            entry = self._entry(key)
            with suppress(OSError, ValueError):
                if hashlib.sha256(data).hexdigest() == _sum_of(entry)[1]:
                    return data
            self._drop(entry)
        raise CacheUnusableError(f"{self.folder} does not keep what is written to it.")

    def usage(self) -> tuple[int, int]:
        """(copies, bytes), counted anew."""
        sizes = [size for _, size, _ in self._copies()]
        return len(sizes), sum(sizes)

    def clear(self) -> None:
        """Drop every copy."""
        if self.folder.is_dir():
            with self._total() as total:
                for _, _, entry in list(self._copies()):
                    self._remove(entry)
                total.write(0)

    # --- one copy -----------------------------------------------------------------------

    def _entry(self, key: str) -> Path:
        return self.folder / "files" / key[:2] / key

    def _found(self, entry: Path, suffix: str, size: int | None) -> BinaryIO | None:
        try:
            expected, _ = _sum_of(entry)
            handle = (entry / _data_name(suffix)).open("rb")
        except (OSError, ValueError):
            if entry.is_dir():  # half a copy: a stranger was at work
                self._drop(entry)
            return None
        if os.fstat(handle.fileno()).st_size != expected or size not in (None, expected):
            handle.close()
            self._drop(entry)
            return None
        with suppress(OSError):  # dropped meanwhile, or a folder that others own
            os.utime(entry)
        return handle

    def _bring(self, entry: Path, suffix: str, size: int | None, fetch: Fetch) -> None:
        here = f"{_host()}-{os.getpid()}-{uuid.uuid4().hex}"
        arriving = self.folder / "arriving" / here
        try:
            with _refusals(self.folder):
                arriving.mkdir(parents=True)
            data = arriving / _data_name(suffix)
            fetch(data)
            with _refusals(self.folder):
                found = data.stat().st_size
                if size is not None and found != size:
                    raise StorageError(
                        f"{found:,} of {size:,} bytes arrived. Try again; if it stays so, the file "
                        "is being written to, or its listing is wrong."
                    )
                if not self.holds(found):  # of which no listing said the size
                    raise CacheUnusableError(
                        f"A file of {found:,} bytes is too large for the read cache. Raise "
                        f"{BOUND_VARIABLE} (now {self.bound >> 20:,})."
                    )
                with data.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                (arriving / SUM).write_text(f"{found} {sha256}", encoding="ascii")
                self._admit(arriving, entry, found)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)

    def _admit(self, arriving: Path, entry: Path, size: int) -> None:
        """Make room, then let the copy in."""
        entry.parent.mkdir(parents=True, exist_ok=True)
        with self._total() as total:
            now = total.read()
            if not self._swept or now + size > self.bound:
                now = self._sweep(self.bound - size)
                self._swept = True
            # Written first: killed in between, the total is too high, and the next sweep counts.
            total.write(now + size)
            try:
                arriving.rename(entry)
            except OSError:
                total.write(now)
                if not entry.is_dir():  # else another process was faster with the same file
                    raise

    def _drop(self, entry: Path) -> None:
        with _refusals(self.folder), self._total() as total:
            try:
                size = _sum_of(entry)[0]
            except (OSError, ValueError):
                size = 0
            if self._remove(entry):
                total.write(max(0, total.read() - size))

    def _remove(self, entry: Path) -> bool:
        """Take a copy out, whole at once; False where another process already has."""
        leaving = self.folder / "arriving" / f"{_host()}-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            leaving.parent.mkdir(parents=True, exist_ok=True)
            entry.rename(leaving)
        except FileNotFoundError:
            return False
        shutil.rmtree(leaving, ignore_errors=True)
        return True

    # --- all copies ---------------------------------------------------------------------

    def _copies(self) -> Iterator[tuple[float, int, Path]]:
        """(last use, bytes, folder) of every copy; what is no copy is counted as nothing."""
        for entry in self.folder.glob("files/*/*"):
            try:
                yield entry.stat().st_mtime, _sum_of(entry)[0], entry
            except (OSError, ValueError):
                yield 0.0, 0, entry

    def _sweep(self, most: int) -> int:
        """Drop the longest unused copies until at most so many bytes are left; returns them."""
        self._clear_arriving()
        copies = sorted(self._copies(), key=lambda copy: copy[0])
        left = sum(size for _, size, _ in copies)
        if left <= most:
            return left
        for _, size, entry in copies:
            if left <= most * _KEPT_SHARE:
                break
            self._remove(entry)
            left -= size
        return left

    def _clear_arriving(self) -> None:
        for folder in self.folder.glob("arriving/*"):
            host, _, rest = folder.name.partition("-")
            pid = rest.partition("-")[0]
            try:
                if host == _host() and pid.isdecimal():
                    gone = not _alive(int(pid))
                else:
                    gone = time.time() - folder.stat().st_mtime > _FOREIGN_SECONDS
            except OSError:
                continue  # it has arrived meanwhile
            if gone:
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _total(self) -> Iterator[_Total]:
        """The total, for one process and thread at a time."""
        with (self.folder / "total").open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield _Total(file)


_caches: dict[tuple[Path, int], ReadCache] = {}
_guard = threading.Lock()


def read_cache() -> ReadCache:
    """The cache that the environment names: SEPBENCH_CACHE, and SEPBENCH_CACHE_MB for its bound.

    Raises:
        SettingError: the bound is no whole number.
    """
    text = os.environ.get(BOUND_VARIABLE) or str(DEFAULT_BOUND_MB)
    if not (text.isascii() and text.isdecimal()):
        raise SettingError(f"{BOUND_VARIABLE}={text}: expected a whole number of megabytes.")
    own = os.environ.get(CACHE_VARIABLE)
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "sepbench" / "storage"
    key = ((Path(own) if own else base).expanduser(), int(text) << 20)
    with _guard:
        if key not in _caches:
            _caches[key] = ReadCache(*key)
        return _caches[key]


class _Total:
    """The number in a locked file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self) -> int:
        self._file.seek(0)
        text = self._file.read(32)
        return int(text) if text.isdigit() else 0

    def write(self, value: int) -> None:
        self._file.truncate(0)
        self._file.write(str(value).encode("ascii"))
        self._file.flush()


def _sum_of(entry: Path) -> tuple[int, str]:
    size, _, sha256 = (entry / SUM).read_text(encoding="ascii").partition(" ")
    return int(size), sha256


def _data_name(suffix: str) -> str:
    return f"data{suffix}" if re.fullmatch(r"\.\w{1,16}", suffix, re.ASCII) else "data"


def _host() -> str:
    return re.sub(r"\W", "_", socket.gethostname())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


@contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    """A file system's refusals under a name of their own."""
    try:
        yield
    except OSError as error:
        raise CacheUnusableError(
            f"The read cache {folder} cannot be used: {error.strerror or error}. Make room, or set "
            "SEPBENCH_CACHE to a folder that can be written to."
        ) from error
