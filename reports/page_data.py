"""The board as the page's data: scripts that hand JSON to the page, in pieces.

Browsers refuse to fetch files from disk and do load scripts; so each piece is a script with one
call. JSON is written in ASCII: nothing in it can end the script or be read as markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.aggregate import Cell, Column, Row, Table
from sepbench.reports.contract import CellItems, Leaderboard, ProtocolItems
from sepbench.reports.json_report import comparison_document
from sepbench.reports.wording import (
    BEST,
    column_notes,
    counts,
    footnotes,
    how_averaged,
    number,
    published_lines,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

PIECE = 2000  # items a script
_DIGITS = 3


def write_script(path: Path, name: str, value: object) -> None:
    """Write one piece of data."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c")
    path.write_text(f"sepbench.receive({json.dumps(name)},{text});\n", encoding="ascii")


def protocol_data(
    board: Leaderboard, table: Table, items: ProtocolItems | None, remarks: Sequence[str]
) -> dict[str, Any]:
    """What the page shows of a protocol before any item."""
    texts, marks = footnotes(table)
    return {
        "protocol": table.protocol,
        "dataset": table.dataset,
        "how": how_averaged(table),
        "columnNotes": column_notes(table),
        "bestNote": BEST,
        "columns": [_column(column) for column in table.columns],
        "rows": [_row(board, row, numbers) for row, numbers in zip(table.rows, marks, strict=True)],
        "published": [
            {
                "system": line.variant or line.system,
                "query": line.query,
                "source": line.source,
                "secondHand": line.second_hand,
                "values": line.values,
                "groups": [[c, group, v] for (c, group), v in line.groups.items()],
                "notes": list(line.notes),
            }
            for line in published_lines(board, table)
        ],
        "footnotes": texts,
        "notes": list(table.notes),
        "comparisons": [
            comparison_document(each) | {"cells": [each.cell_a, each.cell_b]}
            for each in board.comparisons
            if each.protocol == table.protocol
        ],
        "targets": len(items.targets) if items is not None else 0,
        "remarks": list(remarks),
    }


def write_items(items: ProtocolItems, prefix: str, folder: Path) -> list[str]:
    """Write the items of a protocol in pieces; returns the names of the scripts in order."""
    names = []
    for piece, start in enumerate(range(0, len(items.targets), PIECE)):
        part = items.targets[start : start + PIECE]
        name = f"{prefix}-targets-{piece}"
        value = {
            "kind": "targets",
            "scene": [each.scene for each in part],
            "target": [each.target for each in part],
            "label": [each.label for each in part],
            "absent": [place for place, each in enumerate(part, start) if each.absent],
            "attributes": [_attributes(each.attributes) for each in part],
        }
        write_script(folder / f"{name}.js", name, value)
        names.append(name)
    for cell in items.cells:
        for piece, start in enumerate(range(0, len(cell.targets), PIECE)):
            name = f"{prefix}-cell{cell.cell_id}-{piece}"
            write_script(folder / f"{name}.js", name, _cell_piece(cell, start))
            names.append(name)
    return names


def _cell_piece(cell: CellItems, start: int) -> dict[str, Any]:
    stop = start + PIECE
    texts: dict[str, int] = {}
    queries = [texts.setdefault(words, len(texts)) for words in cell.queries[start:stop]]
    reasons: dict[str, dict[str, str]] = {}
    for (index, column), reason in cell.reasons.items():
        if start <= index < stop:
            reasons.setdefault(str(index - start), {})[column] = reason
    return {
        "kind": "cell",
        "cell": cell.cell_id,
        "targets": list(cell.targets[start:stop]),
        "texts": list(texts),
        "queries": queries,
        "queryIndices": list(cell.query_indices[start:stop]),
        "values": {name: _numbers(values[start:stop]) for name, values in cell.values.items()},
        "reasons": reasons,
        "failures": {
            str(index - start): text
            for index, text in cell.failures.items()
            if start <= index < stop
        },
    }


def _numbers(values: Floats) -> list[float | str | None]:
    """Rounded; null for none, text for infinities, which JSON has not."""
    found: list[float | str | None] = []
    for value in values.tolist():
        if value != value:
            found.append(None)
        elif value in (float("inf"), float("-inf")):
            found.append("inf" if value > 0 else "-inf")
        else:
            found.append(round(value, _DIGITS) + 0.0)
    return found


def _attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if value is not None}


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "title": column.title,
        "unit": column.unit,
        "identity": column.identity,
        "improvement": column.improvement,
        "higher": column.higher_is_better,
    }


def _row(board: Leaderboard, row: Row, marks: Sequence[int]) -> dict[str, Any]:
    return {
        "id": row.cell_id,
        "label": row.label,
        "baseline": row.baseline,
        "version": row.version,
        "role": row.role,
        "query": row.query,
        "status": row.status,
        "marks": list(marks),
        "values": {
            name: _value(cell, best=board.is_best(row, name)) for name, cell in row.cells.items()
        },
        "counts": counts(row),
        "complete": row.complete,
        "share": row.scored / row.expected if row.expected else 0.0,
        "rtf": row.real_time_factor,
        "memory": row.peak_memory,
        "parameters": row.parameters,
        "flops": row.flops_per_second,
        "device": f"{row.device} {row.precision}".strip(),
        "identity": dict(row.identity),
    }


def _value(cell: Cell, *, best: bool) -> dict[str, Any]:
    return {
        "v": cell.value,
        "low": cell.low,
        "high": cell.high,
        "text": number(cell),
        "best": best,
        "n": cell.averaged,
    }
