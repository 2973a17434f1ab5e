from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sepbench_testkit.corpora.audioset_eval import CLIPS, write_audioset_eval
from sepbench_testkit.machine import rows, run, scores

from sepbench.datasets.audioset_eval import HELD_OUT, KINDS, SAMPLE_RATE, AudioSetEval
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import DatasetError, ManifestError, MissingFileError, UnknownNameError
from sepbench.harness.mixing import mean_power
from sepbench.harness.protocols import load_protocol

LENGTH = 2 * SAMPLE_RATE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_audioset_eval(tmp_path / "audioset", copies=10)


@pytest.fixture
def dataset(tmp_path: Path) -> AudioSetEval:
    """Five clips, cut; one pair of all classes and one of the held-out ones."""
    made = AudioSetEval(write_audioset_eval(tmp_path / "audioset"))
    made.cut_segments()
    return made


def both(dataset: AudioSetEval, list_name: str) -> list[Any]:
    return [dataset.load(row, SAMPLE_RATE, mono=True) for row in dataset.scenes(list_name)]


# --- lists ----------------------------------------------------------------------------------


def test_pairs_are_a_twentieth_of_the_table_and_the_same_every_time(root: Path) -> None:
    first, again = (AudioSetEval(root).scenes("mixture") for _ in range(2))

    assert len(first) == 50 // 20
    assert first == again
    assert [row.scene_id for row in first] == ["0000", "0001"]


def test_both_segments_of_a_pair_are_of_different_clips_and_classes(root: Path) -> None:
    for list_name in ("mixture", "held-out-mixture"):
        for row in AudioSetEval(root).scenes(list_name):
            one, other = row.targets
            assert (one.name, other.name) == ("first", "second")
            assert one.label != other.label
            assert len(set(row.origins)) == 2


def test_classes_take_turns(tmp_path: Path) -> None:
    dataset = AudioSetEval(write_audioset_eval(tmp_path / "many", copies=40))

    labels = [t.label for row in dataset.scenes("mixture") for t in row.targets]

    counts = [labels.count(label) for label in set(labels)]
    assert len(labels) == 20
    assert len(counts) == 6
    assert max(counts) - min(counts) <= 2  # a pair that cannot be is left out


def test_held_out_lists_have_the_held_out_classes_alone(root: Path) -> None:
    pairs = [row.details["pair"] for row in AudioSetEval(root).scenes("held-out-mixture")]

    numbers = {number for pair in pairs for _, number in pair}
    assert numbers <= {4, 15, 63, 81} < set(HELD_OUT)


@pytest.mark.parametrize("prefix", ["", "held-out-"])
def test_the_three_lists_ask_for_the_same_segments(prefix: str, root: Path) -> None:
    dataset = AudioSetEval(root)

    asked = {
        kind: [t.cluster for row in dataset.scenes(prefix + kind) for t in row.targets]
        for kind in KINDS
    }

    assert asked["clean"] == asked["silence"] == asked["mixture"]


def test_a_list_that_is_not_there_is_refused(dataset: AudioSetEval) -> None:
    with pytest.raises(UnknownNameError, match="'mixture'"):
        dataset.scenes("mixtures")


def test_a_table_without_two_classes_has_no_pairs(tmp_path: Path) -> None:
    root = write_audioset_eval(tmp_path)
    table = root / "eval_segments.csv"
    lines = table.read_text("utf-8").splitlines()
    table.write_text("\n".join([*lines[:3], lines[-1]]), "utf-8")

    with pytest.raises(ManifestError, match="no two clips of two classes"):
        AudioSetEval(root).scenes("mixture")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"eval_segments\.csv is missing"):
        AudioSetEval(tmp_path).default_protocol()


# --- audio ----------------------------------------------------------------------------------


def test_the_second_segment_has_the_energy_of_the_first(dataset: AudioSetEval) -> None:
    (scene,) = both(dataset, "mixture")

    powers = [mean_power(scene.sources[name]) for name in ("first", "second")]
    assert powers[1] == pytest.approx(powers[0], rel=1e-4)
    assert scene.mixture.shape == (1, LENGTH)
    np.testing.assert_array_equal(scene.mixture, scene.sources["first"] + scene.sources["second"])


def test_the_gain_has_its_published_limits(tmp_path: Path) -> None:
    dataset = AudioSetEval(write_audioset_eval(tmp_path))
    dataset.cut_segments()
    (row,) = dataset.scenes("mixture")
    quiet = tmp_path / dataset.files(row)[1]
    samples = read_audio(quiet).samples
    soundfile.write(quiet, samples[0] * 1e-4, SAMPLE_RATE, "FLOAT")

    scene = dataset.load(row, SAMPLE_RATE, mono=True)

    expected = samples * np.float32(1e-4) * 50
    np.testing.assert_allclose(scene.sources["second"], expected, rtol=1e-4, atol=1e-7)


