"""Where ESC-50's clips lie on disk, and what their names say.

A clip is `{fold}-{freesound id}-{take}-{class}.wav` in ESC-50 and lacks the class in the ESC-10
copies; fold, id and take identify it in both (its key).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sepbench.datasets.manifest import lies_in, read_table, refuse_duplicates
from sepbench.datasets.unpacked import bases
from sepbench.harness.api import Clip
from sepbench.harness.audio import resolve_inside
from sepbench.harness.errors import ManifestError, MissingFileError

CLIP_NAME = re.compile(r"((\d)-(\d+)-[A-Z])(?:-(\d+))?\.(?:wav|ogg|flac)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipName:
    """Parts of a clip's file name.

    Attributes:
        key: identifies the clip in every layout, e.g. "1-100032-A".
        src_file: Freesound id of the recording that the clip was cut from.
        class_number: of ESC-50; "" where the name lacks it.
    """

    key: str
    fold: str
    src_file: str
    class_number: str


def parse_name(file_name: str) -> ClipName:
    """The parts of a clip's file name.

    Raises:
        ManifestError: it is not named like an ESC-50 clip.
    """
    match = CLIP_NAME.fullmatch(file_name)
    if match is None:
        raise ManifestError(
            f"'{file_name}' is not the name of an ESC-50 clip "
            "({fold}-{freesound id}-{take}-{class}.wav). Restore the corpus's own names."
        )
    key, fold, src_file, class_number = match.groups()
    return ClipName(key=key, fold=fold, src_file=src_file, class_number=class_number or "")


def corpus_base(root: Path) -> str:
    """Where the corpus lies: "" for the root itself, "ESC-50-master/" for one folder below."""
    marks = ("audio", "meta", "meta.csv")
    held = (base for base in bases(root) if any((root / base / mark).exists() for mark in marks))
    return next(held, "")


def clip_files(root: Path) -> Iterator[tuple[Path, ClipName]]:
    """Files that are named like clips, in the order of their names."""
    folder = root / corpus_base(root)
    folder = folder / "audio" if (folder / "audio").is_dir() else folder
    for path in sorted(folder.iterdir()):
        if CLIP_NAME.fullmatch(path.name) and path.is_file():
            yield path, parse_name(path.name)


def find_clip(root: Path, name: str) -> str:
    """Where a clip of the list lies, relative to the root: official name, or ESC-10's.

    Raises:
        MissingFileError: it lies nowhere.
    """
    key, stem, base = parse_name(name).key, Path(name).stem, corpus_base(root)
    for folder in (f"{base}audio/", base):
        for candidate in (name, f"{key}.ogg", f"{stem}.flac", f"{key}.wav", f"{key}.flac"):
            if lies_in(root, folder + candidate):
                return folder + candidate
    raise MissingFileError(
        f"Dataset esc50: audio/{name} (or {key}.ogg) is missing under {root / base}. "
        "Complete the corpus, or pass another root with --root esc50=FOLDER."
    )


def clips_of_table(root: Path, table: str, folder: str) -> Iterator[Clip]:
    """The clips of a corpus's own table that are on disk, in its order.

    Args:
        root: of the corpus.
        table: CSV file, relative to the root.
        folder: of the audio files, relative to the root.

    Raises:
        ManifestError: the table cannot be understood.
        UnsafePathError: it names a file outside the root.
    """
    rows = read_table(root / table, ("filename", "fold", "category"))
    refuse_duplicates((row["filename"] for row in rows), root / table, "file")
    for row in rows:
        path = _copy_of(root, Path(folder) / row["filename"])
        if path is None:
            continue
        name = parse_name(path.name)
        yield Clip(
            clip_id=name.key,
            path=path,
            labels=(row["category"],),
            fold=row["fold"],
            origin=name.src_file,
        )


def _copy_of(root: Path, name: Path) -> Path | None:
    """A file that a table names, or its copy in another encoding; None where there is neither."""
    for suffix in (name.suffix, ".flac", ".ogg"):
        try:
            return resolve_inside(root, str(name.with_suffix(suffix)))
        except MissingFileError:
            continue
    return None
