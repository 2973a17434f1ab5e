"""Numbers that others published, as data: `published.csv`, and ours held against them.

A row can be compared where its protocol, baseline, metric and tolerance are all filled in; they
are empty where the rules, the data or the system behind a number are not known to be those of a
protocol here. Sources and notes are kept as read; second-hand rows say so.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sepbench.harness.aggregate import Row, Table, protocol_table
from sepbench.harness.breakdown import break_down
from sepbench.harness.errors import UnknownNameError
from sepbench.harness.item_scores import find_entry, protocols_of, read_entries, stored_rule
from sepbench.harness.store import Workspace

TABLE = Path(__file__).with_name("published.csv")


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRow:
    """One number as its source prints it, and where it belongs here.

    Attributes:
        system, variant, dataset, split, query, metric, value, unit, source, note: as published.
        protocol: the protocol here with the same data and rules; "" = none is known.
        baseline: name of the published system here.
        metric_id: column of the protocol's table ("audiosep_sdri").
        group: of a protocol that averages within groups first, the group the number is of
            ("vocals"); "" = the number of the whole row.
        tolerance: largest difference at which a measured row agrees, in the row's unit.
        basis: why that much.
    """

    system: str
    variant: str
    dataset: str
    split: str
    query: str
    metric: str
    value: float
    unit: str
    source: str
    note: str
    protocol: str = ""
    baseline: str = ""
    metric_id: str = ""
    group: str = ""
    tolerance: float | None = None
    basis: str = ""

    @property
    def comparable(self) -> bool:
        """Whether a measured row can stand beside it."""
        return bool(self.protocol)

    @property
    def second_hand(self) -> bool:
        """Whether it was read in a text that quotes the paper, not in the paper."""
        marks = ("secondary", "third-party")
        return self.source.lower().startswith(marks) or self.note.lower().startswith(marks)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A published number and ours.

    Attributes:
        measured: ours; None where there is none.
        difference: measured − published.
        within: agrees within the tolerance; None where that is not asked: another system, or
            the comparison cannot be made.
        why_not: why it cannot; "" = it can.
    """

    published: PublishedRow
    label: str
    measured: float | None = None
    difference: float | None = None
    within: bool | None = None
    why_not: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedComparison:
    """All that is published beside one row of a workspace.

    Attributes:
        checks: numbers of the same system, then those of others under the same protocols.
        notes: what is left out, in words.
    """

    label: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = field(default=())


@cache
def read_published() -> tuple[PublishedRow, ...]:
    """All rows in the table's order."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(_row(fields) for fields in csv.DictReader(file))


def published_under(protocol: str) -> list[PublishedRow]:
    """The rows that can stand in a protocol's table."""
    return [row for row in read_published() if row.protocol == protocol]


def compare_published(
    workspace: Workspace, label: str, *, protocol: str | None = None
) -> PublishedComparison:
    """Hold a row against everything published under the same protocols.

    Args:
        workspace: open.
        label: a row's name as in tables.
        protocol: only this one.

    Raises:
        UnknownNameError, UsageError: no such row, or several share the label.
    """
    names = [protocol] if protocol else protocols_of(workspace)
    entries = {name: read_entries(workspace, name) for name in names}
    found = {
        name: find_entry(rows, label, name)
        for name, rows in entries.items()
        if any(label in (row.name, row.label) for row in rows)
    }
    if not found:
        known = {row.name for rows in entries.values() for row in rows}
        raise UnknownNameError("row", label, known, where=f" under {protocol or 'any protocol'}")
    baseline = next(iter(found.values())).baseline
    checks: list[Check] = []
    for name, entry in found.items():
        rows = published_under(name)
        if not rows:
            continue
        table = protocol_table(workspace, name)
        (row,) = [row for row in table.rows if row.cell_id == entry.cell_id]
        for published in sorted(rows, key=lambda each: each.baseline != entry.baseline):
            checks.append(_check(workspace, table, row, entry.name, published))
    elsewhere = [
        Check(published=row, label=label, why_not=f"other protocol: no row under {row.protocol}")
        for row in read_published()
        if row.comparable and row.baseline == baseline and row.protocol not in found
        if protocol in (None, row.protocol)
    ]
    return PublishedComparison(
        label=label, checks=(*checks, *elsewhere), notes=_notes(workspace, list(found))
    )


def _check(
    workspace: Workspace, table: Table, row: Row, label: str, published: PublishedRow
) -> Check:
    known = {column.name for column in table.columns}
    if published.metric_id not in row.cells:
        what = "not computed" if published.metric_id not in known else "not defined for this row"
        return Check(
            published=published, label=label, why_not=f"other metric: {published.metric_id} {what}"
        )
    value = (
        _group_value(workspace, table.protocol, label, published)
        if published.group
        else row.cells[published.metric_id].value
    )
    if value is None:
        return Check(published=published, label=label, why_not="no value to compare")
    same = published.baseline == row.baseline
    difference = value - published.value
    if not row.complete:
        why = f"partial cell: {row.scored} of {row.expected} items scored"
        if row.scored == row.expected:
            why = "not every item has a score"
        return Check(published=published, label=label, measured=value, why_not=why)
    agrees = abs(difference) <= (published.tolerance or 0.0) if same else None
    return Check(
        published=published, label=label, measured=value, difference=difference, within=agrees
    )


def _group_value(
    workspace: Workspace, protocol: str, label: str, published: PublishedRow
) -> float | None:
    by = stored_rule(workspace, protocol).within
    parts = break_down(workspace, protocol, by or "target", columns=[published.metric_id])
    for part in parts.rows:
        if (part.name, part.group) == (label, published.group):
            return part.cells[published.metric_id].value
    return None


def _notes(workspace: Workspace, protocols: Sequence[str]) -> tuple[str, ...]:
    without = [name for name in protocols if not published_under(name)]
    loose = sum(not row.comparable for row in read_published())
    notes = [f"nothing published is comparable under {', '.join(without)}"] if without else []
    notes.append(
        f"{loose} published numbers have no protocol here and are compared with nothing; "
        "`bench list published` shows them"
    )
    return tuple(notes)


def _row(fields: dict[str, str]) -> PublishedRow:
    tolerance = fields["tolerance"]
    texts = {key: text for key, text in fields.items() if key not in ("value", "tolerance")}
    return PublishedRow(
        **texts, value=float(fields["value"]), tolerance=float(tolerance) if tolerance else None
    )
