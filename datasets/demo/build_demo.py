"""Builds the demo set beside this file: clips/, manifest.csv and scenes.csv.

    python datasets/demo/build_demo.py --esc10 DIR

DIR holds the ESC-10 clips (ogg, flat) and their `meta.csv`. The same input and the same codec
versions give the same bytes. What is chosen, and why, is in README.md.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import struct
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sepbench.harness.api import Samples
from sepbench.harness.audio import read_audio

HERE = Path(__file__).parent
SEED = 20240917
SAMPLE_RATE = 32000
SECONDS = 4
FOLDS = ("4", "5")  # 1 to 3 stay free for training
LICENCES = ("CC0", "CC-BY")
QUERIES_PER_CLASS = 3
MIXTURES_PER_CLASS = 8
SNRS_DB = (-10.0, -5.0, 0.0, 5.0, 10.0)
PEAK = 0.95  # for clips that would exceed full scale, with room for the codec's overshoot
COMPRESSION = 0.2  # libsndfile's Vorbis scale: 0 best quality, 1 smallest
MIN_ACTIVE = 0.15  # part of 50-ms frames within 40 dB of the loudest one
WINDOW_STEP = SAMPLE_RATE // 100

MIRRORED_BYTES = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A clip that may be used, cut to its most energetic window."""

    meta: dict[str, str]
    samples: Samples  # (1, N), N = SECONDS · SAMPLE_RATE
    start_s: float

    @property
    def power(self) -> float:
        """Mean of the squared samples."""
        return float(np.mean(np.square(self.samples, dtype=np.float64)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Choose, cut, encode, pair, and write everything."""
    parser = argparse.ArgumentParser(description="Build the demo set of sepbench.")
    parser.add_argument("--esc10", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(SEED)
    (options.out / "clips").mkdir(parents=True, exist_ok=True)
    for old in (options.out / "clips").glob("*.ogg"):
        old.unlink()

    mixtures: dict[str, list[Candidate]] = {}
    manifest: list[dict[str, str]] = []
    candidates = read_candidates(options.esc10)
    for label in sorted(candidates):
        queries, mixtures[label] = choose(candidates[label], rng)
        for role, chosen in (("query", queries), ("mixture", mixtures[label])):
            manifest += [write_clip(options.out, clip, role) for clip in chosen]
    write_table(options.out / "manifest.csv", manifest)
    write_table(options.out / "scenes.csv", pair(mixtures, rng))
    size = sum(path.stat().st_size for path in options.out.rglob("*.ogg"))
    sys.stderr.write(f"{len(manifest)} clips, {size / 1e6:.2f} MB\n")


def read_candidates(folder: Path) -> dict[str, list[Candidate]]:
    """Label -> usable clips of the allowed folds and licences, in the table's order."""
    found: dict[str, list[Candidate]] = {}
    with (folder / "meta.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["fold"] not in FOLDS or row["license"] not in LICENCES:
            continue
        audio = read_audio(folder / row["filename"], sample_rate=SAMPLE_RATE, mono=True)
        if audio.samples.shape[1] < SECONDS * SAMPLE_RATE:
            continue
        start, window = loudest_window(audio.samples)
        if active_part(window) >= MIN_ACTIVE:
            clip = Candidate(meta=row, samples=window, start_s=start / SAMPLE_RATE)
            found.setdefault(row["category"], []).append(clip)
    return found


def loudest_window(samples: Samples) -> tuple[int, Samples]:
    """Start and samples of the window with most energy; the first of equal ones."""
    length = SECONDS * SAMPLE_RATE
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples[0], dtype=np.float64))])
    starts = np.arange(0, samples.shape[1] - length + 1, WINDOW_STEP)
    energies = energy[starts + length] - energy[starts]
    # Zero-padded clips have the same energy in many windows, up to rounding.
    start = int(starts[np.argmax(energies >= energies.max() * (1 - 1e-6))])
    return start, samples[:, start : start + length]


