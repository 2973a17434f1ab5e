"""The leaderboard as a pandas frame, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.aggregate import Cell, Column
from sepbench.reports.contract import Leaderboard
from sepbench.reports.wording import (
    BEST,
    ROLE_TITLES,
    counts,
    how_averaged,
    number_with_interval,
)

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler


def board_frame(board: Leaderboard) -> pd.DataFrame:
    """A row a cell of the grid and column: long form, nothing rounded.

    Columns: protocol, dataset, model, baseline, role, query, column, title, unit, value, low, high,
    best, averaged, scored, expected, failed, complete, real_time_factor, peak_memory, parameters.
    """
    import pandas as pd

    records: list[dict[str, Any]] = []
    for table in board.tables:
        for row in table.rows:
            for column in table.columns:
                cell = row.cells.get(column.name, Cell())
                records.append(
                    {
                        "protocol": table.protocol,
                        "dataset": table.dataset,
                        "model": row.label,
                        "baseline": row.baseline,
                        "role": row.role,
                        "query": row.query,
                        "column": column.name,
                        "title": column.title,
                        "unit": column.unit,
                        "value": cell.value,
                        "low": cell.low,
                        "high": cell.high,
                        "best": board.is_best(row, column.name),
                        "averaged": cell.averaged,
                        "scored": row.scored,
                        "expected": row.expected,
                        "failed": row.failed,
                        "complete": row.complete,
                        "real_time_factor": row.real_time_factor,
                        "peak_memory": row.peak_memory,
                        "parameters": row.parameters,
                    }
                )
    return pd.DataFrame.from_records(records)


def styled_table(board: Leaderboard) -> Styler:
    """The leaderboard as people read it, best values bold: what a notebook shows.

    A row a cell of the grid, numbers as in Markdown with half their interval; text of datasets and
    plugins is escaped. The same board gives the same HTML. For numbers to work with: `board_frame`.
    """
    import pandas as pd

    titles = list(dict.fromkeys(_head(c) for table in board.tables for c in table.columns))
    rows, marks, names = [], [], []
    for table in board.tables:
        for row in table.rows:
            texts = {_head(c): number_with_interval(row.cells.get(c.name)) for c in table.columns}
            best = {_head(c) for c in table.columns if board.is_best(row, c.name)}
            rows.append([*(texts.get(title, "–") for title in titles), counts(row)])
            marks.append(["font-weight: bold" if t in best else "" for t in titles] + [""])
            role = ROLE_TITLES.get(row.role, "")
            names.append((table.protocol, row.label + (f" ({role})" if role else ""), row.query))
    if not rows:
        return pd.DataFrame().style
    index = pd.MultiIndex.from_tuples(names, names=["protocol", "model", "query"])
    shown = pd.DataFrame(rows, index=index, columns=[*titles, "Scored"])
    weights = np.array(marks, dtype=object)
    style = shown.style.set_uuid("sepbench").set_caption(_caption(board))
    style = style.format(escape="html").format_index(escape="html", axis=0)
    style = style.format_index(escape="html", axis=1).apply(lambda _: weights, axis=None)
    return style.set_table_attributes('style="text-align: right"')


def _head(column: Column) -> str:
    return f"{column.title} [{column.unit}]" if column.unit else column.title


def _caption(board: Leaderboard) -> str:
    how = dict.fromkeys(how_averaged(table) for table in board.tables)
    said = " ".join([*how, f"Bold: {BEST}." if board.best else ""]).rstrip()
    return said.replace("&", "&amp;").replace("<", "&lt;")
