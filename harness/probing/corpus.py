"""Labelled clips to probe an encoder with: a dataset's pool, or any folder with a CSV table.

    path,label,fold,origin
    dog/1.wav,dog,1,kennel
    rain/7.wav,rain,2,roof

`fold` and `origin` may be left out. Without folds there is no linear probe; without origins each
file counts as a recording of its own. Several labels of one clip are written `dog|rain`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sepbench.harness.api import Clip
from sepbench.harness.audio import resolve_inside
from sepbench.harness.errors import (
    DatasetError,
    ManifestError,
    MissingFileError,
    NotApplicableError,
    UnsafePathError,
)

COLUMNS = ("path", "label", "fold", "origin")
REQUIRED = ("path", "label")


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """Clips with labels.

    Attributes:
        clips: N clips, each with one label or more.
    """

    name: str
    clips: tuple[Clip, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each clip.

        Raises:
            NotApplicableError: a clip has several.
        """
        several = next((clip for clip in self.clips if len(clip.labels) > 1), None)
        if several is not None:
            raise NotApplicableError(
                f"Corpus {self.name}: clip {several.clip_id} has {len(several.labels)} labels. "
                "Class probes need one label a clip; --sed takes several."
            )
        return tuple(clip.labels[0] for clip in self.clips)

    @property
    def origins(self) -> tuple[str, ...]:
        """The original recording of each clip; a clip without one is its own."""
        return tuple(clip.origin or f"clip {clip.clip_id}" for clip in self.clips)

    @property
    def folds(self) -> tuple[str, ...] | None:
        """The fold of each clip; None where the corpus has none."""
        folds = tuple(clip.fold for clip in self.clips if clip.fold)
        return folds if len(folds) == len(self.clips) else None

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels, sorted."""
        return tuple(sorted({label for clip in self.clips for label in clip.labels}))

    @property
    def facts(self) -> str:
        """Its size in words."""
        folds = f"{len(set(self.folds))} folds" if self.folds else "no folds"
        return (
            f"{len(self.clips)} clips of {len(set(self.origins))} recordings, "
            f"{len(self.classes)} classes, {folds}"
        )


def corpus_of(name: str, clips: Sequence[Clip]) -> Corpus:
    """The clips of a dataset as a corpus.

    Raises:
        DatasetError: there are none, or one has no label, or one is there twice.
    """
    if not clips:
        raise DatasetError(f"Corpus {name} has no clips on disk. Check the folder that was given.")
    bare = next((clip for clip in clips if not clip.labels), None)
    if bare is not None:
        raise DatasetError(f"Corpus {name}: clip {bare.clip_id} has no label, so nothing to find.")
    seen: set[str] = set()
    for clip in clips:
        if clip.clip_id in seen:
            raise DatasetError(f"Corpus {name}: clip {clip.clip_id} is there more than once.")
        seen.add(clip.clip_id)
    return Corpus(name=name, clips=tuple(clips))


def read_corpus(table: Path) -> Corpus:
    """The clips that a CSV file names; it lies in the folder that holds them.

    Raises:
        MissingFileError: no such table, or it names a file that is not there.
        ManifestError: a line that cannot be understood.
        UnsafePathError: a path that leaves the table's folder.
    """
    clips: list[Clip] = []
    lines: dict[Path, int] = {}  # file -> where it was named
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(table, header)
            for fields in reader:
                if not fields:
                    continue
                clip, line = _clip(table, reader.line_num, header, fields), reader.line_num
                before = lines.setdefault(clip.path.resolve(), line)
                if before != line:
                    raise ManifestError(
                        f"{table}, line {line}: '{clip.clip_id}' is in line {before} already. "
                        "Give several labels of one clip as 'one|other'."
                    )
                clips.append(clip)
    except FileNotFoundError:
        raise MissingFileError(f"{table} is missing. Name a CSV file with --clips.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{table} cannot be read as a CSV table ({error}).") from error
    return corpus_of(table.stem, clips)


def _check_header(table: Path, header: Sequence[str]) -> None:
    shown = ",".join(header) or "empty"
    missing = [name for name in REQUIRED if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    if missing or unknown or len(set(header)) < len(header):
        raise ManifestError(
            f"{table}, line 1: the header is {shown}; expected {','.join(COLUMNS)}, of which "
            "fold and origin may be left out."
        )


def _clip(table: Path, line: int, header: Sequence[str], fields: Sequence[str]) -> Clip:
    where = f"{table}, line {line}"
    if len(fields) != len(header):
        raise ManifestError(f"{where}: {len(fields)} fields, and the header has {len(header)}.")
    row = {name: value.strip() for name, value in zip(header, fields, strict=True)}
    empty = next((name for name in header if not row[name]), None)
    if empty is not None:
        raise ManifestError(f"{where}: {empty} is empty. Fill it, or leave the column out.")
    labels = tuple(dict.fromkeys(label.strip() for label in row["label"].split("|")))
    if not all(labels):
        raise ManifestError(f"{where}: label '{row['label']}' holds an empty one.")
    try:
        path = resolve_inside(table.parent, row["path"])
    except UnsafePathError as error:
        raise UnsafePathError(f"{where}: {error}") from error
    except MissingFileError as error:
        raise MissingFileError(f"{where}: {error}") from error
    return Clip(
        clip_id=row["path"],
        path=path,
        labels=labels,
        fold=row.get("fold"),
        origin=row.get("origin", ""),
    )
