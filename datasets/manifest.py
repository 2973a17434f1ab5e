"""What every corpus on disk needs first: its root, and its lists read strictly.

A list that cannot be understood is refused with file and line: a guess would change scores.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
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


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, in their order.

    Quoting, CRLF and a byte-order mark are handled; other columns than those asked for are kept.

    Args:
        path: UTF-8 text.
        columns: names that the header must have.

    Raises:
        MissingFileError: no such file.
        ManifestError: not UTF-8 text, a column is missing or named twice, or a row has more or
            fewer fields than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            _check_header(path, header, columns)
            rows = []
            for fields in reader:
                if len(fields) != len(header):
                    raise ManifestError(
                        f"{path}, line {reader.line_num}: {len(fields)} fields where the header "
                        f"has {len(header)}. Restore the file."
                    )
                rows.append(dict(zip(header, fields, strict=True)))
    except FileNotFoundError:
        raise MissingFileError(f"{path} is missing. Restore it.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(
            f"{path} cannot be read as a CSV table ({error}). Restore it."
        ) from error
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
    if missing:
        raise ManifestError(
            f"{path} has no column {', '.join(repr(m) for m in missing)}; "
            f"its header is {', '.join(header) or 'empty'}. Restore the file."
        )
    refuse_duplicates(header, path, "column")
