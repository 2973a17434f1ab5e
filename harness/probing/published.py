"""Published linear probes beside ours: comparable on the whole corpus with its folds, or not.

Beside a part of a corpus (ESC-10 is one of ESC-50) they stand for orientation only.
"""

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
class Beside:
    """Published rows that are shown with a corpus.

    Attributes:
        task: the corpus they are about, as the literature writes it.
        comparable: the corpus that was probed is all of it, with its folds.
    """

    task: str
    comparable: bool
    rows: tuple[PublishedRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Whole:
    """A corpus of the literature here.

    Attributes:
        names: it is called by; those of its parts stand after its own.
        clips: when nothing is missing; likewise `classes` and `folds`.
    """

    names: tuple[str, ...]
    clips: int
    classes: int
    folds: int


_TASKS = {
    "ESC-50": _Whole(names=("esc50", "esc10"), clips=2000, classes=50, folds=5),
    "UrbanSound8K": _Whole(names=("urbansound8k",), clips=8732, classes=10, folds=10),
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


def published_for(corpus: Corpus) -> Beside | None:
    """Linear-probe rows of this corpus, or of the one that it is a part of; None for others."""
    name = corpus.name.lower()
    sizes = (len(corpus.clips), len(corpus.classes), len(set(corpus.folds or ())))
    for task, whole in _TASKS.items():
        if name in whole.names:
            rows = [
                row for row in read_published() if row.protocol == LINEAR_PROBE and row.task == task
            ]
            same = name == whole.names[0] and sizes == (whole.clips, whole.classes, whole.folds)
            return Beside(task=task, comparable=same, rows=tuple(rows))
    return None
