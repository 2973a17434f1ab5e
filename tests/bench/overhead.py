"""What the harness itself costs: items/s and the driver's memory with a model that does nothing.

    python tests/bench/overhead.py [--items 1000 10000 100000] [--scan 1000000]

Items are mixtures of 1 s at 16 kHz read from WAV files, scored with plain SDR by the local engine;
the model multiplies by a constant. Each size runs in a process of its own. Wall time includes
planning, starting the processes and recording; "steady" leaves out the start (importing torch in
the model's process), measured by a run of one item.

With `--scan` nothing is separated: a list of that length is planned in an empty workspace, half of
its results are written as a run would have left them, and the same command is given again. The
times are from the command to the first scene that the engine gets.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sepbench.harness.engines.contract import CellJob, Sink
    from sepbench.harness.run.summary import RunSummary

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def once(items: int, folder: Path) -> tuple[RunSummary, float]:
    """The grid, and the seconds it took; a second call finds it finished."""
    from sepbench.harness.run.grid import run_grid
    from sepbench.harness.settings import resolve

    started = time.perf_counter()
    summary = run_grid(
        resolve(
            workspace=folder / f"results-{items}",
            models=["kit-half"],
            datasets=["kit-wav"],
            overrides=[
                f"datasets.kit-wav.root='{folder}'",
                f"datasets.kit-wav.scenes={items}",
                "bounds=[]",
                "batch_size=32",
            ],
            environment={},
        )
    )
    return summary, time.perf_counter() - started


def measure(items: int, folder: Path) -> dict[str, float]:
    """One run in this process, and the same again."""
    summary, seconds = once(items, folder)
    if summary.done != items or not summary.ok:
        raise SystemExit(f"only {summary.done} of {items} items, {summary.failures} failed")
    again, repeated = once(items, folder)
    if again.done:
        raise SystemExit("a finished grid was not left alone")
    return {
        "seconds": seconds,
        "again": repeated,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class Peek:
    """An engine that takes one scene, notes the time, and does nothing."""

    def __init__(self) -> None:
        self.at = 0.0

    def run(self, jobs: Iterable[CellJob], sink: Sink) -> None:
        next(next(iter(jobs)).scenes)
        self.at = time.perf_counter()


def scan(items: int, folder: Path) -> dict[str, float]:
    """Seconds to the first scene: of a new list, and of one that is half done."""
    from sepbench.harness.run import grid

    answers: dict[str, float] = {}
    for name in ("new", "half"):
        peek = Peek()
        grid._engine = lambda settings, peek=peek: peek  # type: ignore[assignment]
        started = time.perf_counter()
        once(items, folder)
        answers[name] = peek.at - started
        if name == "new":
            fill_half(folder / f"results-{items}" / "results.sqlite")
    answers["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answers["file"] = (folder / f"results-{items}" / "results.sqlite").stat().st_size / 2**20
    return answers


def fill_half(database: Path) -> None:
    """Results of every second item, as a run leaves them."""
    files = json.dumps({f"{k}.wav": "0123456789abcdef" * 4 for k in (12, 23)})
    connection = sqlite3.connect(database)
    with connection:
        (run_id,) = connection.execute("SELECT max(id) FROM runs").fetchone()
        connection.execute(
            "INSERT INTO results (cell_id, item_id, status, attempts, audio_seconds, load_seconds,"
            " condition_seconds, separate_seconds, score_seconds, peak_memory, files,"
            " example_files, run_id) SELECT 1, id, 'scored', 1, 1.0, 0.01, 0.01, 0.01, 0.01,"
            " 300000000, ?, '{}', ? FROM items WHERE id % 2 = 0",
            (files, run_id),
        )
        connection.execute("INSERT INTO scores SELECT id, 1, 3.0, NULL, NULL FROM results")
    connection.close()


def in_child(items: int, folder: Path, what: str = "--one") -> dict[str, float]:
    """One run in a process of its own, so that its peak memory is its own."""
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    command = [sys.executable, __file__, what, str(items), "--folder", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[1000, 10000, 100000])
    parser.add_argument("--scan", type=int, nargs="+", default=[])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one-scan", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one or arguments.one_scan:
        measured = measure if arguments.one else scan
        print(json.dumps(measured(arguments.one or arguments.one_scan, arguments.folder)))
        return
    sys.path.insert(0, str(SUPPORT))
    from sepbench_testkit.wavs import WavKit

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        WavKit.write(folder)
        if arguments.scan:
            print_scans(arguments.scan, folder)
            return
        start = in_child(1, folder)["seconds"]
        print(f"Start (one item): {start:.1f} s. Cores: {os.cpu_count()}.\n")
        print("| items | wall s | items/s | steady items/s | driver peak MB | same again s |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: |")
        for items in arguments.items:
            found = in_child(items, folder)
            seconds = found["seconds"]
            steady = items / max(seconds - start, 1e-9)
            print(
                f"| {items:,} | {seconds:.1f} | {items / seconds:.0f} | {steady:.0f} "
                f"| {found['memory']:.0f} | {found['again']:.1f} |",
                flush=True,
            )


def print_scans(sizes: list[int], folder: Path) -> None:
    print("| items | first plan s | resume, half done s | driver peak MB | database MB |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for items in sizes:
        found = in_child(items, folder, "--one-scan")
        print(
            f"| {items:,} | {found['new']:.1f} | {found['half']:.1f} | {found['memory']:.0f} "
            f"| {found['file']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
