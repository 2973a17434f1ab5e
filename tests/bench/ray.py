"""What Ray makes of several workers: 1, 2 and 4 one-core actors on a model that only computes.

    python tests/bench/ray.py [--workers 1 2 4] [--scenes 60] [--products 400] [--rounds 3]

Beside it the local engine with as many processes, and what the machine itself allows: bare
processes that do the same products and nothing else. All times are from the moment the models are
loaded to the last estimate; starting Ray and importing torch are not in them. Each is the median of
rounds in which the three take turns. The values of both engines are compared, item by item.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SUPPORT = Path(__file__).resolve().parents[1] / "support"
sys.path[0] = str(SUPPORT)  # not this folder: it has a module named ray
os.environ["PYTHONPATH"] = str(SUPPORT)
os.environ["OMP_NUM_THREADS"] = "1"

ITEMS_A_SCENE = 3


def bare(barrier: Any, items: int, products: int, queue: Any) -> None:
    """One process of its own: the model's work and nothing else."""
    import torch
    from sepbench_testkit.busy import work

    torch.set_num_threads(1)
    work(products)
    barrier.wait()
    began = time.perf_counter()
    for _ in range(items):
        work(products)
    queue.put(time.perf_counter() - began)


def in_bare_processes(workers: int, items: int, products: int) -> float:
    """Seconds until all are done."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(workers), context.Queue()
    shares = [items // workers + (k < items % workers) for k in range(workers)]
    processes = [
        context.Process(target=bare, args=(barrier, share, products, queue)) for share in shares
    ]
    for process in processes:
        process.start()
    seconds = max(queue.get() for _ in processes)
    for process in processes:
        process.join()
    return seconds


def in_engine(workspace: Path, engine: str, workers: int, scenes: int, products: int) -> float:
    """Seconds from the loaded model to the last estimate, of the actor that took longest."""
    from sepbench_testkit.machine import run

    summary = run(
        workspace,
        models=["m=sepbench_testkit.busy:Busy"],
        engine=engine,
        settings=[
            f"datasets.kit.scenes={scenes}",
            f"models.m.products={products}",
            *("metrics=[sdr]", "batch_size=2", "device=cpu", "engine.threads=1"),
            *(f"engine.lanes={workers}", "engine.workers=1"),
            *(f"engine.ray.actors={workers}", "engine.ray.scorers=1"),
        ],
    )
    if not summary.ok or summary.engine is None or summary.done != scenes * ITEMS_A_SCENE:
        raise SystemExit(f"{summary.failures} of {summary.done} items failed")
    return max(lane.busy_seconds + lane.idle_seconds for lane in summary.engine.lanes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--products", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    from sepbench_testkit.machine import largest_difference, scores

    items = asked.scenes * ITEMS_A_SCENE
    worst = 0.0
    rows: list[tuple[int, float, float, float]] = []
    for workers in asked.workers:
        times: dict[str, list[float]] = {"bare": [], "local": [], "ray": []}
        for _ in range(asked.rounds):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                times["bare"].append(in_bare_processes(workers, items, asked.products))
                for engine in ("local", "ray"):
                    given = (engine, workers, asked.scenes, asked.products)
                    times[engine].append(in_engine(folder / engine, *given))
                found = scores(folder / "local"), scores(folder / "ray")
                worst = max(worst, largest_difference(*found))
        rows.append((workers, *(statistics.median(times[k]) for k in ("bare", "local", "ray"))))
    print(f"{items} items, {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at the end.")
    print(f"Largest difference between the engines: {worst:.1e} dB.\n")
    print("| workers | bare s | local s | ray s | bare × | local × | ray × | ray / bare |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    first = rows[0]
    for workers, *seconds in rows:
        gains = [one / now for one, now in zip(first[1:], seconds, strict=True)]
        shown = " | ".join(f"{value:.1f}" for value in seconds)
        gained = " | ".join(f"{gain:.2f}" for gain in gains)
        print(f"| {workers} | {shown} | {gained} | {gains[2] / gains[0]:.2f} |")


if __name__ == "__main__":
    main()
