"""The leaderboard as Markdown: a table a protocol, captions with identities, footnotes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepbench.harness.aggregate import Row, Table
from sepbench.harness.plain_text import escape_markdown as escape
from sepbench.reports.contract import Leaderboard
from sepbench.reports.wording import (
    BEST,
    PUBLISHED,
    ROLE_TITLES,
    PublishedLine,
    column_notes,
    costs,
    counts,
    footnotes,
    how_averaged,
    number_with_interval,
    published_lines,
)


class MarkdownReport:
    """`leaderboard.md`."""

    name = "md"
    summary = "Markdown tables, one a protocol, with captions and footnotes"

    def write(self, board: Leaderboard, folder: Path) -> list[Path]:
        """Write `leaderboard.md`."""
        path = folder / "leaderboard.md"
        path.write_text(render(board), encoding="utf-8")
        return [path]


REPORT = MarkdownReport()


def render(board: Leaderboard) -> str:
    """The whole text."""
    parts = [_table(board, table) for table in board.tables]
    if board.provenance:
        parts.append("Made with " + "; ".join(board.provenance) + ".")
    return "\n\n".join(parts) + "\n"


def _table(board: Leaderboard, table: Table) -> str:
    texts, marks = footnotes(table)
    header = ["Model", "Query", *(f"{escape(c.title)} [{escape(c.unit)}]" for c in table.columns)]
    header += ["Scored", "RTF", "Memory", "Params", "FLOP/s", "Device"]
    lines = [f"### {escape(table.dataset)} · {escape(table.protocol)}", "", _line(header)]
    lines.append("|" + "|".join([" --- ", " --- ", *[" ---: "] * (len(header) - 2)]) + "|")
    for row, numbers in zip(table.rows, marks, strict=True):
        lines.append(_line(_cells(board, table, row, numbers)))
    published = published_lines(board, table)
    for line in published:
        lines.append(_line(_published_cells(table, line, len(header))))
    lines += ["", _caption(board, table)]
    for note in table.notes:
        lines += ["", f"{escape(note)}."]
    for number_, text in enumerate(texts, 1):  # a paragraph each, or Markdown joins them
        lines += ["", f"{_mark(number_)} {escape(text)}."]
    for line in published:
        lines += ["", f"† {_source(line)}"]
    return "\n".join(lines)


def _cells(board: Leaderboard, table: Table, row: Row, numbers: Sequence[int]) -> list[str]:
    marks = "".join(map(_mark, numbers))
    role = ROLE_TITLES.get(row.role, "")
    name = f"{escape(row.label)}{marks}" + (f" *{role}*" if role else "")
    values = []
    for column in table.columns:
        text = number_with_interval(row.cells.get(column.name))
        values.append(f"**{text}**" if board.is_best(row, column.name) else text)
    return [name, escape(row.query), *values, counts(row), *costs(row)]


def _published_cells(table: Table, line: PublishedLine, width: int) -> list[str]:
    name = f"{escape(line.variant or line.system)}† *published*"
    values = [
        f"*{line.values[column.name]:.2f}*" if column.name in line.values else "–"
        for column in table.columns
    ]
    cells = [name, escape(line.query), *values]
    return [*cells, *["–"] * (width - len(cells))]


def _source(line: PublishedLine) -> str:
    groups = "; ".join(f"{name} {group} {v:.2f}" for (name, group), v in line.groups.items())
    second_hand = " (second-hand)" if line.second_hand else ""
    text = f"{line.variant or line.system}: {PUBLISHED}; {line.source}{second_hand}"
    return escape(text + (f"; by group: {groups}" if groups else "")) + "."


def _caption(board: Leaderboard, table: Table) -> str:
    columns = [column for column in table.columns if not column.improvement]
    identities = "; ".join(f"{escape(c.title)} = {_code(c.identity)}" for c in columns)
    best = f" Bold: {BEST}." if any(board.best.get(row.cell_id) for row in table.rows) else ""
    return f"{how_averaged(table)} {identities}. {column_notes(table)}{best}"


def _mark(number_: int) -> str:
    return f"<sup>{number_}</sup>"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _code(text: str) -> str:
    """Text between backquotes, which cannot end them."""
    return "`" + " ".join(text.replace("`", "'").replace("|", "/").split()) + "`"