def active_part(samples: Samples) -> float:
    """Part of 50-ms frames within 40 dB of the loudest frame."""
    frames = samples.reshape(-1, SAMPLE_RATE // 20)
    powers = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return float(np.mean(powers > powers.max() * 1e-4))


def choose(
    clips: Sequence[Candidate], rng: np.random.Generator
) -> tuple[list[Candidate], list[Candidate]]:
    """Query and mixture clips of one class that share neither recording nor author.

    The authors with fewest clips give one query each; the others take turns, one recording
    after the other, until there are enough for the mixtures.
    """
    authors: dict[str, list[Candidate]] = {}
    for index in rng.permutation(len(clips)):
        authors.setdefault(clips[index].meta["freesound_author"], []).append(clips[index])
    groups = sorted(authors.values(), key=len)  # stable: equal ones stay in drawn order
    queries = [group[0] for group in groups[:QUERIES_PER_CLASS]]
    rest = [by_new_recording(group) for group in groups[QUERIES_PER_CLASS:]]
    turns = (group[turn] for turn in range(len(clips)) for group in rest if turn < len(group))
    mixtures = [clip for clip, _ in zip(turns, range(MIXTURES_PER_CLASS), strict=False)]
    if len(mixtures) < MIXTURES_PER_CLASS:
        raise SystemExit(f"too few clips of {clips[0].meta['category']}")
    return queries, mixtures


def by_new_recording(clips: Iterable[Candidate]) -> list[Candidate]:
    """The same clips, those of recordings not seen before first."""
    first: list[Candidate] = []
    again: list[Candidate] = []
    seen: set[str] = set()
    for clip in clips:
        (again if clip.meta["src_file"] in seen else first).append(clip)
        seen.add(clip.meta["src_file"])
    return first + again


def pair(mixtures: dict[str, list[Candidate]], rng: np.random.Generator) -> list[dict[str, str]]:
    """Rows of scenes.csv: every clip once, no class pair twice, every SNR equally often.

    With ten classes and eight clips each, the pairs of classes are all 45 but five that pair
    the classes off (the complement of a perfect matching gives each class eight partners).
    """
    labels = sorted(mixtures)
    order = [labels[index] for index in rng.permutation(len(labels))]
    left_out = {frozenset(order[index : index + 2]) for index in range(0, len(order), 2)}
    pairs = [
        (one, other)
        for position, one in enumerate(labels)
        for other in labels[position + 1 :]
        if frozenset((one, other)) not in left_out
    ]
    clips = {
        label: [group[i] for i in rng.permutation(len(group))] for label, group in mixtures.items()
    }
    snrs = rng.permutation(np.resize(SNRS_DB, len(pairs)))
    rows = []
    for number, (index, snr_db) in enumerate(
        zip(rng.permutation(len(pairs)), snrs, strict=True), 1
    ):
        two = [clips[label].pop() for label in pairs[index]]
        # The louder clip keeps its level and the other follows, so that no mixture is faint.
        first, second = sorted(two, key=lambda clip: clip.power, reverse=True)
        rows.append(
            {
                "scene_id": f"{number:02d}-{first.meta['category']}-{second.meta['category']}",
                "clip_a": f"clips/{first.meta['filename']}",
                "clip_b": f"clips/{second.meta['filename']}",
                "snr_db": f"{snr_db:g}",
            }
        )
    return rows


def write_clip(out: Path, clip: Candidate, role: str) -> dict[str, str]:
    """Encode one clip; the row of manifest.csv."""
    import soundfile

    peak = float(np.abs(clip.samples).max())
    gain = PEAK / peak if peak > PEAK else 1.0
    name = f"clips/{clip.meta['filename']}"
    encoded = io.BytesIO()
    soundfile.write(
        encoded,
        clip.samples[0] * np.float32(gain),
        SAMPLE_RATE,
        format="OGG",
        subtype="VORBIS",
        compression_level=COMPRESSION,
    )
    data = with_serial(encoded.getvalue(), zlib.crc32(name.encode()))
    (out / name).write_bytes(data)
    return {
        "file": name,
        "role": role,
        "label": clip.meta["category"],
        "fold": clip.meta["fold"],
        "src_file": clip.meta["src_file"],
        "take": clip.meta["take"],
        "author": clip.meta["freesound_author"],
        "licence": clip.meta["license"],
        "source_page": clip.meta["freesound_url"],
        "start_s": f"{clip.start_s:.2f}",
        "gain": f"{gain:.6f}",
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def with_serial(data: bytes, serial: int) -> bytes:
    """The Ogg stream with another serial number; libsndfile draws one from the clock."""
    pages, position = [], 0
    while position < len(data):
        segments = data[position + 26]
        body = sum(data[position + 27 : position + 27 + segments])
        end = position + 27 + segments + body
        page = bytearray(data[position:end])
        page[14:18] = struct.pack("<I", serial)
        page[22:26] = bytes(4)
        page[22:26] = struct.pack("<I", ogg_checksum(page))
        pages.append(bytes(page))
        position = end
    return b"".join(pages)


def ogg_checksum(page: bytes | bytearray) -> int:
    """Ogg's CRC-32: zlib's with the bits mirrored, without initial and final xor."""
    mirrored = zlib.crc32(page.translate(MIRRORED_BYTES), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def write_table(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write rows with the first one's keys as header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
