"""What the learned separators cost here, beside stand-ins for their published evaluation loops.

    python tests/bench/separators.py [--seconds 5 10] [--items 4] [--threads 2] [--compile]

An item is a text, a mixture and its scores (SDR and SI-SDR of mixture and estimate). The stand-ins
(`original_separators.py`) run the same networks with the same filled weights. Ours and theirs take
turns, round by round, in one process; times are the medians of the rounds. Peak memory is measured
in processes of their own. The output is a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

from original_separators import OriginalAudioSep, OriginalLassNet  # noqa: E402
from sepbench_testkit.filled import fill_state_dict, gliding_tones  # noqa: E402

from sepbench.baselines.audiosep.adapter import AudioSepClap  # noqa: E402
from sepbench.baselines.audiosep.layout import build_network  # noqa: E402
from sepbench.baselines.checkpoints import read_checkpoint, strip_prefix  # noqa: E402
from sepbench.baselines.lassnet.adapter import LassNet  # noqa: E402
from sepbench.baselines.lassnet.network import LassNetwork  # noqa: E402
from sepbench.harness.metrics import audiosep_si_sdr, sdr  # noqa: E402
from sepbench.harness.stages.device import peak_resident  # noqa: E402

RATE = 32_000
TOKENS = 14  # of a caption
ROUNDS = 3
SYSTEMS = ("audiosep", "lassnet")
SEED = 1


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(json.dumps(peak_of(options)))
        return
    with TemporaryDirectory() as folder:
        files = {system: write_checkpoint(system, Path(folder)) for system in options.systems}
        print(f"{options.threads} threads, torch {torch.__version__}, medians of {ROUNDS} rounds\n")
        print(
            "| system | item | variant | text s | separation s | scores s | item s | "
            "real-time factor | times faster | largest difference |"
        )
        print("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for system in options.systems:
            for seconds in options.seconds:
                rows(system, files[system], seconds, options)
        if options.quick:
            return
        print("\n| system | item | variant | peak memory |\n| --- | ---: | --- | ---: |")
        seconds = max(options.seconds)
        for system in options.systems:
            for variant in ("original", "ours, batch 1", "ours, batch 4"):
                peak = in_a_process(files[system], system, variant, seconds, options.threads)
                print(f"| {system} | {seconds:g} s | {variant} | {peak:,.0f} MB |")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, nargs="+", default=[5.0, 10.0])
    parser.add_argument("--items", type=int, default=4, help="in a round of ours")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--compile", action="store_true", help="also compiled; takes minutes")
    parser.add_argument("--quick", action="store_true", help="times only, no peak memory")
    parser.add_argument("--memory-of", default="", help=argparse.SUPPRESS)
    parser.add_argument("--checkpoint", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


# --- systems ------------------------------------------------------------------------------------


def write_checkpoint(system: str, folder: Path) -> Path:
    """A checkpoint in the official form with filled weights."""
    path = folder / f"{system}.ckpt"
    if system == "lassnet":
        state = fill_state_dict(GOLDEN / "lassnet" / "state_dict.json", SEED)
        torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, path)
        return path
    separator = fill_state_dict(GOLDEN / "audiosep" / "state_dict.json", SEED)
    clap = fill_state_dict(GOLDEN / "clap" / "clap_state_dict.json", SEED)
    state = {f"ss_model.{name}": value for name, value in separator.items()}
    state |= {f"query_encoder.model.{name}": value for name, value in clap.items()}
    torch.save({"state_dict": state}, path)
    return path


def load_ours(system: str, checkpoint: Path) -> Any:
    made = AudioSepClap if system == "audiosep" else LassNet
    model = made(checkpoint=str(checkpoint))
    model.load("cpu")
    return model


def load_original(system: str, checkpoint: Path, ours: Any) -> OriginalAudioSep | OriginalLassNet:
    """The same weights in the networks as they are trained."""
    found = read_checkpoint(checkpoint)
    if system == "audiosep":
        state = strip_prefix(found["state_dict"], "ss_model.")
        network = build_network(state, what="the filled weights")
        return OriginalAudioSep(network.eval(), ours.text_encoder).eval()
    lass = LassNetwork()
    # The constructor's own buffers stay.
    lass.load_state_dict(strip_prefix(found["model"], "module."), strict=False)
    return OriginalLassNet(lass.eval()).eval()


def item_of(number: int, seconds: float) -> tuple[Tensor, Tensor]:
    """Token ids (1, L) of a made-up caption and a mixture (1, N)."""
    ids = torch.randint(200, 20_000, (1, TOKENS), generator=torch.Generator().manual_seed(number))
    samples = round(seconds * RATE) // 512 * 512  # where the original keeps the length
    return ids, torch.from_numpy(gliding_tones(number, 1, samples, RATE))


def scores_of(mixture: Tensor, estimate: Tensor) -> None:
    """What the published loops compute for an item; the target is half the mixture."""
    reference = (0.5 * mixture).numpy()
    for answer in (mixture.numpy(), estimate.numpy()):
        sdr(reference, answer)
        audiosep_si_sdr(reference, answer)


# --- measuring ----------------------------------------------------------------------------------

Times = tuple[float, float, float]  # text, separation, scores; seconds an item


def run_original(original: Any, seconds: float, numbers: range) -> tuple[Times, list[Tensor]]:
    text = separation = scoring = 0.0
    estimates = []
    for number in numbers:
        ids, mixture = item_of(number, seconds)
        start = time.perf_counter()
        condition = original.condition(ids)
        text += (now := time.perf_counter()) - start
        estimates.append(original.separate(mixture, condition))
        separation += (then := time.perf_counter()) - now
        scores_of(mixture, estimates[-1])
        scoring += time.perf_counter() - then
    count = len(numbers)
    return (text / count, separation / count, scoring / count), estimates


def run_ours(model: Any, seconds: float, numbers: range, batch: int) -> tuple[Times, list[Tensor]]:
    items = [item_of(number, seconds) for number in numbers]
    start = time.perf_counter()
    ids = torch.cat([ids for ids, _ in items])
    conditions = model.text_encoder.encode_tokens(ids, torch.ones_like(ids))
    if isinstance(model, LassNet):
        conditions = model._loaded().additions(conditions)
    text = (now := time.perf_counter()) - start
    estimates: list[Tensor] = []
    for first in range(0, len(items), batch):
        part = slice(first, first + batch)
        mixtures = torch.stack([mixture for _, mixture in items[part]])  # (B, 1, N)
        estimates += model.separate(mixtures, conditions[part]).unbind(0)
    separation = (then := time.perf_counter()) - now
    for (_, mixture), estimate in zip(items, estimates, strict=True):
        scores_of(mixture, estimate)
    scoring = time.perf_counter() - then
    count = len(numbers)
    return (text / count, separation / count, scoring / count), estimates


def rows(system: str, checkpoint: Path, seconds: float, options: argparse.Namespace) -> None:
    ours = load_ours(system, checkpoint)
    original = load_original(system, checkpoint, ours)
    runs: dict[str, Callable[[range], tuple[Times, list[Tensor]]]] = {
        "original": lambda numbers: run_original(original, seconds, numbers[:2]),
        "ours, batch 1": lambda numbers: run_ours(ours, seconds, numbers, 1),
        "ours, batch 4": lambda numbers: run_ours(ours, seconds, numbers, 4),
    }
    if options.compile:
        compiled = load_ours(system, checkpoint)
        compiled.compile_network()
        runs["compiled, batch 1"] = lambda numbers: run_ours(compiled, seconds, numbers, 1)
        runs["compiled, batch 4"] = lambda numbers: run_ours(compiled, seconds, numbers, 4)
    numbers = range(options.items)
    with torch.inference_mode():
        estimates = {name: run(numbers)[1] for name, run in runs.items()}  # and warm up
        times: dict[str, list[Times]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                times[name].append(run(numbers)[0])
    medians = {
        name: [statistics.median(column) for column in zip(*found, strict=True)]
        for name, found in times.items()
    }
    for name, (text, separation, scoring) in medians.items():
        total = text + separation + scoring
        faster = sum(medians["original"]) / total
        pairs = zip(estimates["original"], estimates[name], strict=False)
        worst = max(float((a - b.reshape(a.shape)).abs().max()) for a, b in pairs)
        print(
            f"| {system} | {seconds:g} s | {name} | {text:.3f} | {separation:.3f} | {scoring:.3f} "
            f"| {total:.3f} | {separation / seconds:.3f} | {faster:.2f} | {worst:.1e} |",
            flush=True,
        )


def in_a_process(
    checkpoint: Path, system: str, variant: str, seconds: float, threads: int
) -> float:
    """Peak resident size in MB of one variant on its own, its weights included."""
    command = [sys.executable, __file__, "--systems", system, "--memory-of", variant]
    command += ["--seconds", str(seconds), "--threads", str(threads)]
    command += ["--checkpoint", str(checkpoint)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(answer.stdout.splitlines()[-1]))


def peak_of(options: argparse.Namespace) -> float:
    (system,), (seconds,), variant = options.systems, options.seconds, options.memory_of
    ours = load_ours(system, options.checkpoint)
    with torch.inference_mode():
        if variant == "original":
            run_original(load_original(system, options.checkpoint, ours), seconds, range(1))
        else:
            batch = int(variant.rpartition(" ")[2])
            run_ours(ours, seconds, range(batch), batch)
    return peak_resident() / 1e6


if __name__ == "__main__":
    main()
