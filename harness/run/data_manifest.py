"""The manifest of a dataset's folder: name, size and sha256 of every file, written once.

It lies beside the data, or in the user's cache where the folder cannot be written to. A sum that
stands in it is never replaced in silence: a file that differs is a finding, not an update.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from sepbench.harness.api import DatasetCard
from sepbench.harness.errors import DatasetError, ManifestError
from sepbench.harness.storage.places import as_remote
from sepbench.harness.storage.remote_path import RemotePath

NAME = ".sepbench-manifest.json"
FORMAT = 1
_LEFT_BEHIND = ("__MACOSX", "__pycache__")  # by a Mac's archiver and by Python


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSum:
    """One file: bytes and the sha256 of its contents."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a folder held when it was prepared.

    Attributes:
        path: where the manifest lies.
        lists: list -> revision, of all lists that the dataset had then.
        written: UTC, ISO 8601.
        files: name relative to the root -> its sum.
    """

    path: Path
    dataset: str
    lists: Mapping[str, str]
    written: str
    files: Mapping[str, FileSum]


def present_files(root: Path) -> dict[str, int]:
    """Name, relative to the root with "/", -> bytes of every file below it, in sorted order.

    Left out are hidden files and folders and what archivers leave behind. Links are followed.

    Raises:
        DatasetError: a folder cannot be read.
    """
    remote = as_remote(root)
    if remote is not None:
        return dict(sorted(_walk_remote(remote, "")))
    try:
        return dict(sorted(_walk(root, "", {root.resolve()})))
    except OSError as error:
        raise DatasetError(
            f"{error.filename or root} cannot be read: {error.strerror or error}. Correct its "
            "permissions, or the link that leads there."
        ) from error


def _walk(folder: Path, prefix: str, above: set[Path]) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if _left_out(entry.name):
                continue
            name = prefix + entry.name
            if entry.is_dir():
                inner = Path(entry.path).resolve()
                if inner not in above:  # a link to a folder above it would never end
                    yield from _walk(Path(entry.path), f"{name}/", above | {inner})
            elif entry.is_file():
                yield name, entry.stat().st_size


def _walk_remote(folder: RemotePath, prefix: str) -> Iterator[tuple[str, int]]:
    for entry in folder.iterdir():
        if _left_out(entry.name):
            continue
        if entry.is_dir():
            yield from _walk_remote(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.stat().st_size


def _left_out(name: str) -> bool:
    return name.startswith(".") or name in _LEFT_BEHIND


def new_manifest(path: Path, card: DatasetCard, files: Mapping[str, FileSum]) -> Manifest:
    """A manifest of now, not yet written."""
    return Manifest(
        path=path,
        dataset=card.name,
        lists=_revisions(card),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        files=files,
    )


def find_manifest(root: Path, card: DatasetCard) -> Manifest | None:
    """The manifest of a root, None where there is none; beside the data before the cache.

    Raises:
        ManifestError: it is damaged, of another dataset, or of another revision of a list.
    """
    for path in (root / NAME, _cached(root, card.name)):
        if path.is_file():
            manifest = _read(path)
            _refuse_other(manifest, card)
            return manifest
    return None


def place_of(root: Path, card: DatasetCard) -> Path:
    """Where a root's manifest is to be written: packages and buckets are left alone."""
    writable = card.needs_root and as_remote(root) is None and os.access(root, os.W_OK)
    return root / NAME if writable else _cached(root, card.name)


def write_manifest(manifest: Manifest) -> Manifest:
    """Write it whole or not at all; in the cache, should the folder refuse.

    Returns:
        The manifest with the place where it is now.

    Raises:
        ManifestError: it cannot be written there either.
    """
    content = {
        "format": FORMAT,
        "dataset": manifest.dataset,
        "lists": dict(manifest.lists),
        "written": manifest.written,
        "files": [
            {"name": name, "size": each.size, "sha256": each.sha256}
            for name, each in sorted(manifest.files.items())
        ],
    }
    # Escaped, because a name on the disk need not be valid UTF-8.
    text = json.dumps(content, indent=1) + "\n"
    beside = manifest.path.name == NAME
    places = [manifest.path]
    if beside:
        places.append(_cached(manifest.path.parent, manifest.dataset))
    for path in places:
        try:
            _replace(path, text)
        except OSError as error:
            if path is places[-1]:
                raise ManifestError(
                    f"The manifest cannot be written to {path}: {error.strerror or error}. Make "
                    "room, or set XDG_CACHE_HOME to a folder that can be written to."
                ) from error
        else:
            return replace(manifest, path=path)
    raise AssertionError("places is never empty")


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=".sepbench-")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)  # others read the same data
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _cached(root: Path, dataset: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    key = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return cache / "sepbench" / "manifests" / f"{dataset}-{key}.json"


def _revisions(card: DatasetCard) -> dict[str, str]:
    return {entry.name: entry.revision for entry in card.lists}


def _refuse_other(manifest: Manifest, card: DatasetCard) -> None:
    if manifest.dataset != card.name:
        raise ManifestError(
            f"{manifest.path} is the manifest of the dataset {manifest.dataset}, not of "
            f"{card.name}. Give each dataset a folder of its own, or say --again."
        )
    now = _revisions(card)
    for name in sorted({*now, *manifest.lists}):
        then = manifest.lists.get(name, "none")
        if then != now.get(name, "none"):
            raise ManifestError(
                f"{manifest.path} is of another revision: list {name} was {then} when it was "
                f"written and is {now.get(name, 'none')} now. Sums of two revisions are not "
                f"mixed; write it anew with `bench data prepare {card.name} --again`."
            )


def _read(path: Path) -> Manifest:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ManifestError(
                f"{path} has the format {content['format']!r}; this sepbench reads {FORMAT}. "
                "Write it anew with --again."
            )
        files = [(_name(entry, path), _sum(entry)) for entry in content["files"]]
        lists = {str(name): str(revision) for name, revision in content["lists"].items()}
        manifest = Manifest(
            path=path,
            dataset=str(content["dataset"]),
            lists=lists,
            written=str(content["written"]),
            files=dict(files),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestError(
            f"{path} cannot be read as a manifest ({type(error).__name__}: {error}). Write it anew "
            "with --again."
        ) from error
    names = [name for name, _ in files]
    if len(manifest.files) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ManifestError(
            f"{path} gives the file '{twice}' more than once. Write it anew with --again."
        )
    return manifest


def _name(entry: Mapping[str, Any], path: Path) -> str:
    name = entry["name"]
    if not isinstance(name, str) or PurePosixPath(name).is_absolute() or ".." in name.split("/"):
        raise ManifestError(f"{path} names {name!r}, which is no file below its folder.")
    return name


def _sum(entry: Mapping[str, Any]) -> FileSum:
    sha256 = entry["sha256"]
    if not isinstance(sha256, str) or len(sha256) != 64:
        raise ValueError(f"sha256 is {sha256!r}")
    return FileSum(size=int(entry["size"]), sha256=sha256)
