"""What a report format is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sepbench.harness.aggregate import Row, Table
from sepbench.harness.api import Attribute, Samples
from sepbench.harness.compare import Comparison
from sepbench.harness.published import PublishedRow

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# Targets of a protocol that the page draws and plays where nobody says how many.
DEFAULT_HEARD = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetRecord:
    """One thing asked for in one scene: what all rows of a table have in common there.

    Attributes:
        label: class, "" where the dataset names none.
        cluster: the recording that repeats across items.
        absent: the sound is not in the mixture.
    """

    scene: str
    target: str
    label: str = ""
    cluster: str = ""
    absent: bool = False
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """(scene, target)."""
        return self.scene, self.target

    @property
    def address(self) -> str:
        """Scene and target as the page's links and `bench report --item` name them."""
        return f"{self.scene}~{self.target}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CellItems:
    """The items of one row of a table, I of them, in list order.

    Attributes:
        cell_id: of the row.
        targets: (I,) positions in the protocol's targets.
        queries: (I,) what was asked, in words.
        query_indices: (I,) which of a target's queries.
        values: column name -> (I,); NaN where there is none, ±inf as computed.
        reasons: (position of the item, column name) -> why there is no value.
        failures: position of the item -> status and error of a try that failed.
    """

    cell_id: int
    targets: Sequence[int]
    queries: Sequence[str]
    query_indices: Sequence[int]
    values: Mapping[str, Floats]
    reasons: Mapping[tuple[int, str], str] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolItems:
    """All items of a protocol's table: T targets, and each row's items."""

    targets: Sequence[TargetRecord]
    cells: Sequence[CellItems]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """What can be heard of one target.

    Attributes:
        mixture: (C, N) float32 at `sample_rate`.
        reference: likewise; silence where the sound is absent.
        estimates: (cell id, query index) -> (C, N).
        examples: clip id -> (C, M), the audio examples of the target's queries, whole clips.
    """

    sample_rate: int
    mixture: Samples
    reference: Samples
    estimates: Mapping[tuple[int, int], Samples]
    examples: Mapping[str, Samples] = field(default_factory=dict)


class ItemAudio(Protocol):
    """Audio of items, where estimates were kept."""

    def kept(self, protocol: str) -> Sequence[tuple[str, str]]:
        """(scene, target) of which at least one estimate is kept, in list order."""
        ...

    def open(self, protocol: str, scene: str, target: str) -> Recording | None:
        """The recording of one target, or None where it cannot be made again."""
        ...

    def problems(self) -> Sequence[str]:
        """Why recordings could not be made again, a sentence a cause."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaderboard:
    """All tables of a workspace, ready to be written.

    Attributes:
        provenance: short lines on what the numbers were made with.
        best: cell id -> columns in which the paired test says that this row beats every other
            model of its table.
        comparisons: every pair of models a protocol by every metric, those of one metric corrected
            together.
        published: numbers of others; those of a table's protocol are shown under it.
        items: reads a table's items; None where a format needs none or there are none.
        audio: what can be heard; None where no audio is kept.
        most_heard: targets of a protocol that are drawn and made playable, at most.
        asked_for: targets that are drawn beside them, as "SCENE~TARGET".
    """

    tables: Sequence[Table]
    provenance: Sequence[str] = ()
    best: Mapping[int, frozenset[str]] = field(default_factory=dict)
    comparisons: Sequence[Comparison] = ()
    published: Sequence[PublishedRow] = ()
    items: Callable[[Table], ProtocolItems] | None = None
    audio: ItemAudio | None = None
    most_heard: int = DEFAULT_HEARD
    asked_for: Sequence[str] = ()

    def is_best(self, row: Row, column: str) -> bool:
        """Whether a row's value of a column is marked."""
        return column in self.best.get(row.cell_id, frozenset())

    def published_under(self, table: Table) -> list[PublishedRow]:
        """The published numbers that share a column with a table."""
        names = {column.name for column in table.columns}
        return [
            row
            for row in self.published
            if row.protocol == table.protocol and row.metric_id in names
        ]


class Report(Protocol):
    """Writes a leaderboard in one format; the same leaderboard gives the same bytes."""

    name: str
    summary: str

    def write(self, board: Leaderboard, folder: Path) -> list[Path]:
        """Write into `folder`, which exists; returns the files."""
        ...
