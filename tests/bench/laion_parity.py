"""How far our CLAP and LAION's own package are apart on the same weights.

    python tests/bench/laion_parity.py [--checkpoint FILE] [--rows 3] [--clips 3] [--device cpu]

Prints a Markdown table: the largest difference between two embeddings of length 1, the smallest
distance between two inputs (what a difference has to be small against), and seconds per call.
Without a checkpoint, a full-size one is filled and written in LAION's form, then read by both.
In an environment without laion-clap, only our rows are printed, against the stored numbers of
the original. One environment that has it:

    python -m venv laion && laion/bin/pip install laion-clap 'numpy<2' torch torchaudio \
        torchvision transformers safetensors
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = TESTS / "golden" / "clap"
sys.path.insert(0, str(TESTS / "support"))

from sepbench_testkit.filled import fill_state_dict, gliding_tones  # noqa: E402

from sepbench.baselines.encoders.clap import ClapAudio, ClapText  # noqa: E402
from sepbench.baselines.encoders.laion import LaionClapAudio, LaionClapText  # noqa: E402

LENGTHS = (102_401, 160_000, 320_000, 500_000)
"""Samples at 32 kHz: repeated and padded, repeated, whole, cut."""


def write_filled(folder: Path) -> Path:
    """A full-size checkpoint in the form of LAION's published file."""
    state = fill_state_dict(GOLDEN / "clap_state_dict.json", 1)
    path = folder / "filled.pt"
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": 15, "accuracy": np.float64(0.9), "state_dict": parallel}, path)
    return path


def made_up_tokens(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, rows of growing length, padded to 77."""
    draw = torch.Generator().manual_seed(0)
    lengths = [min(77, 4 + 9 * row) for row in range(rows)]
    ids = torch.ones(rows, 77, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(4, 50_264, (length,), generator=draw)
        ids[row, 0], ids[row, length - 1] = 0, 2
    return ids, (torch.arange(77) < torch.tensor(lengths)[:, None]).long()


def timed(encode: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    """What the second call gives, and its seconds; the first warms up."""
    encode()
    started = time.perf_counter()
    found = encode().cpu()
    return found, time.perf_counter() - started


def spread(embeddings: torch.Tensor) -> float:
    """Smallest of the largest differences between two rows."""
    apart = (embeddings[:, None] - embeddings[None]).abs().amax(-1)
    return float(apart[~torch.eye(len(apart), dtype=torch.bool)].min())


def report(what: str, ours: torch.Tensor, theirs: torch.Tensor, seconds: list[float]) -> None:
    difference = float((ours - theirs).abs().max())
    taken = " | ".join(f"{each:.2f}" for each in seconds) + " | –" * (2 - len(seconds))
    print(f"| {what} | {difference:.1e} | {spread(ours):.1e} | {taken} |")


def against_the_stored_numbers(text: ClapText, audio: ClapAudio) -> None:
    with np.load(GOLDEN / "clap_golden.npz") as arrays:
        golden = {name: torch.from_numpy(arrays[name]) for name in arrays}
    ids, mask = golden["text_input_ids"], golden["text_attention_mask"]
    found, seconds = timed(lambda: text.encode_tokens(ids, mask))
    report("texts, stored", found, golden["text_embedding"], [seconds])
    clips = [torch.from_numpy(gliding_tones(s, 1, 480_000, 48_000)[0]) for s in (31, 32)]
    found, seconds = timed(lambda: audio.encode_audio(clips))
    report("sounds, stored", found, golden["audio_embedding"], [seconds])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    package = importlib.util.find_spec("laion_clap") is not None
    with tempfile.TemporaryDirectory() as folder:
        path = str(options.checkpoint or write_filled(Path(folder)))
        text, audio = ClapText(checkpoint=path), ClapAudio(checkpoint=path)
        their_text, their_audio = LaionClapText(checkpoint=path), LaionClapAudio(checkpoint=path)
        for encoder in (text, audio, *((their_text, their_audio) if package else ())):
            encoder.load(options.device)
    print("| what | largest difference | rows apart | ours, s | laion-clap, s |")
    print("| --- | --- | --- | --- | --- |")
    if not options.checkpoint:
        against_the_stored_numbers(text, audio)
    if not package:
        print("laion-clap is not installed here: nothing to compare with", file=sys.stderr)
        return
    tokens = made_up_tokens(max(2, options.rows))
    ours, seconds = timed(lambda: text.encode_tokens(*tokens))
    theirs, their_seconds = timed(lambda: their_text.encode_tokens(*tokens))
    report("texts", ours, theirs, [seconds, their_seconds])
    clips = [
        torch.from_numpy(gliding_tones(40 + i, 1, LENGTHS[i % len(LENGTHS)], 32_000)[0])
        for i in range(max(2, options.clips))
    ]
    ours, seconds = timed(lambda: audio.encode_audio(clips, sample_rate=32_000))
    theirs, their_seconds = timed(lambda: their_audio.encode_audio(clips, sample_rate=32_000))
    report("sounds", ours, theirs, [seconds, their_seconds])


if __name__ == "__main__":
    main()
