"""The leaderboard as aligned text for a terminal: fewer columns than the files have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sepbench.harness.aggregate import Cell, Column, Row, Table
from sepbench.reports.contract import Leaderboard


def render(board: Leaderboard) -> str:
    """All tables, one under the other."""
    return "\n\n".join(_table(table) for table in board.tables) + "\n"


def _table(table: Table) -> str:
    # BSS Eval improvements are in the files; a terminal is narrow.
    columns = [c for c in table.columns if not (c.improvement and c.metric.startswith("bss_"))]
    lines = [["Model", "Query", *_heads(columns), "Scored", "RTF"]]
    lines += [_line(row, columns) for row in table.rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = [f"{table.dataset} · {table.protocol} ({table.aggregate}, dB)"]
    for number, line in enumerate(lines):
        left = [line[k].ljust(widths[k]) for k in (0, 1)]
        right = [line[k].rjust(widths[k]) for k in range(2, len(line))]
        text.append("  ".join([*left, *right]).rstrip())
        if number == 0:
            text.append("  ".join("-" * width for width in widths))
    for row in table.rows:
        text += [f"  {row.label}: {_one_line(note)}" for note in row.notes]
    text += [f"  {_one_line(note)}" for note in table.notes]
    return "\n".join(text)


def _one_line(text: str) -> str:
    """A note may quote a stranger's error of several lines."""
    return " ".join(text.split())


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


def _line(row: Row, columns: Sequence[Column]) -> list[str]:
    values = [_value(row.cells.get(column.name), column) for column in columns]
    scored = "n/a" if row.status == "not applicable" else f"{row.scored}/{row.expected}"
    speed = "–" if row.real_time_factor is None else f"{row.real_time_factor:.2g}"
    return [row.label, row.query, *values, scored, speed]


def _value(cell: Cell | None, column: Column) -> str:
    if cell is None or cell.value is None:
        return "–"
    if cell.noise_floor is not None and cell.value >= cell.noise_floor:
        return f">{cell.noise_floor:g}"
    text = f"{round(cell.value, 2) + 0.0:.2f}"
    if column.improvement and cell.low is not None and cell.high is not None:
        text += f" ±{(cell.high - cell.low) / 2:.2f}"
    return text
