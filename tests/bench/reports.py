"""What the report formats cost: seconds, peak memory and size for workspaces of many score rows.

    python tests/bench/reports.py [--rows 1000 100000 1000000] [--models 2] [--formats md csv …]

A workspace is written with the mixture, some models and an oracle, five metrics, and as many items
as give the number of score rows; every item is a recording of its own. One item in a thousand is
undefined for all, and each row gives no usable estimate for another. Then each format is made from
it as `bench report` does, in a process of its own, so that its peak memory is its own: reading,
tables with intervals, comparisons of all pairs by all metrics, writing. `board` is all of that but
the writing. No audio is kept, so the page and the figures come without it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sepbench.harness.api import MetricCard
from sepbench.harness.run.provenance import provenance
from sepbench.harness.run.report import complete_board, write_reports
from sepbench.harness.stages.device import peak_resident
from sepbench.harness.store import Workspace

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from sepbench_testkit.book import Book

METRICS = ("sdr", "si_sdr", "bss_sdr", "bss_sir", "bss_sar")
FORMATS = ("board", "md", "csv", "latex", "json", "figures", "html")
CARDS = tuple(
    MetricCard(metric_id=name, version=1, title=name.upper(), improvement=f"{name}i")
    for name in METRICS
)


def write_workspace(folder: Path, rows: int, models: int) -> int:
    """A workspace of about so many scores; returns how many."""
    names = ["mixture", *(f"model-{k}" for k in range(models)), "oracle"]
    scenes = max(1, rows // (2 * len(METRICS) * len(names)))  # two targets a scene
    book = Book(folder, scenes=scenes)
    book.run_id = book.workspace.begin_run({}, provenance())
    rng = np.random.default_rng(0)
    ease = rng.normal(0.0, 4.0, 2 * scenes)
    for level, name in enumerate(names):
        role = {"mixture": "lower", "oracle": "upper"}.get(name, "model")
        cell = book.cell(name, [], role=role, cards=CARDS)
        with book.workspace._database.transaction() as connection:
            connection.executemany(
                "INSERT INTO results (cell_id, item_id, status, attempts, audio_seconds,"
                " load_seconds, condition_seconds, separate_seconds, score_seconds, peak_memory,"
                " files, example_files, run_id) SELECT ?, i.id, 'scored', 1, 10, 0, 0, 0.1, 0,"
                " 1000000, '{}', '{}', ? FROM items i JOIN cells c ON c.task_id = i.task_id"
                " WHERE c.id = ?",
                [(cell, book.run_id, cell)],
            )
            results = connection.execute(
                "SELECT r.id FROM results r JOIN items i ON i.id = r.item_id WHERE r.cell_id = ?"
                " ORDER BY i.scene_position, i.id",
                (cell,),
            ).fetchall()
            connection.executemany(
                "INSERT INTO scores SELECT ?, id, ?, ?, '' FROM metrics WHERE metric = ?",
                scores([row[0] for row in results], 2.0 * level + ease, rng),
            )
    book.close()
    return 2 * scenes * len(names) * len(METRICS)


def scores(
    results: list[int], means: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[int, float | None, str | None, str]]:
    """A value a result and metric; the reference of every thousandth is silent.

    As many others have no usable estimate: each row's own, so that rows cannot share their totals.
    """
    lost = set(rng.integers(len(means), size=len(means) // 1000).tolist())
    for name in METRICS:
        values = means + rng.normal(0.0, 2.0, len(means))
        for place, (result, value) in enumerate(zip(results, values.tolist(), strict=True)):
            silent = place % 1000 == 999
            cause = "reference" if silent else "estimate" if place in lost else None
            yield result, None if cause else value, cause, name


def measure(name: str, folder: Path) -> dict[str, float]:
    """One format in this process."""
    with tempfile.TemporaryDirectory() as target:
        started = time.perf_counter()
        if name == "board":
            with Workspace(folder) as workspace:
                complete_board(workspace)
        else:
            write_reports(folder, [name], Path(target))
        seconds = time.perf_counter() - started
        size = sum(p.stat().st_size for p in Path(target).rglob("*") if p.is_file())
    peak = peak_resident() / 2**20
    spent = time.process_time()  # of the whole process, imports too; a busy machine's waits not
    return {"seconds": seconds, "cpu": spent, "peak": peak, "size": size / 1e6}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--models", type=int, default=2)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS))
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.formats[0], given.one)))
        return
    print("| Format | Score rows | Models | Seconds | CPU, s | Peak, MB | Files, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            made = write_workspace(Path(folder), rows, given.models)
            for name in given.formats:
                command = [sys.executable, __file__, "--one", folder, "--formats", name]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found = json.loads(done.stdout)
                print(
                    f"| {name} | {made:,} | {given.models} | {found['seconds']:.1f} |"
                    f" {found['cpu']:.1f} | {found['peak']:.0f} | {found['size']:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
