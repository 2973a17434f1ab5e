"""What BSS Eval costs: ours, museval, mir_eval and fast_bss_eval on the same signals.

    python tests/bench/metrics.py [--quick] [--threads 2] [--longest 240] [--device cpu]

Prints a Markdown table: seconds of wall time (the best of three runs where one takes less than
5 s), how many times ours is faster, and the largest difference below 100 dB (SAR of sources below
80 dB). Signals are white noise with leaks and noise added: what they hold does not change the time,
except that band-limited recordings may need elimination instead of Cholesky. Permutation is off
everywhere. fast_bss_eval runs on one thread where its solver fails on more (torch with MKL).

Images are 44.1 kHz, v4, windows of 1 s; sources are 32 kHz mono. museval takes minutes on 240 s.
`--memory` adds the peak memory of this process, which holds the signals too.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from sepbench.harness.metrics import bss_eval_images, bss_eval_sources

MUSDB18_SECONDS = 12_435
"""Length of the 50 test tracks, in windows of 1 s."""


def timed(function: Callable[[], object]) -> tuple[float, object]:
    """Best wall time of up to three runs, and what the function gave."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        found = function()
        seconds.append(time.perf_counter() - started)
        if seconds[0] > 5:
            break
    return min(seconds), found


def signals(sources: int, channels: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """References and estimates (S, C, N), float64."""
    rng = np.random.default_rng(0)
    references = rng.standard_normal((sources, channels, samples))
    estimates = 0.1 * rng.standard_normal((sources, channels, samples))
    estimates += references
    estimates[1:] += 0.3 * references[:-1]
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


def row(*cells: object) -> None:
    """One line of a table, at once."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def images(lengths: list[int], shapes: list[tuple[int, int]], device: str) -> None:
    """BSS Eval v4 against museval."""
    museval = museval_alone()
    row("images, v4", "ours (s)", "museval (s)", "ratio", "largest difference (dB)")
    row("---", "---:", "---:", "---:", "---:")
    for seconds in lengths:
        for sources, channels in shapes:
            references, estimates = signals(sources, channels, seconds * 44100)
            pair = [torch.from_numpy(x).to(device) for x in (references, estimates)]
            mine, scores = timed(lambda pair=pair: bss_eval_images(*pair, sample_rate=44100))
            pair.clear()
            arguments = [np.moveaxis(x, 1, 2) for x in (references, estimates)]
            theirs, found = timed(
                lambda arguments=arguments: museval.bss_eval(
                    *arguments, window=44100, hop=44100, compute_permutation=False
                )
            )
            ours = [x.cpu().numpy() for x in (scores.sdr, scores.isr, scores.sir, scores.sar)]
            # The SIR of a lone source is the rounding between two equal projections.
            ceilings = [100.0, 100.0, 100.0 if sources > 1 else -np.inf, 100.0]
            row(
                f"{seconds} s, {sources} × {'mono' if channels == 1 else 'stereo'}",
                f"{mine:.3f}",
                f"{theirs:.3f}",
                f"{theirs / mine:.1f}",
                f"{difference(ours, list(found[:4]), ceilings):.1e}",
            )


def sources(lengths: list[int], counts: list[int], device: str) -> None:
    """BSS Eval v3 sources against mir_eval and fast_bss_eval."""
    import fast_bss_eval
    from mir_eval import separation

    row("sources, v3", "ours (s)", "mir_eval (s)", "ratio", "fast_bss_eval (s)", "ratio", "dB")
    row("---", "---:", "---:", "---:", "---:", "---:", "---:")
    for seconds in lengths:
        for count in counts:
            references, estimates = (x[:, 0] for x in signals(count, 1, seconds * 32000))
            pair = [torch.from_numpy(np.ascontiguousarray(x)) for x in (references, estimates)]
            there = [x.to(device) for x in pair]
            mine, scores = timed(lambda there=there: bss_eval_sources(*there))
            mir, found = timed(
                lambda pair=pair: separation.bss_eval_sources(
                    *(x.numpy() for x in pair), compute_permutation=False
                )
            )
            fast, note, others = fast_timed(fast_bss_eval, pair)
            ours = [x.cpu().numpy() for x in (scores.sdr, scores.sir, scores.sar)]
            ceilings = [100.0, 100.0 if count > 1 else -np.inf, 80.0]
            worst = difference(ours, list(found[:3]), ceilings)
            worst = max(worst, difference(ours, others, ceilings))
            row(
                f"{seconds} s, {count} × mono",
                f"{mine:.4f}",
                f"{mir:.3f}",
                f"{mir / mine:.1f}",
                f"{fast:.3f}{note}",
                f"{fast / mine:.1f}",
                f"{worst:.1e}",
            )


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


def main() -> None:
    """Print both tables and the estimate for MUSDB18."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1 s and 10 s alone")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--longest", type=int, default=240, help="seconds")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true", help="ours alone on the longest signal")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # mir_eval announces the end of its module

    if options.memory:
        references, estimates = signals(4, 2, options.longest * 44100)
        pair = [torch.from_numpy(x).float() for x in (references, estimates)]
        del references, estimates
        taken, _ = timed(lambda: bss_eval_images(*pair, sample_rate=44100))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{options.longest} s, 4 × stereo: {taken:.2f} s, peak memory {peak:.2f} GB")
        return

    lengths = [x for x in (1, 10, 60, 240) if x <= (10 if options.quick else options.longest)]
    counts = [1, 2] if options.quick else [1, 2, 3, 4]
    sources(lengths, counts, options.device)
    print()
    images(lengths, [(count, channels) for count in counts for channels in (1, 2)], options.device)

    if options.longest >= 240 and not options.quick:
        references, estimates = signals(4, 2, 240 * 44100)
        taken, _ = timed(lambda: bss_eval_images(references, estimates, sample_rate=44100))
        minutes = taken / 240 * MUSDB18_SECONDS / 60
        print(f"\nMUSDB18 test set, 50 tracks × 4 stems, v4: {minutes:.1f} min after decoding.")


if __name__ == "__main__":
    main()
