"""Which class of a sound event detector a label of a corpus means.

Three places are asked, in this order: a table that the user gives, the detector's own class names
(without regard to case, underscores and blanks), and `event_classes.csv`, which has AudioSet's
class for 46 of ESC-50's 50 labels. What none of them knows is named and not asked for.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from sepbench.harness.errors import (
    ManifestError,
    MissingFileError,
    NotApplicableError,
    SettingError,
    near_matches,
)

# ESC-50's labels and the AudioSet class of the same sound; four labels have none.
TABLE = Path(__file__).with_name("event_classes.csv")
COLUMNS = ("label", "class")


def match_classes(
    labels: Sequence[str], class_names: Sequence[str], given: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Label -> number of the detector's class, of the labels that have one.

    Args:
        labels: of the corpus.
        class_names: of the detector.
        given: label -> class name, before all other rules.

    Raises:
        SettingError: `given` names a class that the detector does not have.
        NotApplicableError: no label has a class.
    """
    known = {_plain(name): index for index, name in enumerate(class_names)}
    chosen = {_plain(label): name for label, name in (given or {}).items()}
    for label, name in chosen.items():
        if _plain(name) not in known:
            raise SettingError(
                f"Label '{label}' is given the class '{name}', which the detector does not have."
                f"{near_matches(name, class_names)}"
            )
    found: dict[str, int] = {}
    for label in labels:
        ways = (chosen.get(_plain(label)), label, _table().get(_plain(label)))
        index = next((known[_plain(way)] for way in ways if way and _plain(way) in known), None)
        if index is not None:
            found[label] = index
    if not found:
        raise NotApplicableError(
            f"The detector has no class for any of: {', '.join(sorted(labels)[:10])}. Name labels "
            "as its classes are named, or say which class each one means: --class-map CSV."
        )
    return found


def read_class_map(path: Path) -> dict[str, str]:
    """Label -> class name from a CSV file with the columns label and class.

    Raises:
        MissingFileError: no such file.
        ManifestError: no such table, an empty field, or one label twice.
    """
    try:
        text = path.read_text("utf-8-sig")
        rows = list(csv.reader(text.splitlines(), strict=True))
    except FileNotFoundError:
        raise MissingFileError(f"{path} is missing. Name a CSV file: label,class.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path} cannot be read as a CSV table ({error}).") from error
    if not rows or tuple(field.strip() for field in rows[0]) != COLUMNS:
        raise ManifestError(f"{path}, line 1: expected the header {','.join(COLUMNS)}.")
    found: dict[str, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        label, name = (row[0].strip(), row[1].strip()) if len(row) == 2 else ("", "")
        if not (label and name):
            raise ManifestError(
                f"{path}, line {line}: expected a label and a class; a class with a comma in its "
                'name stands in quotes: bark,"Bark, dog".'
            )
        if label in found:
            raise ManifestError(f"{path}, line {line}: the label '{label}' is there twice.")
        found[label] = name
    return found


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())


@cache
def _table() -> dict[str, str]:
    return {_plain(label): name for label, name in read_class_map(TABLE).items()}
