"""A path below a URL that can do what datasets do with a `pathlib.Path`, for reading.

What reads it by name through the operating system (`open(path)`, `os.fspath`) gets the copy in the
read cache; folders have none. Copies travel to other processes as their URL with what the listing
said, so that a file in the cache is found there without asking again.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from functools import total_ordering
from pathlib import PurePosixPath
from stat import S_IFDIR, S_IFREG
from typing import IO, Any, BinaryIO, TypeVar

from sepbench.harness.errors import StorageError
from sepbench.harness.storage.cache import BOUND_VARIABLE, CacheUnusableError, read_cache
from sepbench.harness.storage.connection import Connection, FileFacts, Parts, connect

logger = logging.getLogger(__name__)

T = TypeVar("T")


@total_ordering
class RemotePath:
    """An entry below a URL.

    Args:
        connection: of the root.
        parts: names below it.
        facts: what a listing said of it, where that is known.
    """

    def __init__(
        self, connection: Connection, parts: Parts = (), facts: FileFacts | None = None
    ) -> None:
        self._connection = connection
        self._parts = parts
        self._facts = facts

    # --- names --------------------------------------------------------------------------

    def __truediv__(self, name: str | os.PathLike[str]) -> RemotePath:
        return self.joinpath(name)

    def joinpath(self, *names: str | os.PathLike[str]) -> RemotePath:
        """The path of an entry below this one; `..` stays as it is until `resolve`."""
        added: list[str] = []
        for name in names:
            pure = PurePosixPath(name)
            added += [part for part in pure.parts if part != "/"]
        return RemotePath(self._connection, (*self._parts, *added))

    @property
    def name(self) -> str:
        """The last part; of the root, that of its URL."""
        return self._pure.name

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return self._pure.stem

    @property
    def suffix(self) -> str:
        """The last suffix, with its dot."""
        return self._pure.suffix

    @property
    def suffixes(self) -> list[str]:
        """All suffixes, with their dots."""
        return self._pure.suffixes

    @property
    def parts(self) -> Parts:
        """The URL of the root, then the names below it."""
        return (self._connection.url, *self._parts)

    @property
    def parent(self) -> RemotePath:
        """The folder that this lies in; the root's is the root."""
        return RemotePath(self._connection, self._parts[:-1])

    @property
    def _place(self) -> Parts:
        return self.resolve()._parts

    @property
    def _pure(self) -> PurePosixPath:
        whole = self._parts or (self._connection.url.partition("::")[0],)
        return PurePosixPath(whole[-1])

    def with_name(self, name: str) -> RemotePath:
        """The entry of another name beside this one."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> RemotePath:
        """The entry of another suffix beside this one."""
        return self.with_name(str(self._pure.with_suffix(suffix)))

    def resolve(self, strict: bool = False) -> RemotePath:
        """The path without `..`; one that climbs out of the root keeps a leading `..`."""
        kept: list[str] = []
        for part in self._parts:
            if part == ".." and kept and kept[-1] != "..":
                kept.pop()
            else:
                kept.append(part)
        return RemotePath(self._connection, tuple(kept), self._facts)

    def absolute(self) -> RemotePath:
        """Itself."""
        return self

    expanduser = absolute

    def is_absolute(self) -> bool:
        """Always."""
        return True

    def is_relative_to(self, other: object) -> bool:
        """Whether this lies in or below the other."""
        if not isinstance(other, RemotePath) or other._connection.url != self._connection.url:
            return False
        start = other._parts
        return self._parts[: len(start)] == start and ".." not in self._parts[len(start) :]

    def relative_to(self, other: RemotePath) -> PurePosixPath:
        """The names from the other down to this.

        Raises:
            ValueError: this does not lie below the other.
        """
        if not self.is_relative_to(other):
            raise ValueError(f"{self} does not lie below {other}")
        return PurePosixPath(*self._parts[len(other._parts) :])

    def as_posix(self) -> str:
        """The URL."""
        return str(self)

    as_uri = as_posix

    def __str__(self) -> str:
        return self._connection.shown(self._parts)

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.parts == other.parts

    def __lt__(self, other: RemotePath) -> bool:
        return self.parts < other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __reduce__(self) -> tuple[Callable[..., RemotePath], tuple[Any, ...]]:
        return _restored, (self._connection.url, self._parts, self._facts)

    # --- what is there ------------------------------------------------------------------

    def facts(self) -> FileFacts | None:
        """What the listing says of it, None where there is no such entry."""
        if self._facts is None:
            self._facts = self._connection.facts(self._place)
        return self._facts

    def exists(self) -> bool:
        """Whether there is a file or a folder."""
        return self.facts() is not None

    def is_file(self) -> bool:
        """Whether there is a file."""
        facts = self.facts()
        return facts is not None and not facts.folder

    def is_dir(self) -> bool:
        """Whether there is a folder, or files below a prefix."""
        facts = self.facts()
        return facts is not None and facts.folder

    def stat(self) -> os.stat_result:
        """Kind, size and time; all else is 0.

        Raises:
            FileNotFoundError: no such entry.
        """
        facts = self.facts()
        if facts is None:
            raise FileNotFoundError(2, "no such file", str(self))
        kind = S_IFDIR if facts.folder else S_IFREG
        times = (facts.modified,) * 3
        return os.stat_result((kind | 0o444, 0, 0, 1, 0, 0, facts.size or 0, *times))

    def iterdir(self) -> Iterator[RemotePath]:
        """The entries of the folder.

        Raises:
            FileNotFoundError: no such folder.
            StorageError: the server does not list its folders.
        """
        listing = self._connection.listing(self._place)
        if listing is None:
            raise StorageError(
                f"{self} cannot be listed: its server shows no folders. Use a protocol that lists, "
                "or a dataset whose list names every file."
            )
        if not listing and not self.is_dir():
            raise FileNotFoundError(2, "no such folder", str(self))
        for name, facts in sorted(listing.items()):
            yield RemotePath(self._connection, (*self._parts, name), facts)

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Entries below the folder that fit a pattern; `**` stands for any folders between."""
        if not self.is_dir():
            return
        first, _, rest = pattern.partition("/")
        if first == "**":
            yield from self.glob(rest or "*")
            for entry in self.iterdir():
                if entry.is_dir():
                    yield from entry.glob(pattern)
            return
        for entry in self.iterdir():
            if fnmatch.fnmatchcase(entry.name, first):
                if not rest:
                    yield entry
                elif entry.is_dir():
                    yield from entry.glob(rest)

    def rglob(self, pattern: str) -> Iterator[RemotePath]:
        """As `glob`, in all folders below."""
        return self.glob(f"**/{pattern}")

    # --- contents -----------------------------------------------------------------------

    def read_bytes(self) -> bytes:
        """The whole file, through the cache.

        Raises:
            FileNotFoundError: no such file.
            StorageError: it cannot be read.
        """
        cached = self._through_cache(lambda cache, *place: cache.read(*place))
        return self._connection.read(self._place) if cached is None else cached

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """The file as text, UTF-8 unless told, line ends as `open` has them."""
        with self.open(encoding=encoding, errors=errors) as file:
            return str(file.read())

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """The file, open for reading.

        Raises:
            FileNotFoundError: no such file.
            StorageError: it cannot be read, or was to be written.
        """
        if set(mode) - set("rbt"):
            raise StorageError(f"{self} is opened for reading only, not {mode!r}.")
        raw: BinaryIO | None = self._through_cache(lambda cache, *place: cache.open(*place))
        if raw is None:
            raw = io.BytesIO(self._connection.read(self._place))
        if "b" in mode:
            return raw
        return io.TextIOWrapper(raw, encoding=encoding or "utf-8", errors=errors, newline=newline)

    def write_bytes(self, data: bytes) -> int:
        """Write the file whole; what the cache had of it is forgotten.

        Raises:
            StorageError: it cannot be written.
        """
        self._connection.write(self._place, data)
        self._facts = None
        return len(data)

    def _refuse(self, *arguments: object, **named: object) -> None:
        raise StorageError(f"{self} is for reading: nothing is made, moved or removed at a root.")

    mkdir = touch = unlink = rmdir = rename = replace = chmod = write_text = _refuse

    def size_now(self) -> int | None:
        """The bytes it has now, whatever was listed; None where there is no file."""
        facts = self._connection.ask(self._place)
        return None if facts is None else facts.size

    def __fspath__(self) -> str:
        facts = self.facts()
        if facts is not None and facts.folder:
            raise StorageError(
                f"{self} is a folder in storage and has no path on this machine. Use the path's "
                "own methods: root / name, iterdir(), glob(), open()."
            )
        handle = self._through_cache(lambda cache, *place: cache.open(*place))
        if handle is None:
            raise StorageError(
                f"{self} has no copy on this machine: the read cache is unusable, or too small for "
                f"it (raise {BOUND_VARIABLE}), or the server does not say when a file changes."
            )
        with handle:
            return str(handle.name)

    def _through_cache(self, use: Callable[..., T]) -> T | None:
        """Do something with the copy in the cache; None where there can be none."""
        facts = self.facts()
        if facts is not None and not facts.folder and not facts.version:
            facts = self._facts = self._connection.ask(self._place)  # some say it only when asked
        if facts is None or facts.folder:
            raise FileNotFoundError(2, "no such file", str(self))
        cache = read_cache()
        # Without a version a changed file could not be told from its copy.
        if not cache.holds(facts.size) or not facts.version:
            return None
        state = json.dumps([str(self.resolve()), facts.size, facts.version])
        key = hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()
        try:
            return use(
                cache,
                key,
                self.suffix,
                facts.size,
                lambda destination: self._connection.fetch(self._place, destination),
            )
        except CacheUnusableError as error:
            _warn_once(str(error))
            return None


def _restored(url: str, parts: Parts, facts: FileFacts | None) -> RemotePath:
    return RemotePath(connect(url), parts, facts)


_warned: set[str] = set()


def _warn_once(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        logger.warning("%s Files are read without it.", text)
