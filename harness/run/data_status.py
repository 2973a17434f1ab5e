"""`bench data status`: where a corpus lies, and which scenes of its lists are on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sepbench.harness.api import Dataset, DatasetCard, FileLister, ListCard, RemoteFile, SceneRow
from sepbench.harness.audio import resolve_inside
from sepbench.harness.errors import (
    STRANGER_ERRORS,
    BenchError,
    DatasetError,
    ManifestError,
    MissingFileError,
    MissingRootError,
    SettingError,
    near_matches,
)
from sepbench.harness.run.catalogs import DATASETS
from sepbench.harness.run.corpora import DATA_VARIABLE, find_root, open_dataset, root_variable
from sepbench.harness.run.data_manifest import find_manifest, present_files
from sepbench.harness.storage.places import as_remote, open_place

Settings = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingScene:
    """A scene of a list that cannot be loaded, and which of its files are not there."""

    scene: str
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ListState:
    """What of one list is on disk.

    Attributes:
        expected: scenes that the published list has; None where the card does not say.
        present: scenes with all their files; None where the dataset does not say which they need.
        missing: those without.
        unlisted: scenes that no name is known of: neither the folder nor a table in it has them.
        absent: why there is nothing of it: another list of the corpus is what lies there.
        error: why the list cannot be read.
    """

    name: str
    revision: str
    expected: int | None = None
    present: int | None = None
    missing: tuple[MissingScene, ...] = ()
    unlisted: int = 0
    absent: str = ""
    error: str = ""

    @property
    def complete(self) -> bool:
        """Whether every scene can be loaded."""
        return not (
            self.error or self.absent or self.missing or self.unlisted or self.present is None
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DataState:
    """One dataset.

    Attributes:
        root: "" where it is not found.
        through: the setting or variable that names it.
        files, size: of everything below the root; free: bytes left on its disk, None for a URL.
        manifest: where its manifest lies, "" without; error: why it or the folder is no use.
        remote: files that `prepare` may fetch and that are not there.
    """

    name: str
    root: str = ""
    through: str = ""
    lists: tuple[ListState, ...] = ()
    files: int = 0
    size: int = 0
    free: int | None = None
    manifest: str = ""
    manifest_files: int = 0
    written: str = ""
    error: str = ""
    licence: str = ""
    where: str = ""
    steps: tuple[str, ...] = ()
    remote: tuple[RemoteFile, ...] = ()


def size_words(size: int) -> str:
    """Bytes as people read them."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size} bytes"


def data_names(names: Sequence[str], settings: Settings) -> list[str]:
    """The datasets asked for, or all; a setting for none of them is a slip.

    Raises:
        UnknownNameError: no such dataset.
        SettingError: a setting for a dataset that does not exist.
    """
    for name in (*names, *settings):
        if name not in DATASETS.entries and name in settings:
            raise SettingError(
                f"datasets.{name}… sets a dataset that does not exist."
                f"{near_matches(name, DATASETS.entries)}"
            )
    for name in names:
        DATASETS.load(name)
    return list(dict.fromkeys(names)) or list(DATASETS.entries)


def status(names: Sequence[str], settings: Settings) -> list[DataState]:
    """The state of each dataset; reads lists, names and sizes, no audio.

    Raises:
        UnknownNameError, SettingError: as `data_names`.
    """
    return [_state(name, settings.get(name, {})) for name in data_names(names, settings)]


def absent(remote: Iterable[RemoteFile], present: Mapping[str, int]) -> tuple[RemoteFile, ...]:
    """Those that are not there, under their own name or in another folder.

    Args:
        remote: files that may be fetched.
        present: name -> bytes of what is there.
    """
    there = {(Path(name).name, size) for name, size in present.items()}
    return tuple(
        file
        for file in remote
        if file.name not in present and (Path(file.name).name, file.size) not in there
    )


