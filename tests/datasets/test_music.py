from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.corpora.audiosep import write_music

from sepbench.datasets.audiosep_lists import LISTS
from sepbench.datasets.music import Music
from sepbench.harness.errors import MissingFileError, MissingRootError
from sepbench.harness.protocols import load_protocol


def test_list_is_556_segments_of_46_videos_and_ten_instruments(tmp_path: Path) -> None:
    rows = Music(tmp_path).scenes("audiosep")

    instruments = Counter(row.targets[0].label for row in rows)
    assert len(rows) == 5004
    assert len({row.details["target"] for row in rows}) == 556
    assert len({row.targets[0].cluster for row in rows}) == 46
    assert len(instruments) == 10
    assert (instruments["violin"], instruments["flute"]) == (1260, 117)


def test_a_row_names_videos_without_the_carriage_return(tmp_path: Path) -> None:
    row = Music(tmp_path).scenes("audiosep")[0]

    assert row.details["interference"] == "YX4UWEifacwI_6.wav"
    assert row.origins == ("1mCi6eWXVbg", "X4UWEifacwI")
    assert row.targets[0].texts == ("accordion",)


def test_scene_is_read_below_the_root(tmp_path: Path) -> None:
    dataset = Music(write_music(tmp_path))

    scene = dataset.load(dataset.scenes("audiosep")[2], 32000, mono=True)

    assert dataset.default_protocol() == "music-audiosep"
    assert set(scene.files) == {"data/music/segment-2.wav", "data/music/mixture-2.wav"}
    assert list(scene.sources) == ["accordion", "interference"]
    np.testing.assert_allclose(sum(scene.sources.values()), scene.mixture, atol=1e-6)


def test_missing_segment_is_named_in_its_folder(tmp_path: Path) -> None:
    dataset = Music(write_music(tmp_path))

    with pytest.raises(MissingFileError, match=r"data/music/segment-3\.wav is missing"):
        dataset.load(dataset.scenes("audiosep")[3], 32000, mono=True)


def test_clips_are_solos_in_folders_named_by_instrument(tmp_path: Path) -> None:
    clips = Music(write_music(tmp_path)).clips("solos")

    assert {(clip.labels[0], clip.origin) for clip in clips} == {
        ("acoustic guitar", "-aCi6eWXVbg"),
        ("flute", "X4UWEifacwI"),
    }


def test_folder_without_mixtures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingRootError, match="holds no mixtures of AudioSep's package"):
        Music(tmp_path).default_protocol()


def test_published_average_is_the_mean_of_the_instruments_means() -> None:
    rule = load_protocol("music-audiosep").aggregate

    assert (rule.items, rule.within, rule.groups) == ("mean", "label", "mean")


@pytest.mark.parametrize(
    ("shipped", "published"),
    [
        ("music_audiosep.csv", "music_eval.csv"),
        ("audioset_classes.csv", "class_labels_indices.csv"),
    ],
)
def test_shipped_list_is_the_published_file(shared: Path, shipped: str, published: str) -> None:
    original = (shared / "audiosep_eval" / published).read_bytes()

    assert (LISTS / shipped).read_bytes() == original
