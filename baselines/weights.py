"""Checkpoints and tokenizers on this machine: where they lie, and what is recorded of them.

    weights folder/
      audiosep-clap/audiosep_base_4M_steps.ckpt   installed: the file and its record
      audiosep-clap/record.json
      LASSNet.pt                                  put there by hand: found, without a record

An installed folder appears whole or not at all. Nothing here can change an estimate: what a file
holds counts in a cell's identity by its sum, so this module stays outside the source digest.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sepbench.baselines.weights_catalog import WEIGHTS, WeightsEntry, WeightsFile
from sepbench.harness.errors import (
    CheckpointError,
    MissingWeightsError,
    UnknownNameError,
    UsageError,
)

__all__ = [
    "WEIGHTS",
    "Installed",
    "WeightsEntry",
    "WeightsFile",
    "entry_of",
    "file_sums",
    "find_weights",
    "how_to_get",
    "install",
    "installed",
    "known_sha256",
    "weights_folder",
]

RECORD = "record.json"
# What a tokenizer is made of; a folder from the hub may hold the whole model beside it.
TOKENIZER_FILES = (".json", ".txt", ".model")
_STALE_SECONDS = 24 * 3600.0
_PIECE = 1 << 22


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """An entry that is there.

    Attributes:
        path: the checkpoint file, or the tokenizer's folder.
        record: what was written down when it was installed; empty for what was put there by hand.
    """

    entry: WeightsEntry
    path: Path
    record: Mapping[str, Any]

    @property
    def files(self) -> list[Path]:
        """The checkpoint, or the tokenizer's files by name."""
        return [self.path] if self.path.is_file() else tokenizer_files(self.path)


def weights_folder() -> Path:
    """SEPBENCH_WEIGHTS, else `sepbench/weights` in the user's cache. Need not exist."""
    given = os.environ.get("SEPBENCH_WEIGHTS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return (Path(given) if given else cache / "sepbench" / "weights").expanduser().absolute()


def entry_of(name: str) -> WeightsEntry:
    """The entry of a name.

    Raises:
        UnknownNameError: no such name; near matches in the message.
    """
    try:
        return WEIGHTS[name]
    except KeyError:
        raise UnknownNameError("weights", name, WEIGHTS) from None


def installed(name: str) -> Installed | None:
    """What is there under a name; None where nothing is.

    Raises:
        UnknownNameError: no such name.
    """
    entry = entry_of(name)
    folder = weights_folder()
    own = folder / name
    if entry.kind == "tokenizer":
        there = any((own / file.name).is_file() for file in entry.files)
        return Installed(entry=entry, path=own, record=_record(own)) if there else None
    for path in (own / entry.files[0].name, folder / entry.files[0].name):
        if path.is_file():
            return Installed(entry=entry, path=path, record=_record(path.parent))
    return None


def find_weights(name: str) -> Path:
    """The installed checkpoint file, or the tokenizer's folder.

    Raises:
        UnknownNameError: no such name.
        MissingWeightsError: not installed; says where it comes from and what to do.
    """
    found = installed(name)
    if found is None:
        entry = WEIGHTS[name]
        raise MissingWeightsError(
            f"{name} ({entry.summary}) is not installed in {weights_folder()}. {how_to_get(entry)}"
        )
    return found.path


def how_to_get(entry: WeightsEntry, *, network: bool = True) -> str:
    """What to do for an entry that is not there, in one or two sentences."""
    what = "FILE" if entry.kind == "checkpoint" else "FOLDER"
    add = f"bench weights add {entry.name} {what}"
    if not entry.repository:
        return f"There is no download for it ({entry.by_hand}). With the file at hand: {add}."
    names = ", ".join(entry.url(file) for file in entry.files)
    elsewhere = f"Without network, fetch {names} on another machine, then: {add}."
    return f"Get it with: bench weights pull {entry.name}. {elsewhere}" if network else elsewhere


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a folder that a tokenizer is made of, by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in TOKENIZER_FILES and path.name != RECORD and path.is_file()
    )


