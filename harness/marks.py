"""Which value of a column is marked: the best one, where the paired test says that it is.

A model gets a column when it is complete, its value is the best shown among the table's models,
and the corrected test calls it better than every other model that has the column. A model that has
nothing to compare yet, no value and no failure, stands in nobody's way. One model alone beats
nobody; bounds are no models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sepbench.harness.aggregate import Column, Row, Table
from sepbench.harness.compare import Comparison


def best_marks(
    tables: Sequence[Table], comparisons: Sequence[Comparison]
) -> dict[int, frozenset[str]]:
    """Cell id -> the columns in which it is marked.

    Args:
        tables: of a board.
        comparisons: every pair of models of these tables and every metric, corrected.
    """
    found = {
        (each.protocol, each.metric, frozenset((each.cell_a, each.cell_b))): each
        for each in comparisons
    }
    marks: dict[int, set[str]] = {}
    for table in tables:
        for column in table.columns:
            best = _leader(table, column)
            if best is None:
                continue
            metric = column.identity.split(" ")[0]
            beaten = []
            for row in _models(table, column):
                if row.cell_id == best.cell_id:
                    continue
                against = frozenset((best.cell_id, row.cell_id))
                each = found.get((table.protocol, metric, against))
                if row.cells[column.name].value is None and not (each and each.num_pairs):
                    continue
                beaten.append(each is not None and each.better_cell() == best.cell_id)
            if beaten and all(beaten):
                marks.setdefault(best.cell_id, set()).add(column.name)
    return {cell_id: frozenset(names) for cell_id, names in marks.items()}


def _models(table: Table, column: Column) -> list[Row]:
    """Models that were carried out and asked for the column, with a value or without."""
    return [
        row
        for row in table.rows
        if row.role == "model" and row.status == "active" and column.name in row.cells
    ]


def _leader(table: Table, column: Column) -> Row | None:
    """The complete model with the best value; None where an incomplete one shows a better."""
    shown: Mapping[int, float] = {
        row.cell_id: value if column.higher_is_better else -value
        for row in _models(table, column)
        if (value := row.cells[column.name].value) is not None
    }
    if not shown:
        return None
    top = max(shown, key=lambda cell_id: shown[cell_id])
    row = next(row for row in table.rows if row.cell_id == top)
    return row if row.complete else None
