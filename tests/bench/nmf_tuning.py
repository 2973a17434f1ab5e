"""What each setting of the `nmf` baseline is worth on ESC-10 mixtures, as a Markdown table.

    python tests/bench/nmf_tuning.py --esc10 DIR [--mixtures 60] [--shots 1,3]

DIR holds ESC-10 clips and a meta.csv with filename, fold, category and src_file. Only folds 1-3
are touched: the built-in demo is made of folds 4 and 5. A mixture is 4 s of two classes at -5 to
5 dB; query examples come from other recordings than the mixture. Plain SDR counts a mere gain:
half the mixture scores about 3 dB better than the mixture, which is why that row is there, and
why SI-SDRi stands beside.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sepbench.baselines.nmf import QueryNmf
from sepbench.harness.api import Example, Query
from sepbench.harness.audio import read_audio
from sepbench.harness.mixing import pad_to_length, scale_to_snr

RATE = QueryNmf.card.sample_rate or 0
LENGTH = 4 * RATE
MAX_SHOTS = 3
VARIANTS: tuple[dict[str, float], ...] = (
    {},
    {"rank": 2},
    {"rank": 16},
    {"components": 8},
    {"components": 32},
    {"bands": 20},
    {"bands": 64},
    {"context": 1},
    {"context": 3, "stride": 4},
    {"context": 6},
    {"iterations": 30},
    {"iterations": 150},
    {"softness": 0.05},
    {"softness": 0.2},
    {"burst_weight": 0.0},
    {"burst_weight": 1.0},
    {"exponent": 0.7},
    {"exponent": 1.5},
    {"n_fft": 1024, "hop": 512},
    {"seed": 1},
)


class Item(NamedTuple):
    """One target of one mixture, each (1, N), with the examples to ask for it."""

    target: torch.Tensor
    mixture: torch.Tensor
    examples: tuple[Example, ...]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--esc10", type=Path, required=True)
    parser.add_argument("--mixtures", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shots", default="1,3")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--defaults-only", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shots = [int(part) for part in options.shots.split(",")]
    items = draw_items(options.esc10, options.mixtures, options.seed)

    print("| settings | shots | SDRi (dB) | 95 % ± | median | worse | SI-SDRi | s/item |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    half = [improvements(item, 0.5 * item.mixture) for item in items]
    print_row("(half the mixture)", 0, np.array(half), 0.0)
    for settings in VARIANTS[: 1 if options.defaults_only else None]:
        for count in shots:
            model = QueryNmf(**settings)  # type: ignore[arg-type]  # whole numbers stay whole
            began = time.perf_counter()
            values = [improvements(item, ask(model, item, count)) for item in items]
            spent = (time.perf_counter() - began) / len(items)
            words = ", ".join(f"{key}={value}" for key, value in settings.items())
            print_row(words or "defaults", count, np.array(values), spent)


def draw_items(root: Path, count: int, seed: int) -> list[Item]:
    """Both targets of `count` mixtures."""
    with (root / "meta.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["fold"]) <= 3]
    classes = sorted({row["category"] for row in rows})
    draw = np.random.default_rng(seed)
    items: list[Item] = []
    while len(items) < 2 * count:
        pair = [str(name) for name in draw.choice(classes, 2, replace=False)]
        chosen = [pick(draw, rows, name, set(), 1)[0] for name in pair]
        first, second = (pad_to_length(load(root, row), LENGTH) for row in chosen)
        snr = float(draw.uniform(-5, 5))
        if min(np.square(first).mean(), np.square(second).mean()) < 1e-7:
            continue
        second = scale_to_snr(first, second, snr)
        used = {row["src_file"] for row in chosen}
        for target, name in zip((first, second), pair, strict=True):
            examples = tuple(
                Example(
                    clip_id=row["filename"],
                    waveform=torch.from_numpy(load(root, row)),
                    sample_rate=RATE,
                )
                for row in pick(draw, rows, name, used, MAX_SHOTS)
            )
            items.append(Item(torch.from_numpy(target), torch.from_numpy(first + second), examples))
    return items


def pick(
    draw: np.random.Generator, rows: list[dict[str, str]], name: str, used: set[str], count: int
) -> list[dict[str, str]]:
    """Clips of one class from `count` different recordings outside `used`."""
    clips = [row for row in rows if row["category"] == name and row["src_file"] not in used]
    origins = sorted({row["src_file"] for row in clips})
    taken = [str(origin) for origin in draw.choice(origins, count, replace=False)]
    pools = [[row for row in clips if row["src_file"] == origin] for origin in taken]
    return [pool[int(draw.integers(len(pool)))] for pool in pools]


def load(root: Path, row: dict[str, str]) -> np.ndarray:
    """(1, N) float32 at the model's rate."""
    return read_audio(root / row["filename"], sample_rate=RATE, mono=True).samples


def ask(model: QueryNmf, item: Item, shots: int) -> torch.Tensor:
    """The estimate of one item, (1, N)."""
    condition = model.condition([Query(examples=item.examples[:shots])])[0]
    return model.separate(item.mixture[None], condition[None])[0]


def improvements(item: Item, estimate: torch.Tensor) -> tuple[float, float]:
    """SDRi and SI-SDRi in dB."""
    plain = ratio(item.target, estimate) - ratio(item.target, item.mixture)
    free = scale_free(item.target, estimate) - scale_free(item.target, item.mixture)
    return plain, free


def ratio(reference: torch.Tensor, estimate: torch.Tensor) -> float:
    """10·log10 of Σ s² / Σ (s − ŝ)²."""
    error = (reference - estimate).double().square().sum()
    return float(10 * torch.log10(reference.double().square().sum() / error))


def scale_free(reference: torch.Tensor, estimate: torch.Tensor) -> float:
    """SI-SDR without mean removal."""
    gain = (reference * estimate).sum() / reference.square().sum()
    return ratio(gain * reference, estimate)


def print_row(words: str, shots: int, values: np.ndarray, seconds: float) -> None:
    """One line of the table; `worse` is the share of items below the mixture."""
    plain, free = values[:, 0], values[:, 1]
    # Both targets of a mixture count as one observation: they are not independent.
    means = plain.reshape(-1, 2).mean(1)
    margin = 1.96 * means.std(ddof=1) / len(means) ** 0.5
    print(
        f"| {words} | {shots or '-'} | {plain.mean():.2f} | {margin:.2f} | {np.median(plain):.2f} "
        f"| {(plain < 0).mean():.0%} | {free.mean():.2f} | {seconds:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
