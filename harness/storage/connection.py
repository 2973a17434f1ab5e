"""One URL's file system: opened lazily through fsspec, its folders listed once, its refusals named.

A folder is listed once a process and connection, because asking for files one by one costs a
round trip each; opening the root again looks anew.
"""

from __future__ import annotations

import errno
import importlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from sepbench.harness.errors import (
    STRANGER_ERRORS,
    MissingExtraError,
    SettingError,
    StorageError,
    UnsafePathError,
    UsageError,
    near_matches,
)
from sepbench.harness.storage.cache import CacheUnusableError

Parts = tuple[str, ...]
T = TypeVar("T")

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(?:::|://)")
# Packages that an extra of ours installs; of others fsspec itself says which they are.
_EXTRAS = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3")}
# What says that a file is not the one listed before, under the names that file systems use.
_VERSIONS = ("ETag", "etag", "md5Hash", "md5", "checksum", "generation", "version_id", "mtime")
_TIMES = ("LastModified", "last_modified", "updated", "modified", "created")
_WAITS = (0.5, 2.0)  # seconds before a second and a third try
_LOCAL_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_WEB = ("http", "https")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a listing says of an entry.

    Attributes:
        size: bytes, None where the listing does not say.
        version: changes when the contents do; "" where the listing has nothing of the kind.
        modified: seconds since 1970, 0 where unknown.
    """

    folder: bool
    size: int | None = None
    version: str = ""
    modified: float = 0.0


def is_url(text: str) -> bool:
    """Whether a text names a place by protocol, such as "s3://bucket/data"."""
    return _URL.match(text) is not None


class Connection:
    """The file system below one URL.

    Args:
        url: of the root; parts below it are joined as names and never read as a URL again.

    Raises:
        SettingError: it carries a password, which would be written into records.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") if not url.endswith("://") else url
        self.protocol = re.split("::|://", url, maxsplit=1)[0].lower()
        if any(
            "@" in urlsplit(part).netloc and urlsplit(part).password for part in url.split("::")
        ):
            raise SettingError(
                f"The URL of {self.protocol} carries a password, which would be kept with the "
                "results. Take it out, and give it as the protocol's own variables or in "
                "~/.config/fsspec."
            )
        self._lock = threading.Lock()
        self._opened: tuple[Any, str] | None = None
        self._listings: dict[Parts, Mapping[str, FileFacts] | None] = {}

    def facts(self, parts: Parts) -> FileFacts | None:
        """What is known of an entry, None where there is none.

        Raises:
            UnsafePathError: a name that climbs, or that no file can have.
            StorageError: the file system does not answer.
        """
        self._escaped(parts)
        if not parts:
            return FileFacts(folder=True) if self._is_folder(()) else None
        listing = self.listing(parts[:-1])
        if listing is not None:
            return listing.get(parts[-1])
        return self.ask(parts)  # web servers need not list their folders

    def listing(self, folder: Parts) -> Mapping[str, FileFacts] | None:
        """The entries of a folder by name, empty without the folder; None where it cannot say."""
        with self._lock:
            if folder in self._listings:
                return self._listings[folder]
        found = self._listed(folder)
        with self._lock:
            self._listings[folder] = found
        return found

    def ask(self, parts: Parts) -> FileFacts | None:
        """What the file system says of an entry now, whatever was listed."""
        info = self._ask("look for", parts, _fresh_info, absent=None)
        return None if info is None else _facts(info)

    def fetch(self, parts: Parts, destination: Path) -> None:
        """Copy a file to this machine.

        Raises:
            FileNotFoundError: there is none.
            StorageError: it cannot be read.
            CacheUnusableError: the destination cannot be written.
        """
        self._ask("read", parts, lambda fs, path: fs.get_file(path, str(destination)))

    def read(self, parts: Parts) -> bytes:
        """The bytes of a file, not cached. Errors as of `fetch`."""
        return bytes(self._ask("read", parts, lambda fs, path: fs.cat_file(path)))

    def write(self, parts: Parts, data: bytes) -> None:
        """Write a file whole.

        Raises:
            StorageError: it cannot be written, or not all of it arrived.
        """

        def put(fs: Any, path: str) -> None:
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            fs.pipe_file(path, data)

        self._ask("write", parts, put)
        found = self.ask(parts)
        if found is None or found.size not in (None, len(data)):
            size = f"{found.size:,}" if found is not None else "none"
            raise StorageError(
                f"{self.shown(parts)}: {size} of {len(data):,} bytes were written. Make room, and "
                "run again."
            )

    def shown(self, parts: Parts) -> str:
        """The URL of an entry, for messages and as its name."""
        base, separator, inner = self.url.partition("::")
        tail = "/".join(parts)
        if not tail:
            return self.url
        return f"{base}{'' if base.endswith('/') else '/'}{tail}{separator}{inner}"

    # --- fsspec -------------------------------------------------------------------------

    def _file_system(self) -> tuple[Any, str]:
        with self._lock:
            if self._opened is None:
                self._opened = _open(self.url, self.protocol)
            return self._opened

    def _ask(
        self, what: str, parts: Parts, answer: Callable[[Any, str], Any], **absent: None
    ) -> Any:
        """Ask the file system, again after a moment if it fails; `absent=None` is for no file."""
        fs, base = self._file_system()
        path = "/".join((base.rstrip("/"), *(self._escaped(parts))))
        for wait in (*_WAITS, None):
            try:
                return answer(fs, path)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                if absent:
                    return None
                raise FileNotFoundError(errno.ENOENT, "no such file", self.shown(parts)) from None
            except STRANGER_ERRORS as error:  # clients of storage have no common base of errors
                if isinstance(error, OSError) and error.errno in _LOCAL_REFUSALS:
                    raise CacheUnusableError(f"{self.shown(parts)} has no room: {error}") from error
                if wait is None or isinstance(error, PermissionError):
                    words = " ".join(str(error).split())[:300] or "no reason given"
                    raise StorageError(
                        f"{self.shown(parts)}: cannot {what} it ({type(error).__name__}: {words}). "
                        "Check the address, the network and the credentials."
                    ) from error
                time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _escaped(self, parts: Parts) -> Parts:
        for part in parts:
            # A server may decode a name before it walks: "%2e%2e" must not climb either.
            if "/" in part or "\0" in part or ".." in re.split(r"[/\\]", unquote(part)):
                raise UnsafePathError(f"{part!r} cannot be a name below {self.url}.")
        return tuple(quote(part) for part in parts) if self.protocol in _WEB else parts

    def _is_folder(self, parts: Parts) -> bool:
        listing = self.listing(parts)
        if listing:
            return True
        if self.protocol in _WEB:
            # A web server has no folders; the address itself has to answer.
            return listing is not None or self._answers(parts)
        return bool(self._ask("look for", parts, lambda fs, path: fs.isdir(path)))

    def _answers(self, parts: Parts) -> bool:
        return bool(self._ask("look for", parts, lambda fs, path: fs.exists(path + "/")))

    def _listed(self, folder: Parts) -> Mapping[str, FileFacts] | None:
        web = self.protocol in _WEB

        def entries(fs: Any, path: str) -> list[dict[str, Any]] | None:
            fs.invalidate_cache(path)
            try:
                return list(fs.ls(path + "/" if web else path or "/", detail=True))
            except STRANGER_ERRORS:
                if web:  # forbidden, or no page of links
                    return None
                raise

        found = self._ask("list", folder, entries, absent=None)
        if found is None:
            return None if web else {}
        own = "/".join((self._file_system()[1].rstrip("/"), *folder)).strip("/")
        listing: dict[str, FileFacts] = {}
        for entry in found:
            path = unquote(str(entry["name"])) if web else str(entry["name"])
            above, _, name = path.strip("/").rpartition("/")
            # Object stores mark an empty folder by an object of its own name; a web page may link
            # to anywhere.
            if name in ("", "..") or path.strip("/") == own or (web and above != unquote(own)):
                continue
            listing[name] = _facts(entry, folder=web and path.endswith("/"))
        return listing


_connections: dict[str, Connection] = {}
_guard = threading.Lock()


def connect(url: str, *, fresh: bool = False) -> Connection:
    """The connection to a root; one a process, so that its listings are shared.

    Args:
        url: of the root.
        fresh: forget earlier listings.
    """
    with _guard:
        if fresh or url not in _connections:
            _connections[url] = Connection(url)
        return _connections[url]


def _open(url: str, protocol: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it."""
    try:
        fsspec = importlib.import_module("fsspec")
    except ImportError as error:
        raise MissingExtraError(f"The URL {url}", "fsspec", "storage") from error
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        if protocol in _EXTRAS:
            raise MissingExtraError(f"The URL {url}", *_EXTRAS[protocol]) from error
        raise UsageError(
            f"The URL {url} needs a package that is not installed: {error}."
        ) from error
    except STRANGER_ERRORS as error:
        known = fsspec.available_protocols()
        hint = "" if protocol in known else near_matches(protocol, known)
        raise SettingError(
            f"The URL {url} cannot be opened ({type(error).__name__}: {error}).{hint}"
        ) from error
    return fs, str(path)


def _fresh_info(fs: Any, path: str) -> Mapping[str, Any]:
    fs.invalidate_cache(path.rpartition("/")[0])
    info: Mapping[str, Any] = fs.info(path)
    return info


def _facts(info: Mapping[str, Any], *, folder: bool = False) -> FileFacts:
    size = info.get("size")
    version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
    time_of = next((info[key] for key in ("mtime", *_TIMES) if info.get(key)), 0.0)
    modified = time_of.timestamp() if hasattr(time_of, "timestamp") else time_of
    return FileFacts(
        folder=folder or info.get("type") == "directory",
        size=int(size) if isinstance(size, int | float) else None,
        version=version or (str(time_of) if time_of else ""),
        modified=float(modified) if isinstance(modified, int | float) else 0.0,
    )
