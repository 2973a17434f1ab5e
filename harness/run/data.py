"""`bench data prepare` and `verify`: a corpus's manifest written once, its files held to it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from sepbench.harness.api import Dataset, DatasetCard
from sepbench.harness.errors import STRANGER_ERRORS, BenchError, MissingRootError, PluginError
from sepbench.harness.identity import encodable, file_sha256
from sepbench.harness.run.catalogs import DATASETS
from sepbench.harness.run.corpora import find_root, root_variable
from sepbench.harness.run.data_manifest import (
    FileSum,
    Manifest,
    find_manifest,
    new_manifest,
    place_of,
    present_files,
    write_manifest,
)
from sepbench.harness.run.data_status import (
    Settings,
    absent,
    data_names,
    list_state,
    opened,
    size_words,
)
from sepbench.harness.run.downloads import web_download
from sepbench.harness.storage.places import as_remote

Wrong: TypeAlias = Literal["missing", "size", "changed", "new", "unreadable", "REFUSED"]
Word: TypeAlias = (
    Literal["ok", "written", "cut", "there", "fetched", "to fetch", "step", "note"] | Wrong
)
Say = Callable[[str], None]
SAVE_SECONDS = 30.0  # what is hashed is kept at least so often


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of what `prepare` did or `verify` found."""

    name: str
    word: Word
    detail: str

    @property
    def failed(self) -> bool:
        """Whether something is wrong."""
        return self.word in get_args(Wrong)


def prepare(
    names: Sequence[str],
    settings: Settings,
    *,
    yes: bool,
    again: bool,
    say: Say,
    detector: str | None = None,
) -> list[Finding]:
    """Fetch what may be fetched, write or complete the manifest, say what is left to do by hand.

    Args:
        names: of datasets.
        settings: by dataset.
        yes: fetch; without it the files are only named.
        again: throw the manifest away and write it anew.
        say: takes progress.
        detector: cuts the segments of a dataset that has some, before its manifest is written.

    Raises:
        UnknownNameError, SettingError: as `data_names`.
    """
    findings: list[Finding] = []
    for name in data_names(names, settings):
        if detector is not None:
            findings.append(_cut(name, settings.get(name, {}), detector, say))
        try:
            findings += _prepared(name, settings.get(name, {}), yes=yes, again=again, say=say)
        except BenchError as error:
            findings.append(Finding(name=name, word="REFUSED", detail=str(error)))
    return findings


def verify(names: Sequence[str], settings: Settings, *, quick: bool, say: Say) -> list[Finding]:
    """Hold every file against the manifest. Without names: of every dataset that has one.

    A folder that is named but not there is a finding, names or not.

    Args:
        names: of datasets.
        settings: by dataset.
        quick: names and sizes only.
        say: takes progress.

    Raises:
        UnknownNameError, SettingError: as `data_names`.
    """
    findings: list[Finding] = []
    for name in data_names(names, settings):
        try:
            dataset, root = opened(name, settings.get(name, {}))
            manifest = find_manifest(root, dataset.card)
            if manifest is not None:
                say(f"{name}: {'sizes' if quick else 'sha256'} of {len(manifest.files)} files")
                findings += _verified(name, root, manifest, quick=quick)
            elif names:
                detail = f"{root} has no manifest; write one with `bench data prepare {name}`"
                findings.append(Finding(name=name, word="REFUSED", detail=detail))
        except PluginError as error:  # nothing to hold; `status` shows why
            if names:
                findings.append(Finding(name=name, word="REFUSED", detail=str(error)))
        except MissingRootError as error:  # of a folder that is named but gone, all files are
            if names or find_root(name, settings.get(name, {}).get("root")) is not None:
                findings.append(Finding(name=name, word="REFUSED", detail=str(error)))
        except BenchError as error:
            findings.append(Finding(name=name, word="REFUSED", detail=str(error)))
    if not findings:
        detail = "no dataset has a manifest; `bench data prepare NAME` writes one"
        findings.append(Finding(name="–", word="note", detail=detail))
    return findings


def _cut(name: str, settings: Mapping[str, Any], detector: str, say: Say) -> Finding:
    from sepbench.harness.run.segments import cut_segments

    try:
        count = cut_segments(name, settings, detector, say=say)
    except BenchError as error:
        return Finding(name=name, word="REFUSED", detail=str(error))
    if not count:
        detail = "no segment was cut: none of the clips that the lists need is on disk"
        return Finding(name=name, word="missing", detail=detail)
    detail = f"{count:,} segments are there; clips that are not on disk have none"
    return Finding(name=name, word="cut", detail=detail)


