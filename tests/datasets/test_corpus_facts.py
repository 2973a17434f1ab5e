"""What is known of the published files themselves, counted again on the files.

The adapters rely on these counts; where a file here is not the one they were written for, this says
so before a score does.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sepbench.datasets.audiocaps_files import COLUMNS
from sepbench.datasets.manifest import read_table
from sepbench.datasets.musdb18 import STEMS, Musdb18
from sepbench.harness.audio import read_audio

WITH_CRLF = ("audiocaps", "audioset", "clotho", "esc50", "music")

Rows = list[dict[str, str]]


def captions(rows: Rows) -> list[str]:
    return [row["caption"] for row in rows]


def test_audiocaps_tables_have_five_rows_a_clip(shared: Path) -> None:
    for split, clips in (("test", 975), ("val", 495)):
        for folder in ("audiocaps", "audiocaps/v2"):
            rows = read_table(shared / folder / f"{split}.csv", COLUMNS)
            per_clip = Counter(row["youtube_id"] for row in rows)
            assert (len(rows), len(per_clip), set(per_clip.values())) == (5 * clips, clips, {5})


def test_audiocaps_ids_and_captions_are_awkward_as_known(shared: Path) -> None:
    rows = read_table(shared / "audiocaps" / "test.csv", COLUMNS)

    ids = {row["youtube_id"] for row in rows}
    counts = Counter(captions(rows))
    assert sum(clip.startswith("-") for clip in ids) == 19
    assert len({clip.lower() for clip in ids}) == len(ids)
    assert len(rows) - len(counts) == 242
    assert sum("," in text for text in captions(rows)) == 453


def test_audiocaps_versions_differ_in_captions_alone(shared: Path) -> None:
    one, two = (
        {
            row["audiocap_id"]: (row["youtube_id"], row["start_time"], row["caption"])
            for row in read_table(shared / folder / "test.csv", COLUMNS)
        }
        for folder in ("audiocaps", "audiocaps/v2")
    )

    assert {key: row[:2] for key, row in one.items()} == {key: row[:2] for key, row in two.items()}
    pairs = [(one[key][2], two[key][2]) for key in one]
    assert sum(a == b for a, b in pairs) == 190
    assert sum(a.lower() == b.lower() for a, b in pairs) == 4745


def test_few_clips_of_lassnets_list_are_outside_of_audiocaps_train(shared: Path) -> None:
    # Train is not at hand; what is neither in test nor in val is what the notes count there.
    splits = {
        split: {
            row["youtube_id"] for row in read_table(shared / "audiocaps" / f"{split}.csv", COLUMNS)
        }
        for split in ("test", "val")
    }
    with (shared / "lass" / "evaluation_indexes.csv").open(newline="") as file:
        header, *rows = csv.reader(file)

    targets, others = ({row[column] for row in rows} for column in (0, 1))
    assert header == ["target_wav", " noise_wav"]
    assert (len(targets & splits["test"]), len(targets & splits["val"])) == (4, 1)
    assert len(targets - splits["test"] - splits["val"]) == 195
    assert len(others - splits["test"] - splits["val"]) == 192


def test_line_ends_of_audioseps_lists_are_as_the_readers_expect(shared: Path) -> None:
    crlf = {
        path.name
        for path in (shared / "audiosep_eval").glob("*_eval.csv")
        if b"\r\n" in path.read_bytes()
    }

    assert crlf == {f"{name}_eval.csv" for name in WITH_CRLF}


def test_clothos_list_names_files_with_commas(shared: Path) -> None:
    with (shared / "audiosep_eval" / "clotho_eval.csv").open(newline="") as file:
        header, *rows = csv.reader(file)

    assert header[-2:] == ["noise_wav1", "noise_wav1"]
    assert sum(any("," in name for name in row[2:]) for row in rows) == 452


@pytest.mark.parametrize(
    ("split", "residual_db", "peak"),
    [("train", -31.6, None), ("test", -15.4, 1.024)],
    ids=["80s Rock", "Falcon 69"],
)
def test_a_stems_mixture_is_not_the_sum_of_its_stems(
    shared: Path, split: str, residual_db: float, peak: float | None
) -> None:
    dataset = Musdb18(shared / "musdb18")

    scene = dataset.load(dataset.scenes(split)[0], 44100, mono=False)

    total = sum(scene.sources[stem].astype(np.float64) for stem in STEMS)
    ratio = np.sum((scene.mixture - total) ** 2) / np.sum(scene.mixture.astype(np.float64) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(residual_db, abs=0.05)
    if peak is not None:  # a decode through 16 bit would have clipped it
        assert float(np.abs(scene.mixture).max()) == pytest.approx(peak, abs=5e-4)


def test_esc10_clips_have_their_known_lengths_and_peaks(shared: Path) -> None:
    audios = {path.stem: read_audio(path) for path in sorted((shared / "esc10").glob("*.ogg"))}

    lengths = {name: audio.samples.shape[1] for name, audio in audios.items()}
    assert len(audios) == 400
    assert {(a.sample_rate, a.samples.shape[0]) for a in audios.values()} == {(44100, 1)}
    assert sum(length == 220_544 for length in lengths.values()) == 380
    extremes = ("4-164661-B", "1-172649-F", "1-17808-B")
    seconds = [round(lengths[name] / 44100, 3) for name in extremes]
    assert seconds == [3.644, 7.001, 7.24]
    assert sum(float(np.abs(a.samples).max()) > 1.0 for a in audios.values()) == 14
