"""What every corpus on disk needs first: its root, and its lists read strictly.

A list that cannot be understood is refused with file and line: a guess would change scores.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sepbench.harness.api import DatasetCard
from sepbench.harness.errors import (
    ManifestError,
    MissingFileError,
    MissingRootError,
    UnknownNameError,
)


def root_variable(dataset: str) -> str:
    """The environment variable that names a dataset's root: "esc50" -> "SEPBENCH_ESC50"."""
    return "SEPBENCH_" + dataset.upper().replace("-", "_")


def require_root(root: Path | None, card: DatasetCard) -> Path:
    """The root, once it is known to be a folder.

    Raises:
        MissingRootError: it is not given, or there is no such folder.
    """
    how = f"--root {card.name}=FOLDER, or the environment variable {root_variable(card.name)}"
    if root is None:
        raise MissingRootError(
            f"Dataset {card.name} needs the folder of its files. Name it with {how}. "
            f"Where to get it: {card.where}"
        )
    if not root.is_dir():
        raise MissingRootError(
            f"Dataset {card.name}: the folder {root} does not exist. Correct {how}. "
            f"Where to get it: {card.where}"
        )
    return root


def require_list(name: str, card: DatasetCard) -> None:
    """Refuse a list that the dataset does not have.

    Raises:
        UnknownNameError: with near matches.
    """
    known = [entry.name for entry in card.lists]
    if name not in known:
        raise UnknownNameError("list", name, known, where=f" of dataset {card.name}")


def require_pool(name: str, card: DatasetCard) -> None:
    """Refuse a pool of clips that the dataset does not have.

    Raises:
        UnknownNameError: with near matches.
    """
    if name not in card.pools:
        raise UnknownNameError("clip pool", name, card.pools, where=f" of dataset {card.name}")


def csv_lines(path: Path, *, blanks: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of every line of a CSV file, a header like any other; empty ones left out.

    Quoting, CRLF and a byte-order mark are handled.

    Args:
        path: UTF-8 text.
        blanks: a blank after a comma is no part of the field.

    Yields:
        Number of the line at which a row ends, and its fields.

    Raises:
        MissingFileError: no such file.
        ManifestError: not UTF-8 text, or no CSV.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=blanks)
            for fields in reader:
                if fields:
                    yield reader.line_num, fields
    except FileNotFoundError:
        raise MissingFileError(f"{path} is missing. Restore it.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(
            f"{path} cannot be read as a CSV table ({error}). Restore it; a table of your own is "
            "to be saved as UTF-8."
        ) from error


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, in their order, as `read_numbered` without numbers."""
    return [row for _, row in read_numbered(path, columns)]


def read_numbered(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with a header, in their order, each with the number of its line.

    Other columns than those asked for are kept.

    Args:
        path: UTF-8 text.
        columns: names that the header must have.

    Raises:
        MissingFileError: no such file.
        ManifestError: not UTF-8 text, a column is missing or named twice, or a row has more or
            fewer fields than the header.
    """
    lines = csv_lines(path)
    _, header = next(lines, (0, []))
    _check_header(path, header, columns)
    rows = []
    for number, fields in lines:
        if len(fields) != len(header):
            raise ManifestError(
                f"{path}, line {number}: {len(fields)} fields where the header has {len(header)}. "
                "Restore the file."
            )
        rows.append((number, dict(zip(header, fields, strict=True))))
    return rows


def read_number(value: str, path: Path, what: str) -> float:
    """A finite number of a table.

    Raises:
        ManifestError: it is not one.
    """
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise ManifestError(f"{path}: {what} is '{value}', which is not a number. Restore it.")
    return number


def lies_in(root: Path, name: str) -> bool:
    """Whether there is such a file; a name of a list that no file can have is nowhere."""
    try:
        return (root / name).is_file()
    except OSError:
        return False


def refuse_duplicates(values: Iterable[str], path: Path, what: str) -> None:
    """Refuse a list that gives one id twice.

    Raises:
        ManifestError: naming the first such id.
    """
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ManifestError(f"{path} gives the {what} '{value}' more than once. Restore it.")
        seen.add(value)


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in header]
    if missing and len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise ManifestError(
            f"{path} has semicolons or tabs between its columns. Save it with commas."
        )
    if missing:
        raise ManifestError(
            f"{path} has no column {', '.join(repr(m) for m in missing)}; "
            f"its header is {', '.join(header) or 'empty'}. Restore the file."
        )
    refuse_duplicates(header, path, "column")