def _prepared(
    name: str, settings: Mapping[str, Any], *, yes: bool, again: bool, say: Say
) -> Iterable[Finding]:
    card = getattr(DATASETS.load(name), "card", None)
    if not isinstance(card, DatasetCard):
        raise PluginError(f"Dataset '{name}' has no DatasetCard in its attribute 'card'.")
    root = find_root(name, settings.get("root"))
    if yes and card.remote and root is not None and not (as_remote(root) or root.exists()):
        root.mkdir(parents=True)
    if root is not None and root.is_dir():
        yield from _fetched(card, root, yes=yes, say=say)
    elif card.needs_root:
        yield Finding(
            name=name,
            word="REFUSED",
            detail=f"no folder{f' {root}' if root else ''}; make one and name it with --root "
            f"{name}=FOLDER or {root_variable(name)}",
        )
        yield from _steps(card)
        return
    dataset, root = opened(name, settings)
    states = [list_state(dataset, entry, root) for entry in dataset.card.lists]
    if not any(state.complete for state in states):
        yield from _steps(dataset.card)
    yield from _written(dataset, root, again=again, say=say)


def _steps(card: DatasetCard) -> Iterable[Finding]:
    steps = card.steps or ((f"Get it: {card.where}",) if card.where else ())
    for number, step in enumerate(steps, start=1):
        yield Finding(name=card.name, word="step", detail=f"{number}. {step}")


def _fetched(card: DatasetCard, root: Path, *, yes: bool, say: Say) -> Iterable[Finding]:
    name, wanted = card.name, absent(card.remote, present_files(root))
    if as_remote(root) is not None:  # only the owner of a bucket puts anything there
        for file in wanted:
            detail = f"{file.name} belongs into {root}; fetch it from {file.url}"
            yield Finding(name=name, word="step", detail=detail)
        return
    needed = sum(file.size for file in wanted)
    if yes and wanted and shutil.disk_usage(root).free < needed:
        detail = f"{size_words(needed)} to fetch do not fit on the disk of {root}"
        yield Finding(name=name, word="REFUSED", detail=detail)
        return
    for file in wanted:
        about = f"{file.name} ({size_words(file.size)}; {file.licence or 'no licence stated'})"
        if not yes:
            detail = f"{about} from {file.url}; say --yes"
            yield Finding(name=name, word="to fetch", detail=detail)
            continue
        say(f"Fetching {about} from {file.url}")
        try:
            web_download(file, root)
        except STRANGER_ERRORS as error:  # the client's own errors have no common base
            reason = " ".join(str(error).split()) or type(error).__name__
            detail = f"{file.name} could not be fetched: {reason[:300]} By hand: {file.url}"
            yield Finding(name=name, word="REFUSED", detail=detail)
        else:
            yield Finding(name=name, word="fetched", detail=str(root / file.name))


def _written(dataset: Dataset, root: Path, *, again: bool, say: Say) -> Iterable[Finding]:
    """The manifest: as it is, completed, or new."""
    card = dataset.card
    before = None if again else find_manifest(root, card)
    present = present_files(root)
    known = dict(before.files) if before else {}
    added = [name for name in present if name not in known]
    path = before.path if before else place_of(root, card)
    if not present:
        yield Finding(name=card.name, word="note", detail=f"{root} is empty; no manifest yet")
        return
    manifest = before
    if added:
        total = sum(present[name] for name in added)
        say(f"{card.name}: sha256 of {len(added)} files, {size_words(total)}")
        saved = time.monotonic()
        for name in added:
            try:
                known[name] = FileSum(size=present[name], sha256=file_sha256(root / name))
            except OSError as error:
                detail = f"{name}: {error.strerror or error}"
                yield Finding(name=card.name, word="unreadable", detail=encodable(detail))
            if time.monotonic() - saved > SAVE_SECONDS:
                write_manifest(new_manifest(path, card, known))
                saved = time.monotonic()
        manifest = write_manifest(new_manifest(path, card, known))
        word: Word = "written"
    else:
        word = "there"
    if manifest is not None:
        for finding in _verified(card.name, root, manifest, quick=True):
            if finding.word in ("missing", "size"):
                yield finding
        detail = f"{manifest.path}: {len(manifest.files)} files, {len(added)} of them new"
        yield Finding(name=card.name, word=word, detail=detail)


def _verified(name: str, root: Path, manifest: Manifest, *, quick: bool) -> Iterable[Finding]:
    present = present_files(root)
    wrong = 0
    for file, expected in manifest.files.items():
        word, detail = _compared(root, file, present.get(file), expected, quick=quick)
        if word != "ok":
            wrong += 1
            yield Finding(name=name, word=word, detail=encodable(detail))
    for file in present:
        if file not in manifest.files:
            wrong += 1
            detail = encodable(f"{file} is not in the manifest")
            yield Finding(name=name, word="new", detail=detail)
    if not wrong:
        how = "names and sizes" if quick else "sha256"
        detail = f"{len(manifest.files)} files as in {manifest.path} ({how}), of {manifest.written}"
        yield Finding(name=name, word="ok", detail=detail)


def _compared(
    root: Path, file: str, size: int | None, expected: FileSum, *, quick: bool
) -> tuple[Word, str]:
    if size is None:
        return "missing", f"{file} is gone"
    if size != expected.size:
        return "size", f"{file} has {size:,} bytes, not {expected.size:,}"
    if quick:
        return "ok", ""
    try:
        found = file_sha256(root / file)
    except OSError as error:
        return "unreadable", f"{file}: {error.strerror or error}"
    if found != expected.sha256:
        return "changed", f"{file} has sha256 {found[:12]}…, not {expected.sha256[:12]}…"
    return "ok", ""
