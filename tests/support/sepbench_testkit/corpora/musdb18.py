"""A tiny MUSDB18: songs of a second, as STEMS files or HQ folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 44100
SOURCES = ("mixture", "drums", "bass", "other", "vocals")
# Blanks, apostrophes, ampersands, " - " more than once, not ASCII.
NAMES = ("Al James - Schoolboy Facination", "Zeno - #1", "Ün & Dos - It's - Over")


def song(seconds: float = 1.0, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Sources (2, N) float32; the mixture is the sum of the stems."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    stems = {}
    for number, name in enumerate(SOURCES[1:], 1):
        tone = np.sin(2 * np.pi * 110 * number * times * (1 + 0.1 * rng.random()))
        noise = 0.1 * rng.standard_normal((2, len(times)))
        stems[name] = (0.1 * (tone + noise)).astype(np.float32)
    return {"mixture": np.sum(list(stems.values()), axis=0), **stems}


def write_hq(root: Path, split: str, names: Sequence[str] = NAMES) -> Path:
    """`root/split/NAME/{mixture,drums,…}.wav`, 16 bit."""
    for seed, name in enumerate(names):
        folder = root / split / name
        folder.mkdir(parents=True)
        for source, samples in song(seed=seed).items():
            soundfile.write(folder / f"{source}.wav", samples.T, RATE, subtype="PCM_16")
    return root


def write_stems(
    root: Path, split: str, names: Sequence[str] = NAMES, *, seconds: float = 1.0
) -> Path:
    """`root/split/NAME.stem.mp4`: five AAC streams."""
    (root / split).mkdir(parents=True)
    for seed, name in enumerate(names):
        write_stem_file(root / split / f"{name}.stem.mp4", song(seconds, seed))
    return root


def write_stem_file(path: Path, sources: dict[str, np.ndarray[Any, Any]]) -> None:
    """One container with a stream a source, in the order given."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        streams = [
            container.add_stream("aac", rate=RATE, layout="stereo", bit_rate=256_000)
            for _ in sources
        ]
        for stream, samples in zip(streams, sources.values(), strict=True):
            for start in range(0, samples.shape[1], 1024):
                block = np.ascontiguousarray(samples[:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = RATE, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
