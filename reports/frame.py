"""The leaderboard as a pandas frame, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepbench.harness.aggregate import Cell
from sepbench.reports.contract import Leaderboard

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
    """The leaderboard wide, two decimals, best values bold: what a notebook shows.

    Source of the numbers: `board_frame`; text of datasets and plugins is escaped.
    """
    import pandas as pd

    frame = board_frame(board)
    index = ["protocol", "model", "query"]
    if frame.empty:
        return pd.DataFrame().style
    shown = frame.pivot_table(
        index=index, columns="title", values="value", sort=False, observed=True, dropna=False
    )
    marked = frame.pivot_table(
        index=index, columns="title", values="best", sort=False, aggfunc="any", dropna=False
    ).reindex(index=shown.index, columns=shown.columns)
    weights = marked.map(lambda best: "font-weight: bold" if best is True else "")
    style = shown.style.format("{:.2f}", na_rep="–", escape="html")
    style = style.format_index(escape="html", axis=0).format_index(escape="html", axis=1)
    return style.apply(lambda _: weights, axis=None)
