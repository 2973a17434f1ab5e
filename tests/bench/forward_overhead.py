"""What the harness costs beside a bare loop over the same items with AudioSep's network.

    python tests/bench/forward_overhead.py [--items 16] [--seconds 10] [--batch 1] [--rounds 3]

The bare loop reads two WAV files, adds them, and calls the network: no queries, no scores, no
records. `bench run` does all of these, in its processes. Both take turns; each turn is a process
of its own and is measured without its start (imports, loading): the run's time with all items
less its time with one batch. CPU seconds are those of all processes together, counted in the same
way; they say what the harness costs on a machine that has other things to do. The device's idle
share is what the separation process itself measured. The output is a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[1] / "support"
RATE = 32_000


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def bare(items: int, folder: Path, batch: int, device: str) -> dict[str, float]:
    """Seconds of the loop over all items, and of its first batch."""
    import torch
    from sepbench_testkit.forward import AudioSepForward
    from sepbench_testkit.wavs import WavKit

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model, dataset = AudioSepForward(), WavKit(folder, scenes=items)
    model.load(device)
    rows = dataset.scenes("pairs")
    done: list[tuple[float, float]] = []
    started, used = time.perf_counter(), cpu_seconds()
    with torch.inference_mode():
        for first in range(0, items, batch):
            scenes = [
                dataset.load(rows[k], RATE, mono=True)
                for k in range(first, min(first + batch, items))
            ]
            mixture = torch.stack([torch.from_numpy(scene.mixture) for scene in scenes])
            condition = torch.stack(list(model.condition([None] * len(scenes))))  # type: ignore[list-item]
            model.separate(mixture.to(device), condition.to(device)).cpu()
            done.append((time.perf_counter() - started, cpu_seconds() - used))
    (first, first_cpu), (last, last_cpu) = done[0], done[-1]
    return {"wall": last - first, "cpu": last_cpu - first_cpu, "idle": 0.0}


def harness(items: int, folder: Path, batch: int, device: str) -> dict[str, float]:
    """Seconds of a run with all items, and of one with a batch."""
    from sepbench.harness.run.grid import run_grid
    from sepbench.harness.settings import resolve

    answer = {"wall": 0.0, "cpu": 0.0, "idle": 0.0}
    for sign, count in ((-1, batch), (1, items)):
        with tempfile.TemporaryDirectory(dir=folder) as workspace:
            started, used = time.perf_counter(), cpu_seconds()
            summary = run_grid(
                resolve(
                    workspace=Path(workspace),
                    models=["forward=sepbench_testkit.forward:AudioSepForward"],
                    datasets=["kit-wav:kit-wav-32k"],
                    overrides=[
                        f"datasets.kit-wav.root='{folder}'",
                        f"datasets.kit-wav.scenes={count}",
                        "bounds=[]",
                        f"batch_size={batch}",
                        f"device={device}",
                    ],
                    environment={},
                )
            )
            answer["wall"] += sign * (time.perf_counter() - started)
            answer["cpu"] += sign * (cpu_seconds() - used)
            if summary.done != count or not summary.ok or summary.engine is None:
                raise SystemExit(f"only {summary.done} of {count} items: {summary.errors}")
            answer["idle"] = summary.engine.idle_share
    return answer


def in_child(kind: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", kind, "--folder", str(folder)]
    command += ["--items", str(options.items), "--batch", str(options.batch)]
    command += ["--device", options.device]
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", choices=("bare", "harness"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure = bare if options.one == "bare" else harness
        answer = measure(options.items, options.folder, options.batch, options.device)
        print(json.dumps(answer))
        return
    sys.path.insert(0, str(SUPPORT))
    from sepbench_testkit.wavs import WavKit

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        WavKit.write(folder, rate=RATE, seconds=options.seconds)
        found: dict[str, list[dict[str, float]]] = {"bare": [], "harness": []}
        for _ in range(options.rounds):
            for kind, answers in found.items():
                answers.append(in_child(kind, folder, options))
    counted = options.items - options.batch
    print(
        f"{options.items} items of {options.seconds:g} s, batch {options.batch}, {options.device}, "
        f"{os.cpu_count()} cores, medians of {options.rounds} rounds\n"
    )
    print("| | s an item | overhead | CPU s an item | overhead | device idle |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    middle = {
        kind: {key: statistics.median(a[key] for a in answers) for key in answers[0]}
        for kind, answers in found.items()
    }
    for kind, values in middle.items():
        cells = [kind]
        for key in ("wall", "cpu"):
            cells.append(f"{values[key] / counted:.3f}")
            cells.append(f"{values[key] / middle['bare'][key] - 1:+.1%}")
        print(f"| {' | '.join(cells)} | {values['idle']:.1%} |")


if __name__ == "__main__":
    main()
