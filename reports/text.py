"""The leaderboard as aligned text for a terminal: fewer columns than the files have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence

from sepbench.harness.aggregate import Cell, Column, Row, Table
from sepbench.harness.plain_text import one_line
from sepbench.reports.contract import Leaderboard
from sepbench.reports.wording import BEST, number, number_with_interval


def render(board: Leaderboard) -> str:
    """All tables, one under the other."""
    return "\n\n".join(_table(board, table) for table in board.tables) + "\n"


def _table(board: Leaderboard, table: Table) -> str:
    # BSS Eval improvements are in the files; a terminal is narrow.
    columns = [c for c in table.columns if not (c.improvement and c.metric.startswith("bss_"))]
    units = list(dict.fromkeys(column.unit for column in columns))
    heads = _heads(columns)
    if len(units) > 1:  # one is said once above
        heads = [f"{head} [{c.unit}]" for head, c in zip(heads, columns, strict=True)]
    lines = [["Model", "Query", *heads, "Scored", "RTF"]]
    starred = {c.name for c in columns for row in table.rows if board.is_best(row, c.name)}
    lines += [_line(board, row, columns, starred) for row in table.rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    said = f", {units[0]}" if len(units) == 1 and units[0] else ""
    text = [f"{table.dataset} · {table.protocol} ({table.aggregate}{said})"]
    for place, line in enumerate(lines):
        left = [line[k].ljust(widths[k]) for k in (0, 1)]
        right = [line[k].rjust(widths[k]) for k in range(2, len(line))]
        text.append("  ".join([*left, *right]).rstrip())
        if place == 0:
            text.append("  ".join("-" * width for width in widths))
    for row in table.rows:
        text += ["  " + one_line(f"{row.label}: {note}") for note in row.notes]
    text += ["  " + one_line(note) for note in table.notes]
    if starred:
        text.append(f"  * {BEST}")
    return "\n".join(text)


def _heads(columns: Sequence[Column]) -> list[str]:
    """Short names; where two columns would share one, their ids."""
    short = [_short(column) for column in columns]
    counted = Counter(short)
    return [
        name if counted[name] == 1 else column.name
        for name, column in zip(short, columns, strict=True)
    ]


def _short(column: Column) -> str:
    """Make "SIR (BSS Eval v3)" into "BSS SIR"."""
    name, _, rest = column.title.partition(" (")
    return f"BSS {name}" if rest.startswith("BSS") else name


def _line(
    board: Leaderboard, row: Row, columns: Sequence[Column], starred: Container[str]
) -> list[str]:
    values = []
    for column in columns:
        mark = "*" if board.is_best(row, column.name) else " " * (column.name in starred)
        values.append(_value(row.cells.get(column.name), column) + mark)
    scored = "n/a" if row.status == "not applicable" else f"{row.scored}/{row.expected}"
    speed = "–" if row.real_time_factor is None else f"{row.real_time_factor:.2g}"
    return [one_line(row.label), row.query, *values, scored, speed]


def _value(cell: Cell | None, column: Column) -> str:
    return number_with_interval(cell) if column.improvement else number(cell)
