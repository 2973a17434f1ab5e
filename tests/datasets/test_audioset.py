from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.corpora.audiosep import write_audioset, write_pair

from sepbench.datasets.audioset import AudioSet, class_names
from sepbench.harness.errors import ManifestError, MissingFileError, MissingRootError
from sepbench.harness.protocols import load_protocol


def test_list_is_ten_pairs_for_each_of_527_classes(tmp_path: Path) -> None:
    rows = AudioSet(tmp_path).scenes("audiosep")

    assert len(rows) == 5270 == len({row.scene_id for row in rows})
    assert len({row.targets[0].label for row in rows}) == 527
    assert rows[10].targets[0].texts == ("Male speech, man speaking",)
    assert rows[19].details == {"class": 1, "pair": "class_id=1,index=009"}


def test_names_of_the_list_are_those_of_the_published_table(tmp_path: Path, shared: Path) -> None:
    with (shared / "audiosep_eval" / "audioset_eval.csv").open(newline="") as file:
        published = list(csv.reader(file))[1:]

    rows = AudioSet(tmp_path).scenes("audiosep")

    assert [
        [
            str(row.details["class"]),
            row.targets[0].label,
            f"evaluation/data/audioset/class_id={row.details['class']}/{row.details['pair']},source.wav",
            f"evaluation/data/audioset/class_id={row.details['class']}/{row.details['pair']},mixture.wav",
        ]
        for row in rows
    ] == published


@pytest.mark.parametrize("below", ["", "audioset", "evaluation/data/audioset"])
def test_scene_is_read_from_names_with_commas_and_equals_signs(tmp_path: Path, below: str) -> None:
    write_audioset(tmp_path / below)
    dataset = AudioSet(tmp_path)

    scene = dataset.load(dataset.scenes("audiosep")[13], 32000, mono=True)

    assert dataset.default_protocol() == "audioset-audiosep"
    assert list(scene.sources) == ["Male speech, man speaking", "interference"]
    assert any(name.endswith("class_id=1,index=003,mixture.wav") for name in scene.files)
    np.testing.assert_allclose(sum(scene.sources.values()), scene.mixture, atol=1e-6)


def test_first_ten_pairs_in_sorted_order_are_taken(tmp_path: Path) -> None:
    write_audioset(tmp_path, classes=(0,), pairs=12)
    (tmp_path / "class_id=0" / "class_id=0,index=004,source.wav").unlink()
    (tmp_path / "class_id=0" / "class_id=0,index=004,mixture.wav").unlink()

    rows = AudioSet(tmp_path).scenes("first-ten")

    pairs = [row.details["pair"] for row in rows[:10]]
    assert pairs[3:5] == ["class_id=0,index=003", "class_id=0,index=005"]
    assert pairs[9] == "class_id=0,index=010"
    assert len(rows) == 5270


def test_set_of_more_than_ten_pairs_is_not_taken_for_audioseps(tmp_path: Path) -> None:
    write_audioset(tmp_path, classes=(1,), pairs=11)

    with pytest.raises(ManifestError, match=r"class_id=1 holds 11 pairs; .* another set"):
        AudioSet(tmp_path).scenes("audiosep")


def test_pair_that_is_not_on_disk_stays_in_the_list_and_is_named(tmp_path: Path) -> None:
    write_audioset(tmp_path, classes=(0,), pairs=3)
    dataset = AudioSet(tmp_path)
    rows = dataset.scenes("audiosep")

    assert [row.details["pair"][-3:] for row in rows[:4]] == ["000", "001", "002", "003"]
    with pytest.raises(MissingFileError, match=r"class_id=0,index=003,source\.wav is missing"):
        dataset.load(rows[3], 32000, mono=True)


def test_half_a_pair_is_named(tmp_path: Path) -> None:
    write_pair(
        tmp_path / "spare.wav", tmp_path / "class_id=0" / "class_id=0,index=000,mixture.wav", 0
    )
    dataset = AudioSet(tmp_path)

    with pytest.raises(MissingFileError, match=r"index=000,source\.wav is missing"):
        dataset.load(dataset.scenes("audiosep")[0], 32000, mono=True)


def test_clips_are_the_balanced_training_ones_on_disk(tmp_path: Path) -> None:
    (clip,) = AudioSet(write_audioset(tmp_path)).clips("train-clips")

    assert (clip.clip_id, clip.fold) == ("--4gqARaEJE", "balanced_train")
    assert clip.labels == ("Speech", "Male speech, man speaking")


@pytest.mark.parametrize("line", ["a, 0, 10", 'a, 0, 10, "/m/nothing"'])
def test_table_of_clips_that_cannot_be_understood_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "balanced_train_segments.csv").write_text(f"# comment\n{line}\n")

    with pytest.raises(ManifestError, match="line 2, is not 'id, start, end"):
        AudioSet(tmp_path).clips("train-clips")


def test_classes_have_names_with_commas() -> None:
    names = list(class_names().values())

    assert len(names) == 527 == len(set(names))
    assert names[1] == "Male speech, man speaking"


def test_published_average_is_the_mean_of_the_classes_medians() -> None:
    rule = load_protocol("audioset-audiosep").aggregate

    assert (rule.items, rule.within, rule.groups) == ("median", "label", "mean")


def test_folder_without_mixtures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingRootError, match="holds no mixtures of AudioSep's package"):
        AudioSet(tmp_path).default_protocol()
