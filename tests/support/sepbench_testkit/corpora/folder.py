"""Somebody's own recordings: a manifest with awkward names, files beside it."""

from __future__ import annotations

from pathlib import Path

from sepbench_testkit.corpora.audiosep import write_pair, write_tone

LINES = (
    "scene,mixture,target,query,label,source:rain",
    'one,"mix, 1.wav",-dog.wav,a dog barks,dog,',
    'one,"mix, 1.wav",-dog.wav,"barking, close by",dog,',
    "zwei,,hünd.wav,a dog,dog,rain+++.wav",
)


def write_folder(root: Path) -> Path:
    """Two scenes: a finished mixture asked by two texts, and one that is summed."""
    write_pair(root / "-dog.wav", root / "mix, 1.wav", 1)
    write_tone(root / "hünd.wav", 2)
    write_tone(root / "rain+++.wav", 3)
    text = "".join(f"{line}\r\n" for line in LINES)
    (root / "manifest.csv").write_bytes(text.encode())
    return root
