"""The leaderboard as Markdown: a table a protocol, captions with identities, footnotes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepbench.harness.aggregate import Cell, Row, Table
from sepbench.reports.contract import Leaderboard

_ROLE_TITLES = {"lower": "lower bound", "model": "", "upper": "upper bound (oracle)"}


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
    parts = [_table(table) for table in board.tables]
    if board.provenance:
        parts.append("Made with " + "; ".join(board.provenance) + ".")
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    footnotes: list[str] = []
    header = ["Model", "Query", *(f"{escape(c.title)} [{escape(c.unit)}]" for c in table.columns)]
    header += ["Scored", "RTF", "Memory", "Params", "FLOP/s", "Device"]
    lines = [f"### {escape(table.dataset)} · {escape(table.protocol)}", "", _line(header)]
    lines.append("|" + "|".join([" --- ", " --- ", *[" ---: "] * (len(header) - 2)]) + "|")
    for row in table.rows:
        lines.append(_line(_cells(table, row, footnotes)))
    lines += ["", _caption(table)]
    for note in table.notes:
        lines += ["", f"{escape(note)}."]
    for number, text in enumerate(footnotes, 1):  # a paragraph each, or Markdown joins them
        lines += ["", f"{_mark(number)} {escape(text)}."]
    return "\n".join(lines)


def _cells(table: Table, row: Row, footnotes: list[str]) -> list[str]:
    notes = [*row.notes, *_value_notes(table, row)]
    marks = "".join(_mark(_number(note, footnotes)) for note in notes)
    role = _ROLE_TITLES.get(row.role, "")
    name = f"{escape(row.label)}{marks}" + (f" *{role}*" if role else "")
    values = [_value(row.cells.get(column.name)) for column in table.columns]
    cost = [
        "–" if row.real_time_factor is None else f"{row.real_time_factor:.2g}",
        "–" if row.peak_memory is None else f"{row.peak_memory / 1e6:,.0f} MB",
        "–" if row.parameters is None else f"{row.parameters / 1e6:.1f} M",
        "–" if row.flops_per_second is None else f"{row.flops_per_second / 1e9:.1f} G",
        f"{row.device} {row.precision}".strip() or "–",
    ]
    return [name, escape(row.query), *values, _counts(row), *cost]


def _value(cell: Cell | None) -> str:
    if cell is None or cell.value is None:
        return "–"
    if cell.noise_floor is not None and cell.value >= cell.noise_floor:
        return f">{cell.noise_floor:g}"
    text = f"{round(cell.value, 2) + 0.0:.2f}"
    if cell.low is not None and cell.high is not None:
        text += f" ±{(cell.high - cell.low) / 2:.2f}"
    return text


def _value_notes(table: Table, row: Row) -> list[str]:
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


def _items(count: int) -> str:
    return f"{count} item" + ("" if count == 1 else "s")


def _counts(row: Row) -> str:
    if row.status == "not applicable":
        return "n/a"
    text = f"{row.scored}/{row.expected}" + (" ✓" if row.complete else "")
    return f"{text} ({row.failed} failed)" if row.failed else text


def _caption(table: Table) -> str:
    columns = [column for column in table.columns if not column.improvement]
    identities = "; ".join(f"{escape(c.title)} = {_code(c.identity)}" for c in columns)
    how = table.aggregate[:1].upper() + table.aggregate[1:]
    improved = (
        " A trailing i is the improvement over the mixture, pair by (scene, target)."
        if any(column.improvement for column in table.columns)
        else ""
    )
    return (
        f"{how} ± half the 95 % bootstrap interval, clustered by target recording. "
        f"{identities}.{improved} RTF: seconds of separation per second of audio. Memory: peak of "
        "the model's process. FLOP/s: operations per second of audio and query, products and "
        "convolutions. ✓: every expected item is there and scored."
    )


def _number(note: str, footnotes: list[str]) -> int:
    if note not in footnotes:
        footnotes.append(note)
    return footnotes.index(note) + 1


def _mark(number: int) -> str:
    return f"<sup>{number}</sup>"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _code(text: str) -> str:
    """Text between backquotes, which cannot end them."""
    return "`" + " ".join(text.replace("`", "'").replace("|", "/").split()) + "`"


def escape(text: str) -> str:
    """Text from plugins and datasets cannot break the table or bring markup."""
    for character in "\\`*_|[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())
