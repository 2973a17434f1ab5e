"""The leaderboard as CSV: a row a cell, full precision, every count; for spreadsheets and code."""

from __future__ import annotations

import csv
from pathlib import Path

from sepbench.harness.aggregate import Cell, Row, Table
from sepbench.reports.contract import Leaderboard
from sepbench.reports.wording import PublishedLine, published_lines

_FIXED = (
    "protocol",
    "dataset",
    "model",
    "baseline",
    "version",
    "role",
    "query",
    "status",
    "scored",
    "expected",
    "failed",
    "missing",
    "complete",
)
_COST = (
    "real_time_factor",
    "peak_memory_bytes",
    "parameters",
    "flops_per_second",
    "device",
    "precision",
)


class CsvReport:
    """`leaderboard.csv`."""

    name = "csv"
    summary = "one CSV, a row a cell, full precision and counts"

    def write(self, board: Leaderboard, folder: Path) -> list[Path]:
        """Write `leaderboard.csv`."""
        names: dict[str, None] = {}
        for table in board.tables:
            names.update(dict.fromkeys(column.name for column in table.columns))
        header = [*_FIXED]
        for name in names:
            header += [name, f"{name}_low", f"{name}_high", f"{name}_best", f"{name}_averaged"]
            header += [f"{name}_undefined_reference", f"{name}_undefined_estimate"]
        header += [*_COST, "metric_identities", "notes"]
        path = folder / "leaderboard.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for table in board.tables:
                for row in table.rows:
                    writer.writerow(_values(board, table, row, list(names)))
                for line in published_lines(board, table):
                    writer.writerow(_published(table, line, list(names)))
        return [path]


REPORT = CsvReport()


def _values(board: Leaderboard, table: Table, row: Row, names: list[str]) -> list[object]:
    values: list[object] = [
        table.protocol,
        table.dataset,
        row.label,
        row.baseline,
        row.version,
        row.role,
        row.query,
        row.status,
        row.scored,
        row.expected,
        row.failed,
        row.missing,
        row.complete,
    ]
    for name in names:
        cell = row.cells.get(name, Cell())
        values += [cell.value, cell.low, cell.high, board.is_best(row, name), cell.averaged]
        values += [cell.undefined_reference, cell.undefined_estimate]
    identities = "; ".join(c.identity for c in table.columns if not c.improvement)
    cost = [row.real_time_factor, row.peak_memory, row.parameters, row.flops_per_second]
    return [*values, *cost, row.device, row.precision, identities, "; ".join(row.notes)]


def _published(table: Table, line: PublishedLine, names: list[str]) -> list[object]:
    """A row without counts: its numbers are others'."""
    known: dict[str, object] = {
        "protocol": table.protocol,
        "dataset": table.dataset,
        "model": line.variant or line.system,
        "baseline": line.system,
        "role": "published",
        "query": line.query,
    }
    values: list[object] = [known.get(name, "") for name in _FIXED]
    for name in names:
        values += [line.values.get(name), None, None, None, None, None, None]
    cost = [""] * (len(_COST) + 1)
    return [*values, *cost, "; ".join((line.source, *line.notes))]
