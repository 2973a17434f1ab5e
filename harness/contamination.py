"""Which lists a model may have heard in training: known overlaps as data, as footnotes.

`contamination.csv` has a row for each overlap that is known: of one baseline, or of every model
whose card names the corpus among its training data; of one list, or of all lists of a dataset.
Where nobody has counted, the numbers are empty and the row says why there may be an overlap.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("contamination.csv")


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """One row.

    Attributes:
        baseline: whom it concerns; "" = every model trained on `corpus`.
        list_name: "" = all lists of the dataset.
        overlap: how many of `total` are in the training data; None = not counted.
        what: is counted ("targets").
        note: goes on after the count, or says why there may be an overlap.
        source: who says so, or what was joined with what.
    """

    baseline: str
    corpus: str
    dataset: str
    list_name: str
    overlap: int | None
    total: int | None
    what: str
    note: str
    source: str

    @property
    def place(self) -> str:
        """`dataset` or `dataset, list NAME`."""
        return f"{self.dataset}, list {self.list_name}" if self.list_name else self.dataset

    @property
    def words(self) -> str:
        """As a footnote says it."""
        if self.overlap is None:
            return f"{self.corpus} ({self.note})"
        return f"{self.overlap} of {self.total} {self.what} {self.note}"

    def concerns(self, baseline: str, corpora: Sequence[str]) -> bool:
        """Whether it is about this model."""
        return self.baseline == baseline if self.baseline else self.corpus in corpora


@cache
def overlaps() -> tuple[Overlap, ...]:
    """All known ones."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Overlap(
                baseline=row["baseline"],
                corpus=row["corpus"],
                dataset=row["dataset"],
                list_name=row["list"],
                overlap=int(row["overlap"]) if row["overlap"] else None,
                total=int(row["total"]) if row["total"] else None,
                what=row["what"],
                note=row["note"],
                source=row["source"],
            )
            for row in csv.DictReader(file, strict=True)
        )


def overlaps_of(baseline: str, training_data: Sequence[str]) -> tuple[Overlap, ...]:
    """What is known of one model.

    Args:
        baseline: its name.
        training_data: as its card says; what stands in brackets after a corpus's name is a remark.
    """
    corpora = [name.partition(" (")[0] for name in training_data]
    return tuple(row for row in overlaps() if row.concerns(baseline, corpora))


def footnotes(
    baseline: str, training_data: Sequence[str], dataset: str, list_name: str
) -> tuple[str, ...]:
    """Footnotes of a model's row in a list's table: the counted overlaps, then the possible ones.

    Args:
        baseline: its name.
        training_data: as `overlaps_of`.
        dataset: that the table is about.
        list_name: likewise.
    """
    here = [
        row
        for row in overlaps_of(baseline, training_data)
        if row.dataset == dataset and row.list_name in ("", list_name)
    ]
    counted = tuple(f"heard in training: {row.words}" for row in here if row.overlap)
    possible = [row.words for row in here if row.overlap is None]
    notes = list(counted)
    if possible:
        notes.append("perhaps heard in training, not counted: " + "; ".join(possible))
    # A remark in the card ("unchecked") goes with what rests on it.
    doubted = {row.corpus for row in here if row.overlap != 0} & {
        name.partition(" (")[0] for name in training_data if " (" in name
    }
    if doubted:
        stated = [name for name in training_data if name.partition(" (")[0] in doubted]
        notes.append(f"training data as its card states them: {', '.join(stated)}")
    return tuple(notes)
