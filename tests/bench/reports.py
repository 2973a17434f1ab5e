"""What the report formats cost: seconds, peak memory and size for boards of many score rows.

    python tests/bench/reports.py [--rows 1000 100000] [--formats md csv latex json html figures]

A board of four rows (mixture, two models, an oracle) and five metrics is made up with as many
items as give the number of score rows; audio is left out, which costs what it costs an item: the
page and the figures are written without it. Each format runs in a process of its own, so that its
peak memory is its own; the memory of the board itself is printed beside it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sepbench.harness.aggregate import Cell, Column, Row, Table
from sepbench.harness.run.catalogs import REPORTS
from sepbench.reports.contract import CellItems, Leaderboard, ProtocolItems, TargetRecord

METRICS = ("sdr", "si_sdr", "bss_sdr", "bss_sir", "bss_sar")
ROLES = {"mixture": "lower", "one": "model", "two": "model", "oracle": "upper"}
CLASSES = 50


def made_board(rows: int) -> Leaderboard:
    """A board of about so many scores."""
    items = max(1, rows // (len(METRICS) * len(ROLES)))
    rng = np.random.default_rng(0)
    columns = tuple(
        Column(name=name, title=name, unit="dB", identity=f"{name}@1", metric=name)
        for name in METRICS
    )
    targets = [
        TargetRecord(
            scene=f"scene-{k:06d}",
            target="target",
            label=f"class {k % CLASSES}",
            attributes={"label": f"class {k % CLASSES}", "snr_db": float(k % 21 - 10)},
        )
        for k in range(items)
    ]
    table_rows, cells = [], []
    for number, (label, role) in enumerate(ROLES.items(), 1):
        values = {name: rng.normal(3.0 * number, 4.0, items) for name in METRICS}
        table_rows.append(
            Row(
                label=label,
                baseline=label,
                version="1",
                role=role,
                query="text",
                status="active",
                reason="",
                cells={
                    name: Cell(value=float(v.mean()), low=0.0, high=1.0, averaged=items)
                    for name, v in values.items()
                },
                scored=items,
                expected=items,
                complete=True,
                real_time_factor=0.01 * number,
                cell_id=number,
            )
        )
        cells.append(
            CellItems(
                cell_id=number,
                targets=range(items),
                queries=[f"the sound of number {k}" for k in range(items)],
                query_indices=[0] * items,
                values=values,
            )
        )
    found = ProtocolItems(targets=targets, cells=cells)
    table = Table(
        protocol="made",
        dataset="made",
        aggregate="mean over items",
        columns=columns,
        rows=tuple(table_rows),
    )
    return Leaderboard(tables=(table,), items=lambda _: found)


def peak() -> float:
    """MB resident at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, rows: int) -> dict[str, float]:
    """One format in this process."""
    board = made_board(rows)
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        REPORTS.load(name).write(board, Path(folder))
        seconds = time.perf_counter() - started
        size = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())
    return {"seconds": seconds, "board": before, "peak": peak(), "size": size / 1e6}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument(
        "--formats", nargs="+", default=["md", "csv", "latex", "json", "html", "figures"]
    )
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.rows[0])))
        return
    print("| Format | Score rows | Seconds | Board, MB | Peak, MB | Files, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for rows in given.rows:
        for name in given.formats:
            command = [sys.executable, __file__, "--rows", str(rows), "--one", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout)
            print(
                f"| {name} | {rows:,} | {found['seconds']:.2f} | {found['board']:.0f} |"
                f" {found['peak']:.0f} | {found['size']:.2f} |"
            )


if __name__ == "__main__":
    main()