def opened(name: str, settings: Mapping[str, Any]) -> tuple[Dataset, Path]:
    """A dataset with the folder of its files.

    Raises:
        MissingRootError: it has none.
        BenchError: as `open_dataset`.
    """
    dataset = open_dataset(name, settings)
    root = getattr(dataset, "root", None)
    if root is None:
        raise MissingRootError(
            f"Dataset {name} has no folder. Name it with --root {name}=FOLDER or "
            f"{root_variable(name)}. Where to get it: {dataset.card.where}"
        )
    return dataset, open_place(root)


def _through(name: str, settings: Mapping[str, Any]) -> str:
    """What names the folder, in the order of `find_root`."""
    if settings.get("root") is not None:
        return f"datasets.{name}.root"
    if os.environ.get(root_variable(name)):
        return root_variable(name)
    try:
        return DATA_VARIABLE if find_root(name, None) else "the package"
    except BenchError:  # what that variable names cannot be opened
        return DATA_VARIABLE


def _state(name: str, settings: Mapping[str, Any]) -> DataState:
    try:
        dataset = open_dataset(name, settings)
    except BenchError as error:
        state = replace(_of_class(name), error=str(error))
        return replace(state, through=_through(name, settings))
    card, root = dataset.card, getattr(dataset, "root", None)
    state = replace(_of_card(name, card), remote=card.remote)
    if root is None:
        return state
    root = open_place(root)
    state = replace(state, root=str(root), through=_through(name, settings))
    try:
        present = present_files(root)
    except DatasetError as refusal:
        return replace(state, error=str(refusal))
    try:
        manifest = find_manifest(root, card)
        trouble = ""
    except ManifestError as refusal:
        manifest, trouble = None, str(refusal)
    return replace(
        state,
        lists=tuple(list_state(dataset, entry, root) for entry in card.lists),
        files=len(present),
        size=sum(present.values()),
        free=None if as_remote(root) else shutil.disk_usage(root).free,
        manifest=str(manifest.path) if manifest else "",
        manifest_files=len(manifest.files) if manifest else 0,
        written=manifest.written if manifest else "",
        error=trouble,
        remote=absent(card.remote, present),
    )


def _of_card(name: str, card: DatasetCard) -> DataState:
    return DataState(name=name, licence=card.licence, where=card.where, steps=card.steps)


def _of_class(name: str) -> DataState:
    """What is known of a dataset that cannot be made."""
    try:
        card = getattr(DATASETS.load(name), "card", None)
    except BenchError:  # nothing; that it is broken is said already
        card = None
    return _of_card(name, card) if isinstance(card, DatasetCard) else DataState(name=name)


def list_state(dataset: Dataset, entry: ListCard, root: Path) -> ListState:
    """How much of a list is on disk; whatever hinders its reading is the finding."""
    state = ListState(name=entry.name, revision=entry.revision, expected=entry.expected_scenes)
    try:
        rows = dataset.scenes(entry.name)
        if not isinstance(dataset, FileLister):
            return state
        missing = tuple(_missing(dataset, rows, root))
    except (MissingRootError, MissingFileError) as error:
        return replace(state, absent=str(error))
    except BenchError as error:
        return replace(state, error=str(error))
    except STRANGER_ERRORS as error:
        return replace(state, error=f"{type(error).__name__}: {error}")
    return replace(
        state,
        present=len(rows) - len(missing),
        missing=missing,
        unlisted=max(0, (entry.expected_scenes or 0) - len(rows)),
    )


def _is_there(root: Path, name: str) -> bool:
    """Whether a run would read it: a file outside the root would be refused."""
    try:
        resolve_inside(root, name)
    except DatasetError:
        return False
    return True


def _missing(dataset: FileLister, rows: Iterable[SceneRow], root: Path) -> Iterable[MissingScene]:
    found: dict[str, bool] = {}
    for row in rows:
        names = dataset.files(row)
        for name in names:
            if name not in found:
                found[name] = _is_there(root, name)
        absent = tuple(dict.fromkeys(name for name in names if not found[name]))
        if absent:
            yield MissingScene(scene=row.scene_id, files=absent)