def test_clean_scenes_are_their_targets_and_silent_ones_hold_the_other(
    dataset: AudioSetEval,
) -> None:
    (mixed,), clean, silence = (both(dataset, kind) for kind in KINDS)

    for name, alone in zip(("first", "second"), clean, strict=True):
        np.testing.assert_array_equal(alone.mixture, mixed.sources[name])
        assert list(alone.sources) == [name]
    for other, scene in zip(("second", "first"), silence, strict=True):
        np.testing.assert_array_equal(scene.mixture, mixed.sources[other])
        assert list(scene.sources) == [other]
    assert all(t.absent for row in dataset.scenes("silence") for t in row.targets)


def test_without_a_detector_the_loudest_two_seconds_are_cut(dataset: AudioSetEval) -> None:
    clips = dataset.clips("segments")

    begin = SAMPLE_RATE // 2
    for clip in clips:
        whole = read_audio(
            clip.path.parents[1] / "eval" / f"Y{clip.origin}.wav", sample_rate=32_000
        )
        cut = read_audio(clip.path).samples
        np.testing.assert_array_equal(cut, whole.samples[:, begin : begin + LENGTH])
    assert len(clips) >= 2


def test_a_detector_says_where_a_segment_begins(tmp_path: Path) -> None:
    dataset = AudioSetEval(write_audioset_eval(tmp_path))
    asked: list[tuple[int, int]] = []

    def locate(clip: Any, number: int) -> float:
        asked.append((len(clip), number))
        return 7.0  # past the end: moved inside the clip

    count = dataset.cut_segments(locate)
    again = dataset.cut_segments(locate)

    clips = dataset.clips("segments")
    assert count == again == len(clips) == len(asked)
    assert {n for _, n in asked} <= {n for each in CLIPS.values() for n in each}
    assert {length for length, _ in asked} == {3 * SAMPLE_RATE}
    clip = read_audio(tmp_path / "eval" / f"Y{clips[0].origin}.wav", sample_rate=SAMPLE_RATE)
    np.testing.assert_array_equal(read_audio(clips[0].path).samples, clip.samples[:, SAMPLE_RATE:])


def test_a_clip_that_is_too_short_is_named(tmp_path: Path) -> None:
    dataset = AudioSetEval(write_audioset_eval(tmp_path))
    for path in (tmp_path / "eval").iterdir():
        soundfile.write(path, np.ones(16_000), 16_000)

    with pytest.raises(DatasetError, match=r"has 1\.00 s; a segment of 2 s cannot be cut"):
        dataset.cut_segments()


def test_before_they_are_cut_there_are_no_segments(tmp_path: Path) -> None:
    dataset = AudioSetEval(write_audioset_eval(tmp_path))

    assert dataset.clips("segments") == ()
    with pytest.raises(MissingFileError, match="audioset-eval --detector"):
        dataset.load(dataset.scenes("mixture")[0], SAMPLE_RATE, mono=True)


# --- whole runs -----------------------------------------------------------------------------

HALF = {"stsed-mixture": 3.01, "stsed-clean": 6.02, "stsed-silence": 6.02}


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("held_out", [False, True])
def test_protocols_give_scores_known_by_hand(name: str, held_out: bool, tmp_path: Path) -> None:
    protocol = name.replace("stsed-", "stsed-held-out-") if held_out else name
    root = write_audioset_eval(tmp_path / "audioset")
    AudioSetEval(root).cut_segments()
    metric = "suppression" if name == "stsed-silence" else "stsed_segment_sdr"

    summary = run(
        tmp_path / "ws",
        models=["kit-half"],
        datasets=[f"audioset-eval:{protocol}"],
        settings=[f"datasets.audioset-eval.root={root}", "query=audio", f"metrics=[{metric}]"],
    )

    assert summary.ok
    found = [value for value, _ in scores(tmp_path / "ws").values()]
    assert metric in load_protocol(protocol).metrics
    # Of a sum of two signals of equal energy, a half leaves half of each as the error.
    assert found == pytest.approx([HALF[name]] * 2, abs=0.1)


def test_a_query_is_the_target_itself(tmp_path: Path) -> None:
    root = write_audioset_eval(tmp_path / "audioset")
    AudioSetEval(root).cut_segments()
    given = [f"datasets.audioset-eval.root={root}", "query=audio", "metrics=[suppression]"]
    grid = {"datasets": ["audioset-eval:stsed-silence"], "settings": given}

    run(tmp_path / "ws", **grid)
    several = run(tmp_path / "ws", datasets=grid["datasets"], settings=[*given, "query.shots=2"])

    items = rows(
        tmp_path / "ws", "SELECT cluster, json_extract(query, '$.examples[0]') e FROM items"
    )
    assert [item["cluster"] for item in items] == [item["e"] for item in items]
    assert several.cells[0].reason == (
        "the target itself is the example of a query: 1, not 2 (query.shots)"
    )


def test_a_clip_that_youtube_has_lost_fails_its_scenes_by_name(tmp_path: Path) -> None:
    root = write_audioset_eval(tmp_path / "audioset", without=tuple(CLIPS)[:-1])
    AudioSetEval(root).cut_segments()

    summary = run(
        tmp_path / "ws",
        datasets=["audioset-eval"],
        settings=[f"datasets.audioset-eval.root={root}", "query=text", "metrics=[sdr]"],
    )

    assert summary.failures == 2
    assert "its clip was not on disk when segments were cut" in summary.example("MissingFileError")
