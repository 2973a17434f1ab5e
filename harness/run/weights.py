"""Weights from the outside in: what is there, fetch it, take it from a file, hash it again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sepbench.baselines.weights import (
    WEIGHTS,
    Installed,
    WeightsEntry,
    entry_of,
    file_sums,
    how_to_get,
    install,
    installed,
    known_sha256,
    weights_folder,
)
from sepbench.harness.errors import (
    STRANGER_ERRORS,
    BenchError,
    CheckpointError,
    MissingWeightsError,
)
from sepbench.harness.run.downloads import hub_download

# Words of the column "sha256", and what each says:
# published = the sum the table knows; other = not that one, and asked for; recorded = none is
# published, this is the one it was added with; unrecorded = put there by hand, never summed;
# changed = the file is not the one that was recorded; - = not installed.
Verdict = Literal["published", "other", "recorded", "unrecorded", "changed", "-"]
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsRow:
    """One line of a table.

    Attributes:
        installed: where it lies; "" if it does not.
        size: bytes on the disk, else the published size, else None.
        sha256: a `Verdict`.
        check: what was found in it when it was added.
    """

    name: str
    kind: str
    installed: str
    size: int | None
    sha256: Verdict
    source: str
    licence: str
    summary: str
    check: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one name: `word` for the table, `detail` for its reader."""

    name: str
    word: str
    detail: str
    failed: bool = False


def status(names: Sequence[str] = ()) -> list[WeightsRow]:
    """A row for each name, or for all; reads records and sizes, no weights.

    Raises:
        UnknownNameError: no such name.
    """
    return [_row(entry_of(name)) for name in names or WEIGHTS]


def pull(names: Sequence[str], *, say: Say) -> list[Outcome]:
    """Fetch what is not installed, and what it needs; one failure does not stop the others.

    Raises:
        UnknownNameError: no such name; nothing is fetched then.
    """
    outcomes = []
    for entry in _with_needs(names):
        there = installed(entry.name)
        if there is not None and _verdict(there) != "changed":
            outcomes.append(Outcome(name=entry.name, word="there", detail=str(there.path)))
            continue
        try:
            there = _fetch(entry, say)
        except BenchError as error:
            outcomes.append(Outcome(name=entry.name, word="FAILED", detail=str(error), failed=True))
        else:
            outcomes.append(Outcome(name=entry.name, word="installed", detail=str(there.path)))
    return outcomes


def add(name: str, source: Path, *, link: bool = False, other: bool = False) -> Outcome:
    """Install a file or folder that is at hand.

    Raises:
        UnknownNameError, CheckpointError, UsageError: as `baselines.weights.install`.
    """
    entry = entry_of(name)
    source = source.absolute()
    how: Literal["copy", "link"] = "link" if link else "copy"
    there = install(entry, source, origin=str(source), how=how, other=other)
    sums = f"sha256 {_verdict(there)}"
    if there.path.is_file():
        sums += f" {there.record['files'][there.path.name]['sha256']}"
    return Outcome(name=name, word="installed", detail=f"{there.record['check']}; {sums}")


def verify(names: Sequence[str] = (), *, say: Say) -> list[Outcome]:
    """Read installed files again and hold their sums against the record and the published ones.

    Without names: everything that is installed.

    Raises:
        UnknownNameError: no such name.
    """
    outcomes = []
    for entry in [entry_of(name) for name in names or WEIGHTS]:
        there = installed(entry.name)
        if there is not None:
            say(f"Reading {there.path}")
            outcomes.append(_verified(there))
        elif names:
            detail = f"not installed. {how_to_get(entry)}"
            outcomes.append(Outcome(name=entry.name, word="MISSING", detail=detail, failed=True))
    return outcomes


def _row(entry: WeightsEntry) -> WeightsRow:
    there = installed(entry.name)
    record = there.record if there else {}
    size = sum(file.stat().st_size for file in there.files) if there else entry.size
    return WeightsRow(
        name=entry.name,
        kind=entry.kind,
        installed=str(there.path) if there else "",
        size=size,
        sha256=_verdict(there) if there else "-",
        source=record.get("source") or entry.source,
        licence=entry.licence,
        summary=entry.summary,
        check=record.get("check", ""),
    )


