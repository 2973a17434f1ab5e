"""Clips of three classes, made once: tones, noises and clicks, each from recordings of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sepbench.harness.api import Clip
from sepbench.harness.audio import write_wav

RATE = 8000
CLASSES = ("click", "noise", "tone")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """24 clips of 1.5 s, eight of each class, in folds 1 to 4; the first half second is silent."""
    folder = tmp_path_factory.mktemp("clips")
    return [_clip(folder, name, number) for number in range(8) for name in CLASSES]


def _clip(folder: Path, name: str, number: int) -> Clip:
    generator = np.random.default_rng([CLASSES.index(name), number])
    time = np.arange(RATE) / RATE
    sounds = {
        "tone": np.sin(2 * np.pi * (300 + 200 * number) * time),
        "noise": generator.standard_normal(RATE),
        "click": (np.arange(RATE) % (400 + 50 * number) == 0).astype(float),
    }
    samples = np.concatenate([np.zeros(RATE // 2), 0.3 * sounds[name]]).astype(np.float32)
    path = folder / f"{name}-{number}.wav"
    write_wav(path, samples[None], RATE)
    return Clip(
        clip_id=f"{name}-{number}",
        path=path,
        labels=(name,),
        fold=str(1 + number % 4),
        origin=f"{name}-{number}",
    )
