"""AudioSep's evaluation list over ESC-50, as shipped in `lists/`.

Each of the 2,000 ESC-50 clips is the target of one row, with a clip of another class against it.
The list therefore also says which class every clip has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sepbench.datasets.esc50_files import ClipName, parse_name
from sepbench.datasets.manifest import read_table

LIST_FILE = Path(__file__).parent / "lists" / "esc50_audiosep.csv"

# ESC-50's numbers of the ten ESC-10 classes.
ESC10_CLASSES = frozenset({"0", "1", "10", "11", "12", "20", "21", "38", "40", "41"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRow:
    """One row.

    Attributes:
        index: names the finished mixture's files.
        caption: the text query, the label with blanks.
        target_file: ESC-50's file name; likewise `interference_file`.
        label: class of the target, with underscores as in ESC-50.
        interference_label: class of the interference.
    """

    index: int
    caption: str
    target_file: str
    target: ClipName
    label: str
    interference_file: str
    interference: ClipName
    interference_label: str

    @property
    def in_esc10(self) -> bool:
        """Whether both clips belong to ESC-10."""
        return {self.target.class_number, self.interference.class_number} <= ESC10_CLASSES


@cache
def read_list() -> tuple[ListRow, ...]:
    """All rows in the list's order."""
    rows = read_table(LIST_FILE, ("idx", "caption", "src_wav", "noise_wav"))
    labels = {
        parse_name(row["src_wav"]).class_number: row["caption"].replace(" ", "_") for row in rows
    }
    return tuple(
        ListRow(
            index=int(row["idx"]),
            caption=row["caption"],
            target_file=row["src_wav"],
            target=target,
            label=labels[target.class_number],
            interference_file=row["noise_wav"],
            interference=interference,
            interference_label=labels[interference.class_number],
        )
        for row in rows
        for target, interference in [(parse_name(row["src_wav"]), parse_name(row["noise_wav"]))]
    )


@cache
def clip_labels() -> Mapping[str, str]:
    """Clip key -> label, for all 2,000 clips."""
    return {row.target.key: row.label for row in read_list()}


@cache
def esc10_clips() -> frozenset[str]:
    """Keys of the 400 clips of ESC-10."""
    return frozenset(
        row.target.key for row in read_list() if row.target.class_number in ESC10_CLASSES
    )
