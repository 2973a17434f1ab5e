"""Published figures that may stand beside ours: same corpus, same folds, same kind of probe."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sepbench.harness.probing.corpus import Corpus

TABLE = Path(__file__).with_name("published.csv")
# Of the rules in the table, the one that ours is. HEAR's shallow network and fine-tuning are not.
LINEAR_PROBE = "linear probe"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRow:
    """One figure as its source prints it.

    Attributes:
        task: corpus, as the literature writes it.
        protocol: rule it was found by.
        value: accuracy in per cent; likewise `std`, where one is given.
        source: where it was read.
    """

    encoder: str
    variant: str
    task: str
    protocol: str
    value: float
    std: float | None
    source: str
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Whole:
    """What a corpus is called here, and its size when nothing is missing."""

    name: str
    clips: int
    classes: int
    folds: int


_TASKS = {
    "ESC-50": _Whole(name="esc50", clips=2000, classes=50, folds=5),
    "UrbanSound8K": _Whole(name="urbansound8k", clips=8732, classes=10, folds=10),
}


@cache
def read_published() -> tuple[PublishedRow, ...]:
    """All rows, in the table's order."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            PublishedRow(
                encoder=row["encoder"],
                variant=row["variant"],
                task=row["task"],
                protocol=row["protocol"],
                value=float(row["value"]),
                std=float(row["std"]) if row["std"] else None,
                source=row["source"],
                note=row["note"],
            )
            for row in csv.DictReader(file)
        )


def published_for(corpus: Corpus) -> list[PublishedRow]:
    """Linear-probe rows of this corpus; none unless all of it is there, with its folds."""
    sizes = (len(corpus.clips), len(corpus.classes), len(set(corpus.folds or ())))
    return [
        row
        for row in read_published()
        if row.protocol == LINEAR_PROBE
        and (whole := _TASKS.get(row.task)) is not None
        and whole.name == corpus.name.lower()
        and sizes == (whole.clips, whole.classes, whole.folds)
    ]
