"""A tiny DCASE 2024 Task 9: the list's four columns under names nobody has seen, three clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
# A name that begins with "-", a caption with a comma; ratios as whole numbers and as pandas writes.
LINES = (
    "source file,noise file,ratio,query",
    '1001,-2002,-15,"Rain falls, then thunder"',
    "-2002,café 3003,3.0,A dog barks",
    "café 3003,1001,15,A bell rings twice",
)
CLIPS = ("1001", "-2002", "café 3003")


def write_dcase2024_task9(root: Path, *, folder: str = "lass_validation") -> Path:
    """The list in the root, clips of a second at 16 kHz in the archive's folder."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "lass_synthetic_validation.csv").write_text(
        "".join(f"{line}\n" for line in LINES), encoding="utf-8"
    )
    for seed, name in enumerate(CLIPS):
        rng = np.random.default_rng(seed)
        samples = 0.1 * (seed + 1) * rng.uniform(-1, 1, RATE)
        soundfile.write(root / folder / f"{name}.wav", samples, RATE, subtype="PCM_16")
    return root
