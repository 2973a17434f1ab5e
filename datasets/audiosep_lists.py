"""AudioSep's evaluation package (Liu et al., "Separate Anything You Describe", 2023).

Its lists have quirks that a reader by column name trips over (a header that names one column
twice, CRLF line ends), so they are read by position and their headers are compared as a whole. Its
audio is finished mixtures: `segment-{idx}.wav` (the target) and `mixture-{idx}.wav`, `idx` being
the list's first column; gains are baked in and not public.

Lists that quote captions of AudioCaps or Clotho do not ship with this package. The user's copy is
held, row by row, to short digests of the rows that published numbers were made with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sepbench.datasets.manifest import csv_lines, lies_in, read_table
from sepbench.datasets.pairs import read_target_and_mixture
from sepbench.harness.api import DatasetCard, Scene, SceneRow
from sepbench.harness.errors import ManifestError, MissingFileError, MissingRootError

REVISION = "audiosep-944583f"
PACKAGE = "github.com/Audio-AGI/AudioSep"
LISTS = Path(__file__).parent / "lists"
MIXING = "finished mixtures of AudioSep's evaluation package; gains not public"
OTHER = "interference"

# Where people unpack the package: the corpus's folder itself, `data`, `evaluation` or the clone.
_FOLDERS = ("", "{corpus}", "data/{corpus}", "evaluation/data/{corpus}")
_TABLES = ("", "metadata/", "evaluation/metadata/", "{corpus}/")
_DIGEST_DIGITS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ListFile:
    """A list as it was published.

    Attributes:
        name: of the file.
        header: its names, in order, as they stand there.
        digests: file in `lists/` with the digest of each row; "" where the list itself ships.
        where: where to get it.
    """

    name: str
    header: tuple[str, ...]
    digests: str = ""
    where: str = f"{PACKAGE}, folder evaluation/metadata, commit 944583f"


def find_list(root: Path, published: ListFile, corpus: str) -> Path:
    """The user's copy of a list, which lies beside the audio or in AudioSep's folders.

    Raises:
        MissingFileError: there is none; says where to get it.
    """
    for folder in _TABLES:
        path = root / folder.format(corpus=corpus) / published.name
        if path.is_file():
            return path
    raise MissingFileError(
        f"Dataset {corpus}: {published.name} is missing under {root}. It may not be shipped with "
        f"this package; get it from {published.where}, and put it there."
    )


def read_rows(path: Path, published: ListFile) -> list[tuple[str, ...]]:
    """The fields of every row below the header, by position.

    Raises:
        MissingFileError: no such file.
        ManifestError: another header, a row with more or fewer fields, or not CSV at all.
    """
    lines = csv_lines(path)
    header = tuple(name.strip() for name in next(lines, (0, []))[1])
    if header != tuple(name.strip() for name in published.header):
        raise ManifestError(
            f"{path} has the header {', '.join(header) or 'empty'}; expected "
            f"{', '.join(published.header)}. Get the list from {published.where}."
        )
    rows: list[tuple[str, ...]] = []
    for number, fields in lines:
        if len(fields) != len(header):
            raise ManifestError(
                f"{path}, line {number}: {len(fields)} fields where the header has {len(header)}. "
                f"Get the list from {published.where}."
            )
        rows.append(tuple(fields))
    return rows


def refuse_other_revision(
    rows: Sequence[tuple[str, ...]], numbers: Sequence[int], path: Path, published: ListFile
) -> None:
    """Hold the rows of a user's list, which may be some of all, to the published ones.

    Args:
        rows: fields of each row.
        numbers: number of each row in the published list.
        path: of the user's list.
        published: what it should be.

    Raises:
        ManifestError: a row is not the published one of its number, or is there twice.
    """
    known = [row["digest"] for row in read_table(LISTS / published.digests, ("digest",))]
    seen: set[int] = set()
    for number, row in zip(numbers, rows, strict=True):
        if number in seen:
            raise ManifestError(f"{path} gives the row {number} more than once. Restore it.")
        seen.add(number)
        if not 0 <= number < len(known) or row_digest(row) != known[number]:
            raise ManifestError(
                f"{path}: row {number} is not that of the published list, so scores would be of "
                f"other mixtures or queries. Get the list from {published.where}."
            )


def row_digest(fields: Sequence[str]) -> str:
    """The first digits of the SHA-256 of a row's fields."""
    text = "\x1f".join(fields)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]


def row_number(text: str, path: Path) -> int:
    """The number in a list's first column.

    Raises:
        ManifestError: it is none.
    """
    if not text.isdecimal():
        raise ManifestError(f"{path}: the row number is '{text}'. Restore the file.")
    return int(text)


def holds(root: Path, corpus: str, pattern: str = "mixture-*.wav") -> bool:
    """Whether any file of the package lies in one of its folders."""
    folders = (root / folder.format(corpus=corpus) for folder in _FOLDERS)
    return any(next(folder.glob(pattern), None) is not None for folder in folders)


def require_mixtures(root: Path, card: DatasetCard, pattern: str = "mixture-*.wav") -> None:
    """Refuse a root without any mixture, for a corpus that is nothing without them.

    Raises:
        MissingRootError: there are none.
    """
    if not holds(root, card.name, pattern):
        raise MissingRootError(
            f"Dataset {card.name}: {root} holds no mixtures of AudioSep's package ({pattern}). "
            f"Where to get them: {card.where}"
        )


def load_premixed(root: Path, corpus: str, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
    """Target and mixture number `row.details["index"]`; the interference is their difference.

    Raises:
        DatasetError: one of the files is missing or cannot be used.
    """
    return load_pair(root, row, premixed_names(root, corpus, row), sample_rate, mono=mono)


def premixed_names(root: Path, corpus: str, row: SceneRow) -> tuple[str, str]:
    """Names of target and mixture number `row.details["index"]`, where they lie or should."""
    index = row.details["index"]
    target, mixture = f"segment-{index}.wav", f"mixture-{index}.wav"
    folder = folder_of(root, corpus, mixture)
    return folder + target, folder + mixture


def folder_of(root: Path, corpus: str, name: str) -> str:
    """Where a file of the package lies below the root, with a final slash.

    A file that lies nowhere is expected in the innermost of the package's folders that is there.
    """
    folders = [folder.format(corpus=corpus) for folder in _FOLDERS]
    present = [folder for folder in folders if lies_in(root / folder, name)]
    present += [folder for folder in reversed(folders) if folder and (root / folder).is_dir()]
    return f"{present[0]}/" if present and present[0] else ""


def load_pair(
    root: Path, row: SceneRow, names: tuple[str, str], sample_rate: int, *, mono: bool
) -> Scene:
    """The scene of one target file and one mixture file, both named relative to the root.

    Raises:
        DatasetError: one of the files is missing or cannot be used.
    """
    target, mixture, files = read_target_and_mixture(
        root, *names, sample_rate=sample_rate, mono=mono, equal_lengths=False
    )
    return Scene(
        scene_id=row.scene_id,
        sample_rate=sample_rate,
        mixture=mixture,
        sources={row.targets[0].name: target, OTHER: mixture - target},
        files=files,
    )


def clip_names(folder: Path, suffixes: Sequence[str]) -> Iterator[str]:
    """Names of the audio files of a folder in their order, without those a Mac leaves behind."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in suffixes and not path.name.startswith("._"):
                yield path.name
