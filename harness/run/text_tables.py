"""Small tables as aligned text, Markdown and CSV, for commands that print one."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from sepbench.harness.plain_text import escape_markdown, one_line


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Columns side by side for a terminal; the first `left` ones start at the left."""
    lines = [list(map(one_line, line)) for line in (header, *rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    text = []
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
        if number == 0:
            text.append("  ".join("-" * width for width in widths))
    return "\n".join(text)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table; text from datasets cannot break it."""
    marks = [" --- " if k < left else " ---: " for k in range(len(header))]
    lines = [list(map(escape_markdown, line)) for line in (header, *rows)]
    text = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([text[0], "|" + "|".join(marks) + "|", *text[1:]])


def csv_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """CSV, None as an empty field."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerows([header, *rows])
    return written.getvalue()


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """A value for people, "–" where there is none."""
    if value is None:
        return "–"
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}"


def p_value(value: float) -> str:
    """A p-value for people; small ones only as such."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: float) -> str:
    """A time for people: seconds below a minute and a half, then minutes, then hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
