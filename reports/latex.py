r"""The leaderboard as LaTeX: a booktabs table a protocol, to be `\input` into a paper.

Needs `\usepackage[T1]{fontenc}` and `\usepackage{booktabs,amssymb,graphicx}`. A table wider than
the line is scaled down to it. Text of datasets and plugins is escaped.
"""

from __future__ import annotations

import re
import unicodedata
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
# Letters of the T1 encoding: Latin-1 and Latin Extended-A but for these.
_LATIN_END = 0x17F
_NOT_IN_T1 = "ĦħĸĿŀŉŦŧ"
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
    # At the start of a row, these would be read as arguments of the line break before it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    # Two of these in a row would become one quotation mark.
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "–": r"\textendash{}",
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
        r"% Needs \usepackage[T1]{fontenc} and \usepackage{booktabs,amssymb,graphicx}.",
        *(f"% {_comment(line)}" for line in board.provenance),
    ]
    return "\n".join(["\n".join(head), *(_table(board, table) for table in board.tables)]) + "\n"


def _table(board: Leaderboard, table: Table) -> str:
    texts, marks = footnotes(table)
    of_row = {id(row): numbers for row, numbers in zip(table.rows, marks, strict=True)}
    columns = table.columns
    lines = [
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{escape(table.dataset)}, protocol {escape(table.protocol)}. {_how(table)}}}",
        f"\\label{{tab:{_label(table.protocol)}}}",
        r"\smallskip",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        f"\\begin{{tabular}}{{ll{'r' * len(columns)}rr}}",
        r"\toprule",
        *_heads(columns),
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
    lines += [r"\bottomrule", r"\end{tabular}}", "", r"\medskip", r"{\footnotesize\raggedright"]
    notes = [rf"\textsuperscript{{{k}}} {escape(text)}." for k, text in enumerate(texts, 1)]
    notes += [f"{escape(note)}." for note in table.notes]
    identities = "; ".join(f"{c.title} = {c.identity}" for c in columns if not c.improvement)
    notes.append(f"{escape(identities)}.")
    if any(board.best.get(row.cell_id) for row in table.rows):
        notes.append(f"Bold: {escape(BEST)}.")
    notes += [
        rf"$\dagger$ {escape(line.variant or line.system)}: {escape(line.source)}"
        + (" (second-hand)." if line.second_hand else ".")
        for line in published
    ]
    return "\n".join([*lines, *(rf"{note}\par" for note in notes), "}", r"\end{table}"])


def _heads(columns: Sequence[Column]) -> list[str]:
    """Column heads: what several neighbours say in brackets is said once above them."""
    words = [_split(column) for column in columns]
    groups: list[tuple[str, int, int]] = []  # name, first and last column of the tabular
    for place, (_, family) in enumerate(words, 3):
        if groups and groups[-1][0] == family:
            groups[-1] = (family, groups[-1][1], place)
        else:
            groups.append((family, place, place))
    lines = []
    if any(family for _, family in words):
        spans = [
            rf"\multicolumn{{{last - first + 1}}}{{c}}{{{escape(family)}}}"
            for family, first, last in groups
        ]
        rules = "".join(
            rf"\cmidrule(lr){{{first}-{last}}}" for family, first, last in groups if family
        )
        lines += [_line(["", "", *spans, "", ""]), rules]
    heads = [f"{escape(name)}{_arrow(c)}" for (name, _), c in zip(words, columns, strict=True)]
    lines.append(_line(["Model", "Query", *heads, "Scored", "RTF"]))
    if len({column.unit for column in columns}) > 1:
        units = [f"{{\\footnotesize [{escape(c.unit)}]}}" if c.unit else "" for c in columns]
        lines.append(_line(["", "", *units, "", ""]))
    return lines


def _split(column: Column) -> tuple[str, str]:
    """Make "SIR (BSS Eval v3)" into "SIR" and "BSS Eval v3"."""
    name, _, rest = column.title.partition(" (")
    return name, rest.removesuffix(")")


def _cells(
    board: Leaderboard, columns: Sequence[Column], row: Row, numbers: Sequence[int]
) -> list[str]:
    marks = rf"\textsuperscript{{{','.join(map(str, numbers))}}}" if numbers else ""
    values = [_value(row.cells.get(c.name), best=board.is_best(row, c.name)) for c in columns]
    speed = "--" if row.real_time_factor is None else f"{row.real_time_factor:.2g}"
    return [escape(row.label) + marks, escape(row.query), *values, escape(counts(row)), speed]


def _published(columns: Sequence[Column], line: PublishedLine) -> list[str]:
    values = [
        rf"\textit{{{line.values[c.name]:.2f}}}" if c.name in line.values else "--" for c in columns
    ]
    name = escape(line.variant or line.system) + r"\textsuperscript{$\dagger$}"
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
    units = {column.unit for column in table.columns}
    said = f" In {escape(units.pop())}." if len(units) == 1 and all(units) else ""
    return escape(how_averaged(table)) + said


def _label(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-:.") else "-" for c in text)


def _comment(text: str) -> str:
    return " ".join(text.split())


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Text of strangers as LaTeX that prints it and does nothing else.

    Letters beyond the Latin ones, which plain LaTeX cannot print, become their code: [U+4E2D].
    """
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    escaped = "".join(_ESCAPES.get(c) or _printable(c) for c in composed)
    return re.sub("-(?=-)", "-{}", escaped)  # two would become one dash


def _printable(character: str) -> str:
    latin = character.isalpha() and ord(character) < _LATIN_END and character not in _NOT_IN_T1
    if latin or (character.isascii() and character.isprintable()):
        return character
    return f"{{[}}U+{ord(character):04X}{{]}}"
