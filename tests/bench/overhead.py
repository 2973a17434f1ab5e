"""What the harness itself costs: items/s and the driver's memory with a model that does nothing.

    python tests/bench/overhead.py [--items 1000 10000 100000]

Items are mixtures of 1 s at 16 kHz read from WAV files, scored with plain SDR by the local engine;
the model multiplies by a constant. Each size runs in a process of its own. Wall time includes
planning, starting the processes and recording; "steady" leaves out the start (importing torch in
the model's process), measured by a run of one item.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sepbench.harness.run.grid import RunSummary

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


def in_child(items: int, folder: Path) -> dict[str, float]:
    """One run in a process of its own, so that its peak memory is its own."""
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    command = [sys.executable, __file__, "--one", str(items), "--folder", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[1000, 10000, 100000])
    parser.add_argument("--one", type=int)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.folder)))
        return
    sys.path.insert(0, str(SUPPORT))
    from sepbench_testkit.wavs import WavKit

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        WavKit.write(folder)
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


if __name__ == "__main__":
    main()
