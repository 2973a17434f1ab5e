"""What a large grid costs on paper: operations counted, times measured here, multiplied out.

    python tests/bench/on_paper.py [--mixtures 100000] [--seconds 10] [--tflops 10]

Six models: AudioSep three times (its checkpoints share a network), LASS-Net, ST-SED's separator
twice. One target is asked for in each mixture; encoding the queries is left out (texts repeat,
examples are embedded once). Operations are counted by torch, times are the medians of three calls
with filled weights, scores those of a target and an estimate with their mixture. `--tflops` is the
rate at which a device is taken to work, an assumption; nothing here was measured on one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

from separators import load_ours, write_checkpoint  # noqa: E402
from sepbench_testkit.filled import fill_state_dict, gliding_tones  # noqa: E402

from sepbench.baselines.stsed.layout import separator_of  # noqa: E402
from sepbench.harness.metrics import bss_eval_sources, sdr, si_sdr  # noqa: E402
from sepbench.harness.stages.cost import count_flops  # noqa: E402

RATE = 32_000
SEED = 7
TIMES = 3
# Network -> how many of the six models have it.
MODELS = {"audiosep": 3, "lassnet": 1, "stsed": 2}


def main() -> None:
    """Print both tables."""
    options = parse()
    mixture = torch.from_numpy(gliding_tones(1, 1, round(options.seconds * RATE), RATE))[:, None]
    mixture = mixture.reshape(1, 1, -1)
    cores = os.cpu_count()
    print(f"{options.mixtures:,} mixtures of {options.seconds:g} s, {cores} cores.\n")
    print(
        "| network | models | TFLOP an item | s an item here | hours here "
        f"| hours of a device at {options.tflops:g} TFLOP/s |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    here = there = 0.0
    for name, models in MODELS.items():
        flops, seconds = separation(name, mixture)
        hours = models * options.mixtures * seconds / 3600
        device = models * options.mixtures * flops / (options.tflops * 1e12) / 3600
        here, there = here + hours, there + device
        print(
            f"| {name} | {models} | {flops / 1e12:.2f} | {seconds:.2f} | {hours:.0f} "
            f"| {device:.1f} |",
            flush=True,
        )
    print(f"| all | {sum(MODELS.values())} | | | {here:.0f} | {there:.1f} |\n")
    print("| scores of an item | s here | hours of one core, all models |\n| --- | ---: | ---: |")
    count = sum(MODELS.values()) * options.mixtures
    for what, seconds in scores(options.seconds).items():
        print(f"| {what} | {seconds:.3f} | {count * seconds / 3600:.0f} |", flush=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixtures", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--tflops", type=float, default=10.0)
    return parser.parse_args()


def separation(name: str, mixture: torch.Tensor) -> tuple[int, float]:
    """Operations of an item as the network is published, and seconds as it is run."""
    generator = torch.Generator().manual_seed(SEED)
    if name == "stsed":
        state = fill_state_dict(GOLDEN / "stsed" / "separator_state_dict.json", SEED)
        network = separator_of(state, "filled weights")
        condition = torch.randn(1, 2048, generator=generator)
        with torch.inference_mode(), count_flops() as counted:
            network(mixture[:, 0], condition)
        network.prepare()
        return counted.flops, seconds_of(lambda: network(mixture[:, 0], condition))
    with TemporaryDirectory() as folder:
        model: Any = load_ours(name, write_checkpoint(name, Path(folder)))
    size = 512 if name == "audiosep" else additions_of(model)
    condition = torch.randn(1, size, generator=generator)
    with count_flops() as counted:
        model.separate(mixture, condition)
    return counted.flops, seconds_of(lambda: model.separate(mixture, condition))


def additions_of(model: Any) -> int:
    """Length of what a text makes of LASS-Net's conditions."""
    network = model._network
    embedding = torch.zeros(1, network.config.condition)
    return int(network.additions(embedding).shape[1])


def scores(seconds: float) -> dict[str, float]:
    """Seconds of one core for the scores of an item, by what is asked for."""
    torch.set_num_threads(1)
    length = round(seconds * RATE)
    generator = torch.Generator().manual_seed(SEED)
    sources = torch.randn(2, length, generator=generator).numpy()
    estimates = sources + 0.1 * sources[::-1]
    target, estimate = sources[:1], estimates[:1]
    return {
        "sdr, si_sdr": seconds_of(lambda: (sdr(target, estimate), si_sdr(target, estimate))),
        "bss_sdr, bss_sir, bss_sar": seconds_of(lambda: bss_eval_sources(sources, estimates)),
    }


def seconds_of(work: Callable[[], object]) -> float:
    """Median of some calls, after one that is not counted."""
    taken = []
    with torch.inference_mode():
        for _ in range(TIMES + 1):
            begun = time.perf_counter()
            work()
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()
