"""What BSS Eval costs: ours, museval, mir_eval and fast_bss_eval on the same signals.

    python tests/bench/metrics.py [--quick] [--threads 2] [--longest 240] [--peers-up-to 60]

Prints Markdown tables: seconds of wall time (the best of three runs where one takes less than
5 s), how many times ours is faster on CPU, and the largest difference below 100 dB (SAR of sources
below 80 dB); where there is CUDA, our time on it too. Then the peak memory of our scorer, and how
long the test set of MUSDB18 takes. Signals are white noise with leaks and noise added: what they
hold does not change the time, except that band-limited recordings may need elimination instead of
Cholesky. Permutation is off everywhere. fast_bss_eval runs on one thread where its solver fails on
more (torch with MKL).

Images are 44.1 kHz, v4, windows of 1 s; sources are 32 kHz mono. Peers score signals of up to
`--peers-up-to` seconds, and museval the longest of 4 stereo sources, which takes it minutes.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from sepbench.harness.metrics import bss_eval_images, bss_eval_sources
from sepbench.harness.stages.device import peak_resident

MUSDB18_SECONDS = 12_435
"""Length of the 50 test tracks, in windows of 1 s."""

STEMS = (4, 2)
"""Sources and channels of a MUSDB18 track."""


def timed(function: Callable[[], object]) -> tuple[float, object]:
    """Best wall time of up to three runs, and what the function gave."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        found = function()
        seconds.append(time.perf_counter() - started)
        if seconds[0] > 20:
            break
    return min(seconds), found


def signals(
    sources: int, channels: int, samples: int, dtype: type[np.floating] = np.float64
) -> tuple[np.ndarray, np.ndarray]:
    """References and estimates (S, C, N)."""
    rng = np.random.default_rng(0)
    references = rng.standard_normal((sources, channels, samples), dtype=dtype)
    estimates = rng.standard_normal((sources, channels, samples), dtype=dtype)
    estimates *= 0.1
    estimates += references
    for index in range(1, sources):
        estimates[index] += 0.3 * references[index - 1]
    return references, estimates


def difference(ours: list[np.ndarray], theirs: list[np.ndarray], ceilings: list[float]) -> float:
    """Largest difference of values below a ceiling; infinite where the NaN patterns differ."""
    largest = 0.0
    for mine, other, ceiling in zip(ours, theirs, ceilings, strict=True):
        if not np.array_equal(np.isnan(mine), np.isnan(other)):
            return float("inf")
        compared = other < ceiling
        largest = max(largest, float(np.abs(mine - other)[compared].max(initial=0.0)))
    return largest


