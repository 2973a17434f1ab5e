"""The leaderboard as JSON with a published schema, `leaderboard.schema.json` beside this file.

Nothing is rounded; a value that does not exist is null, with its cause counted beside it.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from sepbench.harness.aggregate import Cell, Column, Row, Table
from sepbench.harness.compare import Comparison
from sepbench.reports.contract import Leaderboard
from sepbench.reports.wording import PublishedLine, published_lines, value_notes

SCHEMA_NAME = "leaderboard.schema.json"
FORMAT_VERSION = 1


class JsonReport:
    """`leaderboard.json`, and the schema it follows."""

    name = "json"
    summary = "everything in the tables, unrounded, with its JSON schema"

    def write(self, board: Leaderboard, folder: Path) -> list[Path]:
        """Write `leaderboard.json` and `leaderboard.schema.json`."""
        path, schema = folder / "leaderboard.json", folder / SCHEMA_NAME
        text = json.dumps(document(board), indent=1, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
        schema.write_text(schema_text(), encoding="utf-8")
        return [path, schema]


REPORT = JsonReport()


def schema_text() -> str:
    """The JSON schema as shipped."""
    return files("sepbench.reports").joinpath(SCHEMA_NAME).read_text(encoding="utf-8")


def document(board: Leaderboard) -> dict[str, Any]:
    """The board as JSON values."""
    return {
        "format": "sepbench-leaderboard",
        "version": FORMAT_VERSION,
        "provenance": list(board.provenance),
        "tables": [table_document(board, table) for table in board.tables],
    }


def table_document(board: Leaderboard, table: Table) -> dict[str, Any]:
    """One protocol's table."""
    return {
        "protocol": table.protocol,
        "dataset": table.dataset,
        "aggregate": table.aggregate,
        "columns": [_column(column) for column in table.columns],
        "rows": [_row(board, table, row) for row in table.rows],
        "published": [_published(line) for line in published_lines(board, table)],
        "comparisons": [
            comparison_document(each)
            for each in board.comparisons
            if each.protocol == table.protocol
        ],
        "notes": list(table.notes),
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "title": column.title,
        "unit": column.unit,
        "identity": column.identity,
        "metric": column.metric,
        "improvement": column.improvement,
        "higher_is_better": column.higher_is_better,
    }


def _row(board: Leaderboard, table: Table, row: Row) -> dict[str, Any]:
    return {
        "label": row.label,
        "baseline": row.baseline,
        "version": row.version,
        "role": row.role,
        "query": row.query,
        "status": row.status,
        "reason": row.reason,
        "scored": row.scored,
        "expected": row.expected,
        "failed": row.failed,
        "missing": row.missing,
        "complete": row.complete,
        "values": {
            name: _cell(cell, best=board.is_best(row, name)) for name, cell in row.cells.items()
        },
        "cost": {
            "real_time_factor": row.real_time_factor,
            "peak_memory_bytes": row.peak_memory,
            "parameters": row.parameters,
            "flops_per_second": row.flops_per_second,
            "device": row.device,
            "precision": row.precision,
        },
        "notes": [*row.notes, *value_notes(table, row)],
        "identity": dict(row.identity),
    }


def _cell(cell: Cell, *, best: bool) -> dict[str, Any]:
    return {
        "value": cell.value,
        "low": cell.low,
        "high": cell.high,
        "best": best,
        "averaged": cell.averaged,
        "undefined_reference": cell.undefined_reference,
        "undefined_estimate": cell.undefined_estimate,
        "infinite": cell.infinite,
        "capped": cell.capped,
        "unpaired": cell.unpaired,
        "missing": cell.missing,
        "noise_floor": cell.noise_floor,
    }


def _published(line: PublishedLine) -> dict[str, Any]:
    return {
        "system": line.system,
        "variant": line.variant,
        "query": line.query,
        "source": line.source,
        "second_hand": line.second_hand,
        "values": dict(line.values),
        "groups": [
            {"column": column, "group": group, "value": value}
            for (column, group), value in line.groups.items()
        ],
        "notes": list(line.notes),
    }


def comparison_document(each: Comparison) -> dict[str, Any]:
    """A paired comparison; positive differences speak for `a`."""
    test = each.test
    return {
        "metric": each.metric,
        "a": each.a,
        "b": each.b,
        "mean": test.mean,
        "median": test.median,
        "low": test.low,
        "high": test.high,
        "wins": test.wins,
        "ties": test.ties,
        "losses": test.losses,
        "clusters": test.clusters,
        "rank_biserial": test.rank_biserial,
        "wilcoxon_holm": each.wilcoxon_holm,
        "permutation_holm": each.permutation_holm,
        "together": each.together,
        "better": each.better(),
    }
