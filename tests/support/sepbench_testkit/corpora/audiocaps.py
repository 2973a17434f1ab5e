"""A tiny AudioCaps: full tables of ids with invented captions, a few clips of a second.

The tables name every clip of the test split, as the official ones do; only `CLIPS` have audio, each
under another of the names and in another of the codecs that people use.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from sepbench.datasets.audiocaps_lists import drawn_pairs

RATE = 16000
START = 30  # second of every clip of the tables
LASSNET_TARGET = "Z04_o7DHn_I"
LASSNET_OTHERS = ("FQV43mo_bCU", "n3od_F0l9ik", "6hsWDnZ6clk", "Itt-b2w7xLs", "DuNLm284m80")
LASSNET_CAPTION = "A Man, speaking softly, then a Bell rings."
# The clips of the first three rows of our own list.
CLIPS: Mapping[str, str] = {
    "7fmOlUlwoNg": "test/Y7fmOlUlwoNg.wav",
    "vaujJ7msKfc": "test/vaujJ7msKfc.flac",
    "6BJ455B1aAs": f"6BJ455B1aAs_{START}.ogg",
    "zEaGx6an4es": f"test/YzEaGx6an4es_{START * 1000}_{START * 1000 + 10000}.mp3",
    "GOD8Bt5LfDE": "audio/test/{caption_id}.wav",
    "4eyY1w2QyM0": "4eyY1w2QyM0.m4a",
}


def official_test_table(version: int = 1) -> list[tuple[str, str, int, str]]:
    """All 975 test clips with five invented captions each, caption by caption."""
    rows = []
    for take in range(5):
        for number, pair in enumerate(drawn_pairs()):
            caption = f"Sound {number}, as person {take} hears it"
            text = caption if version == 1 else caption.lower()
            rows.append((str(100000 + take * 1000 + number), pair.target, START, text))
    return rows


def write_table(path: Path, rows: Sequence[tuple[str, str, int, str]]) -> Path:
    """A table with the official header and CRLF line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("audiocap_id", "youtube_id", "start_time", "caption"))
        writer.writerows(rows)
    return path


def write_clip(path: Path, *, seed: int = 0, seconds: float = 1.0, level: float = 0.2) -> Path:
    """Noise in the codec of the suffix; `.m4a` as AAC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    samples = (level * rng.uniform(-1, 1, round(seconds * RATE))).astype(np.float32)
    if path.suffix == ".m4a":
        _write_aac(path, samples)
    else:
        soundfile.write(path, samples, RATE)
    return path


def write_audiocaps(root: Path, version: int = 1) -> Path:
    """The test table of a version in the root and the clips of the first three rows."""
    rows = official_test_table(version)
    write_table(root / "test.csv", rows)
    caption_ids = {row[1]: row[0] for row in reversed(rows)}
    for seed, (clip, name) in enumerate(CLIPS.items()):
        write_clip(root / name.format(caption_id=caption_ids[clip]), seed=seed)
    return root


def write_lassnet(root: Path) -> Path:
    """The list's first group of five rows, with the train table that holds its captions."""
    lines = ["target_wav, noise_wav", *(f"{LASSNET_TARGET},{other}" for other in LASSNET_OTHERS)]
    root.mkdir(parents=True, exist_ok=True)
    (root / "evaluation_indexes.csv").write_bytes("".join(f"{x}\r\n" for x in lines).encode())
    clips = [LASSNET_TARGET, *LASSNET_OTHERS]
    captions = [LASSNET_CAPTION, *(f"Background {clip}" for clip in clips[1:])]
    table = [
        (str(900 + number), clip, START, caption)
        for number, (clip, caption) in enumerate(zip(clips, captions, strict=True))
    ]
    write_table(root / "dataset" / "train.csv", table)
    for seed, clip in enumerate(clips):
        write_clip(
            root / "train" / f"Y{clip}.wav", seed=seed, level=0.1 * (seed + 1), seconds=11 - seed
        )
    return root


def _write_aac(path: Path, samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono", bit_rate=64_000)
        for start in range(0, len(samples), 1024):
            block = np.ascontiguousarray(samples[None, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
