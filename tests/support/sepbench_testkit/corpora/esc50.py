"""A tiny ESC-50: the first pairs of AudioSep's list in the official layout, or as ESC-10's OGG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from sepbench.datasets.esc50_list import read_list

RATE = 44100
COLUMNS = "filename,fold,target,category,esc10,src_file,take"


def write_esc50(root: Path, pairs: int = 3, *, flat: bool = False) -> Path:
    """Clips of the list's first pairs, five seconds each.

    Args:
        root: made if it does not exist.
        pairs: how many rows can be mixed.
        flat: ESC-10's layout, clips without the class in their name, OGG, no table; of the rows
            that need no other.
    """
    rows = [row for row in read_list() if row.in_esc10 or not flat][:pairs]
    names = list(
        dict.fromkeys(name for row in rows for name in (row.target_file, row.interference_file))
    )
    folder = root if flat else root / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        stem = name.removesuffix(".wav")
        path = folder / (f"{stem.rpartition('-')[0]}.ogg" if flat else name)
        samples = 0.1 * np.random.default_rng(seed).standard_normal(5 * RATE)
        soundfile.write(path, samples, RATE, subtype="VORBIS" if flat else "PCM_16")
    if not flat:
        _write_table(root, names)
    return root


def _write_table(root: Path, names: list[str]) -> None:
    labels = {row.target_file: row.label for row in read_list()}
    lines = [COLUMNS]
    for name in names:
        fold, source, take = name.split("-")[:3]
        number = name.removesuffix(".wav").split("-")[3]
        lines.append(f"{name},{fold},{number},{labels[name]},False,{source},{take}")
    (root / "meta").mkdir(exist_ok=True)
    (root / "meta" / "esc50.csv").write_text("".join(f"{line}\n" for line in lines))
