"""From what a user names to a path: a folder of this machine as it is, a URL through fsspec."""

from __future__ import annotations

from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

from sepbench.harness.errors import MissingFileError, SettingError
from sepbench.harness.storage.connection import connect, is_url
from sepbench.harness.storage.remote_path import RemotePath

_LOCAL = ("file", "local")


def open_place(text: str | Path) -> Path:
    """The path that a text names; of `file://` and plain names, one of this machine.

    A URL's path is a `RemotePath`, which does for reading what a `Path` does; datasets need not
    know which they hold.

    Raises:
        SettingError: ~somebody who does not exist, or a `file://` of another machine.
    """
    if as_remote(text) is not None:
        return cast(Path, text)
    name = str(text)
    if not is_url(name):
        try:
            return Path(text).expanduser()
        except RuntimeError as error:  # ~somebody who does not exist
            raise SettingError(f"{name}: {error}") from error
    url = urlsplit(name)
    if url.scheme.lower() in _LOCAL:
        if url.netloc not in ("", "localhost"):
            raise SettingError(f"{name} names the machine {url.netloc}; write file:///folder.")
        return Path(unquote(url.path))
    # The one place where the two kinds of path become one type.
    return cast(Path, RemotePath(connect(name, fresh=True)))


def as_remote(path: object) -> RemotePath | None:
    """The path as one of storage; None where it is one of this machine."""
    return path if isinstance(path, RemotePath) else None


def bring_near(path: Path | None) -> None:
    """Copy a file of storage into the read cache, where another process will look for it.

    Raises:
        MissingFileError: there is no such file.
        StorageError: it cannot be read.
    """
    remote = as_remote(path)
    if remote is None:
        return
    try:
        remote.open("rb").close()
    except FileNotFoundError:
        raise MissingFileError(f"{remote} is missing.") from None
