r"""The leaderboard as LaTeX: a booktabs table a protocol, to be `\input` into a paper.

Needs `\usepackage{booktabs,threeparttable,amssymb}`. Text of datasets and plugins is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepbench.harness.aggregate import Cell, Column, Row, Table
from sepbench.reports.contract import Leaderboard
from sepbench.reports.wording import (
    BEST,
    PUBLISHED,
    PublishedLine,
    counts,
    footnotes,
    half_width,
    how_averaged,
    number,
    published_lines,
    rows_by_role,
)

_ROLES = {"lower": "Lower bound", "upper": "Upper bound (oracle)"}
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": "$-$",
    "∞": r"$\infty$",
    "✓": r"$\checkmark$",
    "…": r"\ldots{}",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "·": r"$\cdot$",
}


class LatexReport:
    """`leaderboard.tex`."""

    name = "latex"
    tables_alone = True
    summary = "booktabs tables, one a protocol, for \\input"

    def write(self, board: Leaderboard, folder: Path) -> list[Path]:
        """Write `leaderboard.tex`."""
        path = folder / "leaderboard.tex"
        path.write_text(render(board), encoding="utf-8")
        return [path]


REPORT = LatexReport()


def render(board: Leaderboard) -> str:
    """The whole text."""
    head = [
        r"% Needs \usepackage{booktabs,threeparttable,amssymb}.",
        *(f"% {_comment(line)}" for line in board.provenance),
    ]
    return "\n".join(["\n".join(head), *(_table(board, table) for table in board.tables)]) + "\n"


def _table(board: Leaderboard, table: Table) -> str:
    texts, marks = footnotes(table)
    of_row = {id(row): numbers for row, numbers in zip(table.rows, marks, strict=True)}
    columns = table.columns
    heads = [f"{escape(c.title)}{_arrow(c)}" for c in columns]
    units = [f"{{\\footnotesize [{escape(c.unit)}]}}" if c.unit else "" for c in columns]
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\begin{threeparttable}",
        f"\\caption{{{escape(table.dataset)}, protocol {escape(table.protocol)}. {_how(table)}}}",
        f"\\label{{tab:{_label(table.protocol)}}}",
        f"\\begin{{tabular}}{{ll{'r' * len(columns)}rr}}",
        r"\toprule",
        _line(["Model", "Query", *heads, "Scored", "RTF"]),
        _line(["", "", *units, "", ""]),
    ]
    for run in rows_by_role(table.rows):
        lines.append(r"\midrule")
        if run[0].role in _ROLES:
            lines.append(_heading(_ROLES[run[0].role], len(columns) + 4))
        lines += [_line(_cells(board, columns, row, of_row[id(row)])) for row in run]
    published = published_lines(board, table)
    if published:
        lines += [r"\midrule", _heading(PUBLISHED.capitalize(), len(columns) + 4)]
        lines += [_line(_published(columns, line)) for line in published]
    lines += [r"\bottomrule", r"\end{tabular}", r"\begin{tablenotes}\footnotesize"]
    lines += [rf"\item[{k}] {escape(text)}." for k, text in enumerate(texts, 1)]
    lines += [rf"\item {escape(note)}." for note in table.notes]
    identities = "; ".join(f"{c.title} = {c.identity}" for c in columns if not c.improvement)
    lines.append(rf"\item {escape(identities)}.")
    if any(board.best.get(row.cell_id) for row in table.rows):
        lines.append(rf"\item Bold: {escape(BEST)}.")
    lines += [
        rf"\item[$\dagger$] {escape(line.variant or line.system)}: {escape(line.source)}"
        + (" (second-hand)." if line.second_hand else ".")
        for line in published
    ]
    lines += [r"\end{tablenotes}", r"\end{threeparttable}", r"\end{table}"]
    return "\n".join(lines)


def _cells(
    board: Leaderboard, columns: Sequence[Column], row: Row, numbers: Sequence[int]
) -> list[str]:
    marks = rf"\tnote{{{','.join(map(str, numbers))}}}" if numbers else ""
    values = [_value(row.cells.get(c.name), best=board.is_best(row, c.name)) for c in columns]
    speed = "--" if row.real_time_factor is None else f"{row.real_time_factor:.2g}"
    return [escape(row.label) + marks, escape(row.query), *values, escape(counts(row)), speed]


def _published(columns: Sequence[Column], line: PublishedLine) -> list[str]:
    values = [
        rf"\textit{{{line.values[c.name]:.2f}}}" if c.name in line.values else "--" for c in columns
    ]
    name = escape(line.variant or line.system) + r"\tnote{$\dagger$}"
    return [name, escape(line.query), *values, "--", "--"]


def _value(cell: Cell | None, *, best: bool) -> str:
    text = number(cell)
    shown = {"–": "--"}.get(text, f"${text}$")
    if best:
        shown = rf"$\mathbf{{{text}}}$"
    spread = half_width(cell)
    return shown + (rf" {{\scriptsize$\pm${spread}}}" if spread else "")


def _arrow(column: Column) -> str:
    return r" $\uparrow$" if column.higher_is_better else r" $\downarrow$"


def _heading(text: str, width: int) -> str:
    return rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escape(text)}}}}} \\"


def _how(table: Table) -> str:
    return escape(how_averaged(table))


def _label(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-:.") else "-" for c in text)


def _comment(text: str) -> str:
    return " ".join(text.split())


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Text of strangers as LaTeX that prints it and does nothing else."""
    return " ".join("".join(_ESCAPES.get(c, c) for c in text).split())