def museval_alone() -> ModuleType:
    """Museval's metrics without its package, which needs ffmpeg to be imported."""
    package = importlib.util.find_spec("museval")
    if package is None or package.origin is None:
        raise SystemExit("museval is not installed: pip install 'sepbench[museval]'")
    path = Path(package.origin).with_name("metrics.py")
    spec = importlib.util.spec_from_file_location("museval_metrics_alone", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(*header: str) -> None:
    """The head of a table: words to the left, numbers to the right."""
    row(*header)
    row("---", *["---:"] * (len(header) - 1))


def row(*cells: str) -> None:
    """One line of a table, at once."""
    print("| " + " | ".join(cells) + " |", flush=True)


def on_cuda(function: Callable[..., object], pair: list[torch.Tensor]) -> list[str]:
    """The cell of our time on CUDA, or no cell where there is none."""
    if not torch.cuda.is_available():
        return []
    there = [x.cuda() for x in pair]
    return [f"{timed(lambda: function(*there))[0]:.4f}"]


def cuda_header() -> list[str]:
    """The head of that cell."""
    return ["ours, CUDA (s)"] if torch.cuda.is_available() else []


def images(lengths: list[int], shapes: list[tuple[int, int]], peers_up_to: int) -> float:
    """BSS Eval v4 against museval; our seconds for the last row."""
    museval = museval_alone()

    def ours(*pair: torch.Tensor) -> object:
        return bss_eval_images(*pair, sample_rate=44100)

    table("images, v4", "ours (s)", *cuda_header(), "museval (s)", "ratio", "difference (dB)")
    for seconds in lengths:
        for sources, channels in shapes:
            references, estimates = signals(sources, channels, seconds * 44100)
            pair = [torch.from_numpy(x) for x in (references, estimates)]
            mine, scores = timed(lambda pair=pair: ours(*pair))
            cells = ["–"] * 3
            if seconds <= peers_up_to or (sources, channels) == STEMS:
                arguments = [np.moveaxis(x, 1, 2) for x in (references, estimates)]
                theirs, found = timed(
                    lambda arguments=arguments: museval.bss_eval(
                        *arguments, window=44100, hop=44100, compute_permutation=False
                    )
                )
                values = [x.numpy() for x in (scores.sdr, scores.isr, scores.sir, scores.sar)]
                # The SIR of a lone source is the rounding between two equal projections.
                ceilings = [100.0, 100.0, 100.0 if sources > 1 else -np.inf, 100.0]
                worst = difference(values, list(found[:4]), ceilings)
                cells = [f"{theirs:.3f}", f"{theirs / mine:.1f}", f"{worst:.1e}"]
            name = f"{seconds} s, {sources} × {'mono' if channels == 1 else 'stereo'}"
            row(name, f"{mine:.3f}", *on_cuda(ours, pair), *cells)
    return mine


def sources(lengths: list[int], counts: list[int], peers_up_to: int) -> None:
    """BSS Eval v3 sources against mir_eval and fast_bss_eval."""
    import fast_bss_eval
    from mir_eval import separation

    peers = ["mir_eval (s)", "ratio", "fast_bss_eval (s)", "ratio", "difference (dB)"]
    table("sources, v3", "ours (s)", *cuda_header(), *peers)
    for seconds in lengths:
        for count in counts:
            references, estimates = (x[:, 0] for x in signals(count, 1, seconds * 32000))
            pair = [torch.from_numpy(x) for x in (references, estimates)]
            mine, scores = timed(lambda pair=pair: bss_eval_sources(*pair))
            cells = ["–"] * 5
            if seconds <= peers_up_to:
                mir, found = timed(
                    lambda references=references, estimates=estimates: separation.bss_eval_sources(
                        references, estimates, compute_permutation=False
                    )
                )
                fast, note, others = fast_timed(fast_bss_eval, pair)
                values = [x.numpy() for x in (scores.sdr, scores.sir, scores.sar)]
                ceilings = [100.0, 100.0 if count > 1 else -np.inf, 80.0]
                worst = max(
                    difference(values, list(found[:3]), ceilings),
                    difference(values, others, ceilings),
                )
                cells = [f"{mir:.3f}", f"{mir / mine:.1f}"]
                cells += [f"{fast:.3f}{note}", f"{fast / mine:.1f}", f"{worst:.1e}"]
            name = f"{seconds} s, {count} × mono"
            row(name, f"{mine:.4f}", *on_cuda(bss_eval_sources, pair), *cells)


def fast_timed(package: ModuleType, pair: list[torch.Tensor]) -> tuple[float, str, list]:
    """Time of fast_bss_eval, a note where it needed one thread, and its values."""

    def run() -> object:
        return package.bss_eval_sources(*pair, compute_permutation=False, use_cg_iter=None)

    threads, note = torch.get_num_threads(), ""
    try:
        seconds, found = timed(run)
    except RuntimeError:
        torch.set_num_threads(1)
        note = " (1 thread)"
        seconds, found = timed(run)
    torch.set_num_threads(threads)
    return seconds, note, [x.numpy() for x in found[:3]]


def memory(seconds: int) -> None:
    """Peak memory of our scorer on float32 stems, in this process and beyond what it held."""
    references, estimates = signals(*STEMS, seconds * 44100, dtype=np.float32)
    before = peak_resident()
    bss_eval_images(references, estimates, sample_rate=44100)
    peak = peak_resident()
    print(
        f"{seconds} s, 4 × stereo, v4: peak memory {peak / 2**30:.2f} GB on CPU, of which "
        f"{(peak - before) / 2**30:.2f} GB for scoring, the rest for signals and libraries."
    )


def main() -> None:
    """Print both tables, the peak memory and the estimate for MUSDB18."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1 s and 10 s, 1 and 2 sources")
    parser.add_argument("--targets", action="store_true", help="the README's rows alone")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--longest", type=int, default=240, help="seconds")
    parser.add_argument("--peers-up-to", type=int, default=60, help="seconds")
    parser.add_argument("--memory", action="store_true", help="peak memory on the longest alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # mir_eval announces the end of its module
    if options.memory:
        memory(options.longest)
        return

    longest = min(10, options.longest) if options.quick else options.longest
    lengths = [x for x in (1, 10, 60, 240) if x <= longest]
    counts = [1, 2] if options.quick else [1, 2, 3, 4]
    shapes = [(count, channels) for count in counts for channels in (1, 2)]
    if options.targets:
        sources([10], [2], options.peers_up_to)
        lengths, shapes = [60, 240], [STEMS]
    else:
        sources(lengths, counts, options.peers_up_to)
    print()
    taken = images(lengths, shapes, options.peers_up_to)
    if options.quick:
        return

    print(flush=True)  # a process of its own: what peers took would count as well
    again = [sys.executable, __file__, "--memory", "--longest", str(lengths[-1])]
    subprocess.run([*again, "--threads", str(options.threads)], check=True)
    minutes = taken / lengths[-1] * MUSDB18_SECONDS / 60
    print(
        f"\nMUSDB18 test set, 50 tracks × 4 stems, v4, {options.threads} threads: "
        f"{minutes:.1f} min after decoding."
    )


if __name__ == "__main__":
    main()
