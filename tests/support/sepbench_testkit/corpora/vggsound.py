"""CLIPSep's test on a tiny VGGSound: a list of two hand-checked clips, five others, their audio."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile

RATE = 22050
# Ids that begin with "-" or hold "_"; a label with a comma; a start beyond six digits' zeros.
GOOD = (("-Ab_cdefghi_000030", "waterfall, burbling"), ("b__ddddddd1_000101", "dog barking"))
# Id, start, label, split. The second has a target's video, the third its label.
TABLE = (
    ("-Ab_cdefghi", "30", "waterfall, burbling", "test"),
    ("-Ab_cdefghi", "90", "cat meowing", "test"),
    ("c+c-ccccccc", "7", "dog barking", "test"),
    ("ddddddddddd", "12", "people marching", "test"),
    ("eeeeeeeeeee", "5", "train horning", "train"),
    ("fffffffffff", "1", "waterfall, burbling", "test"),
)


def write_clipsep(root: Path, *, seconds: float = 5.0) -> Path:
    """`test-good.csv`, `vggsound.csv` and the test clips, stereo, in `test`."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "test-good.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [
            (f"./audio/{name}.mp3", f"./frames/{name}.mp4", "80", label) for name, label in GOOD
        ]
        csv.writer(file).writerows(rows)
    with (root / "vggsound.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(TABLE)
    names = {f"{video}_{int(start):06d}" for video, start, _, split in TABLE if split == "test"}
    for seed, name in enumerate(sorted(names | {name for name, _ in GOOD})):
        samples = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * RATE), 2))
        (root / "test").mkdir(exist_ok=True)
        soundfile.write(root / "test" / f"{name}.wav", samples, RATE, subtype="PCM_16")
    return root
