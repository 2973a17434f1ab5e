"""A tiny evaluation split of AudioSet: clips of 3 s that are loud for 2 s of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

from sepbench.datasets.audioset import class_names

RATE = 16_000
SECONDS = 3
# Clip -> numbers of its classes: four of the ten held-out ones (4, 15, 63, 81), and two others.
CLIPS: Mapping[str, tuple[int, ...]] = {
    "-a_speaks123": (0, 4),
    "bWhispers_45": (15,),
    "cApplause-67": (63, 0),
    "d_cat_____89": (81,),
    "eDogs_bark10": (74,),
}


def write_audioset_eval(root: Path, *, without: tuple[str, ...] = (), copies: int = 1) -> Path:
    """eval_segments.csv and the clips, named as AudioSet's users name them.

    Args:
        root: made where it is not there.
        without: clips that are listed and not on disk, as many of YouTube's are.
        copies: how often the rows come, for a longer table.
    """
    ids = list(class_names())
    lines = [
        "# Segments csv created Sun Mar  5 10:54:25 2017",
        "# num_ytids=5, num_segs=5, num_unique_labels=6, num_positive_labels=7",
        "# YTID, start_seconds, end_seconds, positive_labels",
    ]
    for copy in range(copies):
        for clip, numbers in CLIPS.items():
            classes = ",".join(ids[number] for number in numbers)
            lines.append(f'{clip + "x" * copy}, 30.000, 40.000, "{classes}"')
    (root / "eval").mkdir(parents=True, exist_ok=True)
    (root / "eval_segments.csv").write_text("\n".join(lines) + "\n", "utf-8")
    for number, clip in enumerate(CLIPS):
        if clip not in without:
            soundfile.write(root / "eval" / f"Y{clip}.wav", clip_samples(number), RATE, "FLOAT")
    return root


def clip_samples(number: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Noise of a level of its own, from 0.5 s to 2.5 s a hundred times louder."""
    rng = np.random.default_rng(number)
    samples = 1e-3 * (number + 1) * rng.standard_normal(SECONDS * RATE)
    samples[RATE // 2 : RATE // 2 + 2 * RATE] *= 100
    return samples