def _verdict(there: Installed) -> Verdict:
    """What the recorded sums say, as long as sizes and times are those recorded."""
    if not there.record:
        return "unrecorded"
    sums = {file.name: known_sha256(file) for file in there.files}
    if None in sums.values() or set(sums) != set(there.record["files"]):
        return "changed"
    return _against_published(there.entry, {name: str(sha256) for name, sha256 in sums.items()})


def _against_published(
    entry: WeightsEntry, sums: dict[str, str]
) -> Literal["published", "other", "recorded"]:
    published = {f.name: f.sha256 for f in entry.files if f.sha256 is not None and f.name in sums}
    if any(sums[name] != sha256 for name, sha256 in published.items()):
        return "other"
    return "published" if published else "recorded"


def _verified(there: Installed) -> Outcome:
    """The verdict from the bytes themselves."""
    entry, recorded = there.entry, there.record.get("files", {})
    sums = {name: str(facts["sha256"]) for name, facts in file_sums(there.files).items()}
    changed = sorted(
        name
        for name in {*sums, *recorded}
        if recorded and sums.get(name) != recorded.get(name, {}).get("sha256")
    )
    against = _against_published(entry, sums)
    if changed:
        detail = f"{there.path}: {', '.join(changed)} is not what was added; add or pull it again"
        return Outcome(name=entry.name, word="CHANGED", detail=detail, failed=True)
    if not recorded and against == "other":
        detail = f"{there.path}: not the published file, and it was never added"
        return Outcome(name=entry.name, word="OTHER", detail=detail, failed=True)
    known = against if recorded or against == "published" else "no sum to hold it against"
    shown = sums[there.path.name] if there.path.is_file() else f"{len(sums)} files"
    return Outcome(name=entry.name, word="ok", detail=f"{known}: {shown}")


def _with_needs(names: Sequence[str]) -> list[WeightsEntry]:
    """The entries of the names and of all they need, each once, in this order."""
    waiting, found = list(names), dict[str, WeightsEntry]()
    while waiting:
        entry = entry_of(waiting.pop(0))
        found.setdefault(entry.name, entry)
        waiting += [name for name in entry.needs if name not in found]
    return list(found.values())


def _fetch(entry: WeightsEntry, say: Say) -> Installed:
    """Download an entry's files and install them. What was cut short is gone on with next time.

    Raises:
        MissingWeightsError: no download is known, or it failed.
        CheckpointError, UsageError: what came is not what was asked for; it is thrown away.
    """
    if not entry.repository:
        raise MissingWeightsError(how_to_get(entry))
    folder = weights_folder() / ".downloads" / entry.name
    folder.mkdir(parents=True, exist_ok=True)
    say(f"Fetching {entry.name} from {entry.source} ({_megabytes(entry.size)})")
    paths = [_download(entry, file.path, folder) for file in entry.files]
    flat = folder / "files"
    if entry.kind == "tokenizer":
        flat.mkdir(exist_ok=True)
        for file, path in zip(entry.files, paths, strict=True):
            path.replace(flat / file.name)
    say(f"Checking {entry.name}")
    try:
        source = flat if entry.kind == "tokenizer" else paths[0]
        done = install(entry, source, origin=entry.source, how="move")
    except CheckpointError:  # the wrong file; anything else may go well with what was fetched
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return done


def _download(entry: WeightsEntry, path: str, folder: Path) -> Path:
    """One file of the hub, complete.

    Raises:
        MissingWeightsError: the client's reason, and what to do without network.
    """
    try:
        return hub_download(
            entry.repository, path, space=entry.space, revision=entry.revision, folder=folder
        )
    except STRANGER_ERRORS as error:  # the client's own errors have no common base
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MissingWeightsError(
            f"{entry.name} could not be fetched: {reason[:300]} {how_to_get(entry, network=False)}"
        ) from error


def _megabytes(size: int | None) -> str:
    return "size unknown" if size is None else f"{size / 1e6:,.1f} MB"