def file_sums(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Sum, size and time of each file, as a record holds them."""
    return {path.name: _facts(path, _sha256(path)) for path in paths}


def known_sha256(path: Path) -> str | None:
    """The recorded sum of an installed file that has the recorded size and time; else None.

    Saves reading gigabytes each time a run is planned. Records count in the weights folder only:
    elsewhere, a file of that name may be anybody's.
    """
    if path.parent.parent != weights_folder():
        return None
    facts = _record(path.parent).get("files", {}).get(path.name, {})
    stat = path.stat()
    same = (facts.get("size"), facts.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
    return str(facts["sha256"]) if same and "sha256" in facts else None


def install(
    entry: WeightsEntry,
    source: Path,
    *,
    origin: str,
    how: Literal["copy", "link", "move"] = "copy",
    other: bool = False,
) -> Installed:
    """Check a file or folder, and put it into the weights folder with its record.

    Args:
        entry: what it shall be.
        source: a checkpoint file, or a folder with a tokenizer's files.
        origin: where it comes from, for the record.
        how: copy, link to it (it must stay where it is), or move it.
        other: accept files whose sums are not the published ones.

    Returns:
        The installed entry.

    Raises:
        CheckpointError: the layout does not fit.
        UsageError: another file than the published one and not `other` (CheckpointError for one
            that was fetched), or the place is taken by files that were put there by hand.
    """
    found = _check(entry, source)
    target = weights_folder() / entry.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not (target / RECORD).is_file() and any(target.iterdir()):
        raise UsageError(
            f"{target} holds files that were put there by hand. Move them away, then add them "
            "from there."
        )
    _sweep(entry.name)
    part = Path(tempfile.mkdtemp(prefix=f".{entry.name}.part-", dir=target.parent))
    try:
        facts = {}
        for file, name in _sources(entry, source):
            facts[name] = _place(file, part / name, how)
        if not other:
            _check_sums(entry, facts, source, fetched=how == "move")
        record = {
            "name": entry.name,
            "source": origin,
            "added": datetime.now(UTC).isoformat(timespec="seconds"),
            "check": found,
            "files": facts,
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        (part / RECORD).write_text(text, "utf-8")
        part.chmod(0o755)  # a temporary folder is its owner's alone; weights may be shared
        _swap(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    there = installed(entry.name)
    if there is None:
        raise CheckpointError(f"{target} went away while {entry.name} was installed. Try again.")
    return there


def _record(folder: Path) -> dict[str, Any]:
    """A folder's record; empty where there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("files"), dict) else {}


def _check(entry: WeightsEntry, path: Path) -> str:
    """One line about what a file or folder holds.

    Raises:
        CheckpointError: it is not what the entry is.
    """
    if entry.kind == "tokenizer" and not path.is_dir():
        names = ", ".join(file.name for file in entry.files)
        raise CheckpointError(f"{path} is no folder; {entry.name} is one, with {names}.")
    module, _, function = entry.check.partition(":")
    return str(getattr(importlib.import_module(module), function)(path))


def _sources(entry: WeightsEntry, source: Path) -> Sequence[tuple[Path, str]]:
    """The files to install, each with the name it gets."""
    if entry.kind == "checkpoint":
        return [(source, entry.files[0].name)]
    return [(path, path.name) for path in tokenizer_files(source)]


def _place(source: Path, target: Path, how: str) -> dict[str, Any]:
    """Put one file in place; its facts as the record holds them."""
    if how == "copy":
        sha256 = _copy(source, target)
    else:
        if how == "link":
            target.symlink_to(source.resolve())
        else:
            source.replace(target)
        sha256 = _sha256(target)
    return _facts(target, sha256)


def _copy(source: Path, target: Path) -> str:
    """Copy and sum in one reading; on the disk before it is given its name."""
    digest = hashlib.sha256()
    with source.open("rb") as file, target.open("wb") as out:
        while piece := file.read(_PIECE):
            digest.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _facts(path: Path, sha256: str) -> dict[str, Any]:
    stat = path.stat()
    return {"sha256": sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _check_sums(
    entry: WeightsEntry, facts: Mapping[str, Mapping[str, Any]], source: Path, *, fetched: bool
) -> None:
    """Hold files against the published sums, where there are any.

    Raises:
        CheckpointError: another file than published was fetched.
        UsageError: another file was given; says how to use it all the same.
    """
    for file in entry.files:
        found = facts.get(file.name, {}).get("sha256")
        if found is None or file.sha256 is None or found == file.sha256:
            continue
        sums = f"is not the published file: its sha256 is {found}, published is {file.sha256}"
        if fetched:
            raise CheckpointError(
                f"What came from {entry.url(file)} {sums}. It was thrown away; nothing is "
                f"installed. If you trust it, fetch it by hand: bench weights add --other."
            )
        raise UsageError(
            f"{source} fits {entry.name}, but {file.name} {sums}. Results would pass for those of "
            "the published weights. If you mean it (another export, your own training): --other, "
            f"or leave it where it is and give models.LABEL.{entry.kind}={source}."
        )


def _sweep(name: str) -> None:
    """Remove what killed installations left behind, long after they can still be running."""
    for part in weights_folder().glob(f".{name}.part-*"):
        if time.time() - part.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(part, ignore_errors=True)


def _swap(part: Path, target: Path) -> None:
    """Give a finished folder its name; what had the name before goes away."""
    before = Path(tempfile.mkdtemp(prefix=f"{part.name}-before-", dir=part.parent))
    old = before / target.name
    try:
        if target.exists():
            target.rename(old)
        part.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    finally:
        shutil.rmtree(before, ignore_errors=True)
