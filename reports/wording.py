"""Numbers, counts and footnotes in words, the same in every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sepbench.harness.aggregate import Cell, Row, Table
from sepbench.harness.plain_text import counted
from sepbench.harness.published import PublishedRow
from sepbench.reports.contract import Leaderboard

ROLE_TITLES = {"lower": "lower bound", "model": "", "upper": "upper bound (oracle)"}
BEST = "better than every other model of its table: Holm-corrected paired test, p < 0.05"
PUBLISHED = "published, not measured here"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedLine:
    """What one source says of one system under one protocol.

    Attributes:
        values: column -> number as printed; of a group of items: ("column", "vocals").
    """

    system: str
    variant: str
    query: str
    source: str
    second_hand: bool
    values: dict[str, float]
    groups: dict[tuple[str, str], float]
    notes: tuple[str, ...]


def published_lines(board: Leaderboard, table: Table) -> list[PublishedLine]:
    """The published numbers of a table's protocol, a line a system and source."""
    lines: dict[tuple[str, str, str, str], PublishedLine] = {}
    for row in board.published_under(table):
        key = (row.system, row.variant, row.query, row.source)
        line = lines.setdefault(key, _line(row))
        if row.group:
            line.groups[row.metric_id, row.group] = row.value
        else:
            line.values[row.metric_id] = row.value
    return list(lines.values())


def _line(row: PublishedRow) -> PublishedLine:
    return PublishedLine(
        system=row.system,
        variant=row.variant,
        query=row.query,
        source=row.source,
        second_hand=row.second_hand,
        values={},
        groups={},
        notes=(row.note,) if row.note else (),
    )


def number(cell: Cell | None) -> str:
    """A value as tables show it: two decimals, a noise floor as such, a dash for none."""
    if cell is None or cell.value is None:
        return "–"
    if cell.noise_floor is not None and cell.value >= cell.noise_floor:
        return f">{cell.noise_floor:g}"
    return f"{round(cell.value, 2) + 0.0:.2f}"


def half_width(cell: Cell | None) -> str:
    """Half the interval where the value has one and is shown as a number, else ""."""
    if cell is None or cell.low is None or cell.high is None or number(cell)[0] in "–>":
        return ""
    return f"{(cell.high - cell.low) / 2:.2f}"


def number_with_interval(cell: Cell | None) -> str:
    """A value ± half its interval."""
    spread = half_width(cell)
    return number(cell) + (f" ±{spread}" if spread else "")


def counts(row: Row) -> str:
    """Scored of expected items, with a tick for a whole cell."""
    if row.status == "not applicable":
        return "n/a"
    text = f"{row.scored}/{row.expected}" + (" ✓" if row.complete else "")
    return f"{text} ({row.failed} failed)" if row.failed else text


def costs(row: Row) -> list[str]:
    """Real-time factor, peak memory, parameters, operations, device."""
    return [
        "–" if row.real_time_factor is None else f"{row.real_time_factor:.2g}",
        "–" if row.peak_memory is None else f"{row.peak_memory / 1e6:,.0f} MB",
        "–" if row.parameters is None else f"{row.parameters / 1e6:.1f} M",
        "–" if row.flops_per_second is None else f"{row.flops_per_second / 1e9:.1f} G",
        f"{row.device} {row.precision}".strip() or "–",
    ]


def value_notes(table: Table, row: Row) -> list[str]:
    """What a reader must know of a row's values, a clause each."""
    notes = []
    for column in table.columns:
        cell = row.cells.get(column.name)
        if cell is None:
            continue
        if column.improvement:
            if cell.unpaired:
                notes.append(
                    f"{column.title}: {_items(cell.unpaired)} without a value of the mixture's, "
                    "not averaged"
                )
            continue
        if cell.capped:
            notes.append(
                f"{column.title}: {_items(cell.capped)} above {cell.noise_floor:g} dB, which is "
                f"rounding noise, averaged as {cell.noise_floor:g}"
            )
        if cell.infinite:
            notes.append(f"{column.title}: {_items(cell.infinite)} at ±inf, not averaged")
        if cell.undefined_windows:
            notes.append(
                f"{column.title}: {cell.undefined_windows} of {cell.windows} windows left out, in "
                "which a source or an estimate is silent"
            )
        if cell.undefined_reference:
            notes.append(
                f"{column.title}: {_items(cell.undefined_reference)} undefined because of the "
                "reference, left out for every model alike"
            )
    return notes


def footnotes(table: Table) -> tuple[list[str], list[list[int]]]:
    """All footnotes of a table, each once, and the numbers (from 1) that each row bears."""
    texts: dict[str, int] = {}
    marks = []
    for row in table.rows:
        notes = [*row.notes, *value_notes(table, row)]
        marks.append([texts.setdefault(note, len(texts) + 1) for note in notes])
    return list(texts), marks


def how_averaged(table: Table) -> str:
    """How items became one number, and its interval."""
    how = table.aggregate[:1].upper() + table.aggregate[1:]
    return f"{how} ± half the 95 % bootstrap interval, clustered by target recording."


def column_notes(table: Table) -> str:
    """What the columns that are no metric mean."""
    improved = (
        "A trailing i is the improvement over the mixture, pair by (scene, target). "
        if any(column.improvement for column in table.columns)
        else ""
    )
    return (
        f"{improved}RTF: seconds of separation per second of audio. Memory: peak of "
        "the model's process. FLOP/s: operations per second of audio and query, products and "
        "convolutions. ✓: every expected item is there and scored."
    )


def rows_by_role(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows in runs of one role, as tables order them: lower bounds, models, upper bounds."""
    runs: list[list[Row]] = []
    for row in rows:
        if runs and runs[-1][0].role == row.role:
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def _items(count: int) -> str:
    return counted(count, "item")
