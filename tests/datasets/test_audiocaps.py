from __future__ import annotations

import csv
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.corpora.audiocaps import (
    CLIPS,
    LASSNET_CAPTION,
    official_test_table,
    write_audiocaps,
    write_clip,
    write_lassnet,
    write_table,
)
from sepbench_testkit.corpora.audiosep import AUDIOCAPS, write_list, write_premixed
from sepbench_testkit.corpora.audiosep import write_audiocaps as write_audiosep

from sepbench.datasets.audiocaps import AudioCaps
from sepbench.datasets.audiocaps_files import CaptionedClip
from sepbench.datasets.audiocaps_lists import clip_labels, drawn_pairs, seeded_rows
from sepbench.datasets.audiocaps_pairs import SNR_RANGE_DB, draw_pairs
from sepbench.harness.api import BaselineCard, Clip
from sepbench.harness.errors import (
    DatasetError,
    ManifestError,
    MissingFileError,
    MissingRootError,
    UnsafePathError,
)
from sepbench.harness.mixing import mean_power
from sepbench.harness.plan import PlannedModel, plan_cells
from sepbench.harness.protocols import load_protocol
from sepbench.harness.queries import ExamplePool

RATE = 16000
TEXT_MODEL = PlannedModel(
    label="m",
    name="m",
    target="m:M",
    card=BaselineCard(name="m", summary="", query_kinds=("text",)),
    settings={},
    identity={},
)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Version 1's test table and the clips of three rows under six kinds of names."""
    return write_audiocaps(tmp_path)


@pytest.fixture
def lass(tmp_path: Path) -> Path:
    return write_lassnet(tmp_path)


def load(root: Path, list_name: str, position: int = 0, rate: int = RATE):
    dataset = AudioCaps(root)
    return dataset.load(dataset.scenes(list_name)[position], rate, mono=True)


def peak(samples: np.ndarray) -> float:
    return float(np.abs(samples).max())


# --- our own list ---------------------------------------------------------------------------


def test_every_test_clip_is_a_target_once_and_never_against_itself() -> None:
    pairs = drawn_pairs()

    assert len(pairs) == 975 == len({pair.target for pair in pairs})
    assert {pair.interference for pair in pairs} <= {pair.target for pair in pairs}
    assert all(pair.target != pair.interference for pair in pairs)
    assert max(Counter(pair.interference for pair in pairs).values()) == 2


def test_two_clips_of_a_pair_share_no_label() -> None:
    labels = {pair.target: set(pair.labels) for pair in drawn_pairs()}

    assert all(not labels[pair.target] & labels[pair.interference] for pair in drawn_pairs())
    assert all(pair.label in pair.labels for pair in drawn_pairs())


def test_ratios_cover_the_stated_range_evenly() -> None:
    counts = Counter(pair.snr_db for pair in drawn_pairs())

    assert set(counts) == set(range(SNR_RANGE_DB[0], SNR_RANGE_DB[1] + 1))
    assert min(counts.values()) > 30


def test_clips_of_the_same_sound_do_not_meet() -> None:
    captions = {
        "a": ["A man talks", "A male speaks"],
        "b": ["Female speech", "A woman speaks"],
        "c": ["Rain falls", "Heavy rain"],
    }
    labels = {"a": ["Speech"], "b": ["Conversation"], "c": ["Rain"]}

    pairs = {pair.target: pair.interference for pair in draw_pairs(captions, labels)}

    assert (pairs["a"], pairs["b"]) == ("c", "c")


def test_drawing_depends_on_the_seed_and_not_on_the_order_of_the_clips() -> None:
    captions = {str(k): [f"{'abcdefghijkl'[k]}xyz"] * 2 for k in range(12)}
    labels = {clip: [f"label {clip}"] for clip in captions}

    forward = draw_pairs(captions, labels, "seed")
    backward = draw_pairs(dict(reversed(captions.items())), labels, "seed")

    assert sorted(forward, key=lambda p: p.target) == sorted(backward, key=lambda p: p.target)
    assert forward != draw_pairs(captions, labels, "another seed")


def test_clip_that_shares_a_sound_with_all_others_is_named() -> None:
    captions = {"a": ["Rain falls"] * 2, "b": ["Rain on a roof"] * 2}

    with pytest.raises(DatasetError, match="No clip can stand against"):
        draw_pairs(captions, {"a": ["Rain"], "b": ["Rain"]})


def test_the_shipped_list_is_the_one_that_is_drawn_from_the_real_captions(shared: Path) -> None:
    captions: dict[str, list[str]] = {}
    with (shared / "audiocaps" / "test.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            captions.setdefault(row["youtube_id"], []).append(row["caption"])
    labels = {pair.target: pair.labels for pair in drawn_pairs()}

    assert draw_pairs(captions, labels) == list(drawn_pairs())


def test_five_captions_of_a_clip_are_five_texts_of_one_target(clips: Path) -> None:
    rows = AudioCaps(clips).scenes("test-seeded")

    (target,) = rows[2].targets
    assert len(rows) == 975
    assert target.texts == tuple(f"Sound 2, as person {k} hears it" for k in range(5))
    assert (target.label, target.cluster) == ("Child speech, kid speaking", "GOD8Bt5LfDE")
    assert rows[2].origins == ("GOD8Bt5LfDE", "4eyY1w2QyM0")
    assert target.attributes == {"snr_db": -3}


@pytest.mark.parametrize("position", [0, 1, 2])
def test_seeded_scene_is_mixed_at_its_energy_ratio_whatever_the_names_and_codecs(
    clips: Path, position: int
) -> None:
    scene = load(clips, "test-seeded", position)

    target, other = scene.sources["target"], scene.sources["interference"]
    measured = 10 * np.log10(mean_power(target) / mean_power(other))
    assert scene.mixture.shape == (1, 10 * RATE)
    assert measured == pytest.approx(drawn_pairs()[position].snr_db, abs=1e-3)
    np.testing.assert_allclose(target + other, scene.mixture, atol=1e-6)
    assert len(scene.files) == 2


def test_captions_of_version_2_are_a_list_of_their_own(tmp_path: Path) -> None:
    root = write_audiocaps(tmp_path, version=2)

    rows = AudioCaps(root).scenes("test-seeded-v2")

    assert AudioCaps(root).default_protocol() == "audiocaps-default-v2"
    assert rows[0].targets[0].texts[0] == "sound 0, as person 0 hears it"
    with pytest.raises(MissingFileError, match=r"test\.csv of version 1 is missing"):
        AudioCaps(root).scenes("test-seeded")


def test_both_versions_in_the_official_folders_are_told_apart(tmp_path: Path) -> None:
    write_table(tmp_path / "dataset" / "test.csv", official_test_table(1))
    write_table(tmp_path / "dataset2.0" / "test.csv", official_test_table(2))
    dataset = AudioCaps(tmp_path)

    first, second = (dataset.scenes(name)[0] for name in ("test-seeded", "test-seeded-v2"))

    assert first.targets[0].texts[0] == second.targets[0].texts[0].replace("sound", "Sound")
    assert first.details == second.details
    assert dataset.default_protocol() == "audiocaps-default"


def test_table_that_lacks_a_clip_of_the_list_is_refused(tmp_path: Path) -> None:
    table = [row for row in official_test_table() if row[1] != "vaujJ7msKfc"]
    write_table(tmp_path / "test.csv", table)

    with pytest.raises(ManifestError, match=r"1 targets of the list have no caption \(vaujJ7msKfc"):
        AudioCaps(tmp_path).scenes("test-seeded")


def test_caption_number_given_twice_is_refused(tmp_path: Path) -> None:
    table = official_test_table()
    write_table(tmp_path / "test.csv", [*table, table[0]])

    with pytest.raises(ManifestError, match="the audiocap_id '100000' more than once"):
        AudioCaps(tmp_path).scenes("test-seeded")


@pytest.mark.parametrize("start", ["x", "31"])
def test_clip_with_a_start_that_is_none_or_another_one_is_refused(
    tmp_path: Path, start: str
) -> None:
    table = official_test_table()
    table[0] = (table[0][0], table[0][1], start, table[0][3])  # type: ignore[assignment]
    write_table(tmp_path / "test.csv", table)

    with pytest.raises(ManifestError, match=f"the clip 7fmOlUlwoNg has the start 30 and {start}"):
        AudioCaps(tmp_path).scenes("test-seeded")


def test_clip_of_two_splits_is_refused(lass: Path) -> None:
    write_table(lass / "dataset" / "val.csv", [("1", "n3od_F0l9ik", 30, "Rain")])

    with pytest.raises(ManifestError, match=r"n3od_F0l9ik is in val\.csv and in another table"):
        AudioCaps(lass).scenes("lassnet")


# --- clips on disk --------------------------------------------------------------------------


def test_clips_are_found_under_every_common_name(clips: Path) -> None:
    found = AudioCaps(clips).clips("clips")

    assert {clip.clip_id for clip in found} == set(CLIPS)
    assert all(clip.path.is_file() and clip.origin == clip.clip_id for clip in found)
    assert {clip.fold for clip in found} == {"test"}
    assert next(c for c in found if c.clip_id == "6BJ455B1aAs").labels == (
        "Explosion",
        "Burst, pop",
    )
    assert all(len(clip.captions) == 5 for clip in found)


def test_clips_without_a_table_still_have_the_labels_of_our_list(tmp_path: Path) -> None:
    write_clip(tmp_path / "Y-NsC63dA01g.wav")

    (clip,) = AudioCaps(tmp_path).clips("clips")

    assert (clip.clip_id, clip.captions) == ("-NsC63dA01g", ())
    assert "Meow" in clip.labels


def test_missing_clip_leaves_the_rows_and_is_named_on_loading(clips: Path) -> None:
    with pytest.raises(MissingFileError, match=r"the clip YQSuFyFm3Lc is missing under"):
        load(clips, "test-seeded", 3)


def test_clip_that_lies_there_twice_is_refused(clips: Path) -> None:
    write_clip(clips / "7fmOlUlwoNg.wav")

    with pytest.raises(ManifestError, match=r"more than once: 7fmOlUlwoNg\.wav, test/Y7fmOlUlwoNg"):
        load(clips, "test-seeded")


@pytest.mark.parametrize(
    "name", ["7fmOlUlwoNg_40.wav", "Y7fmOlUlwoNg_40000_50000.wav", "notes.txt", "7fmOlUlwoNg.txt"]
)
def test_file_of_another_part_of_the_video_is_another_clip(clips: Path, name: str) -> None:
    (clips / CLIPS["7fmOlUlwoNg"]).rename(clips / name)

    with pytest.raises(MissingFileError, match="7fmOlUlwoNg is missing"):
        load(clips, "test-seeded")


def test_link_that_leads_out_of_the_root_is_refused(clips: Path, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "clip.wav"
    (clips / CLIPS["7fmOlUlwoNg"]).rename(outside)
    (clips / CLIPS["7fmOlUlwoNg"]).symlink_to(outside)

    with pytest.raises(UnsafePathError, match="outside the dataset's root"):
        load(clips, "test-seeded")


# --- LASS-Net's list ------------------------------------------------------------------------


def test_captions_of_lassnets_list_are_joined_by_id_and_written_as_it_asks(lass: Path) -> None:
    rows = AudioCaps(lass).scenes("lassnet")

    assert [row.scene_id for row in rows] == ["0000", "0001", "0002", "0003", "0004"]
    assert LASSNET_CAPTION == "A Man, speaking softly, then a Bell rings."
    assert {row.targets[0].texts for row in rows} == {
        ("a man, speaking softly, then a bell rings",)
    }
    assert rows[3].origins == ("Z04_o7DHn_I", "Itt-b2w7xLs")
    assert {row.targets[0].attributes["audiocaps_split"] for row in rows} == {"train"}


@pytest.mark.parametrize("position", [0, 4])
def test_lassnets_mixture_is_of_equal_peaks_and_ten_seconds(lass: Path, position: int) -> None:
    scene = load(lass, "lassnet", position)

    target, other = scene.sources["target"], scene.sources["interference"]
    assert scene.mixture.shape == (1, 10 * RATE)
    assert peak(target) == pytest.approx(peak(other), rel=1e-5)
    assert max(peak(scene.mixture), peak(target), peak(other)) == pytest.approx(1.0)
    np.testing.assert_allclose(target + other, scene.mixture, atol=1e-6)


def test_silent_clip_of_lassnets_list_is_refused_with_the_scene(lass: Path) -> None:
    write_clip(lass / "train" / "YFQV43mo_bCU.wav", level=0.0)

    with pytest.raises(DatasetError, match=r"scene 0000 .*interference is silent\. Replace"):
        load(lass, "lassnet")


def test_lassnets_list_without_the_table_of_its_captions_says_which_is_missing(lass: Path) -> None:
    (lass / "dataset" / "train.csv").unlink()

    with pytest.raises(ManifestError, match=r"1 targets .*Z04_o7DHn_I.* Put train\.csv"):
        AudioCaps(lass).scenes("lassnet")


def test_lassnets_list_in_another_order_is_refused(lass: Path) -> None:
    path = lass / "evaluation_indexes.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2], lines[1]]))

    with pytest.raises(ManifestError, match="row 0 is not that of the published list"):
        AudioCaps(lass).scenes("lassnet")


def test_missing_list_of_lassnet_says_where_to_get_it(clips: Path) -> None:
    with pytest.raises(MissingFileError, match=r"evaluation_indexes\.csv is missing.*8979776"):
        AudioCaps(clips).scenes("lassnet")


def test_real_list_of_lassnet_is_200_targets_against_5_each(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "evaluation_indexes.csv"
    path.write_bytes((shared / "lass" / "evaluation_indexes.csv").read_bytes())
    ids = dict.fromkeys(line.split(",")[0] for line in path.read_text().splitlines()[1:])
    table = [(str(number), clip, 0, f"Sound {clip}.") for number, clip in enumerate(ids)]
    write_table(tmp_path / "dataset" / "train.csv", table)

    rows = AudioCaps(tmp_path).scenes("lassnet")

    targets = [row.details["target"] for row in rows]
    assert len(rows) == 1000
    assert set(Counter(targets).values()) == {5}
    assert len(set(targets)) == 200
    assert len({row.details["interference"] for row in rows}) == 197
    assert len({(row.details["target"], row.details["interference"]) for row in rows}) == 990
    assert sum(target.startswith("-") for target in targets) == 25


# --- AudioSep's mixtures --------------------------------------------------------------------


def test_rows_of_audiosep_have_a_caption_and_a_mixture_each(tmp_path: Path) -> None:
    rows = AudioCaps(write_audiosep(tmp_path)).scenes("audiosep-premixed")

    (target,) = rows[2].targets
    assert [row.scene_id for row in rows] == ["0000", "0004", "0102", "0209"]
    assert target.texts == ("A cat meows and a woman speaks",)
    assert target.label == "Cat"
    assert target.attributes == {
        "labels": "Cat Domestic animals, pets Meow Speech Animal",
        "same_clip": False,
    }
    assert rows[2].origins == ("-NsC63dA01g", "LF6x7B0Ppvo")


@pytest.mark.parametrize("below", ["", "audiocaps", "data/audiocaps", "evaluation/data/audiocaps"])
def test_premixed_scene_is_found_in_every_folder_people_point_to(
    tmp_path: Path, below: str
) -> None:
    write_list(tmp_path / "audiocaps_eval.csv", AUDIOCAPS)
    write_premixed(tmp_path / below, (0, 4, 102, 209))

    scene = load(tmp_path, "audiosep-premixed", 3, 32000)

    assert AudioCaps(tmp_path).default_protocol() == "audiocaps-audiosep"
    assert set(scene.sources) == {"target", "interference"}
    np.testing.assert_allclose(sum(scene.sources.values()), scene.mixture, atol=1e-6)
    assert any(name.endswith("mixture-209.wav") for name in scene.files)


def test_missing_mixture_is_named_in_its_folder(tmp_path: Path) -> None:
    root = write_audiosep(tmp_path)
    (root / "evaluation" / "data" / "audiocaps" / "mixture-4.wav").unlink()

    with pytest.raises(MissingFileError, match=r"data/audiocaps/mixture-4\.wav is missing"):
        load(root, "audiosep-premixed", 1)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("bell is ringing", "bell rings", "row 209 is not that of the published list"),
        ("Y-DmjkgWa-rw", "Y-Dmjkgwa-rw", "row 209 is not that of the published list"),
        ("209,", "210,", "row 210 is not that of the published list"),
        ("209,", "102,", "the row 102 more than once"),
        ("209,", "9999,", "row 9999 is not that"),
        ("209,", "x,", "the row number is 'x'"),
        ("is ringing,Bell", "is ringing", "line 5: 4 fields where the header has 5"),
        ("idx,caption", "idx,text", "has the header idx, text, labels"),
    ],
)
def test_list_of_another_revision_is_refused(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    changed = [line.replace(before, after) for line in AUDIOCAPS]
    write_list(tmp_path / "audiocaps_eval.csv", changed)

    with pytest.raises(ManifestError, match=message):
        AudioCaps(tmp_path).scenes("audiosep-premixed")


def test_missing_list_of_audiosep_says_where_to_get_it(clips: Path) -> None:
    with pytest.raises(MissingFileError, match=r"audiocaps_eval\.csv is missing.*commit 944583f"):
        AudioCaps(clips).scenes("audiosep-premixed")


def test_folder_without_anything_of_the_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingRootError, match="neither AudioSep's mixtures"):
        AudioCaps(tmp_path).default_protocol()


@pytest.fixture
def real(shared: Path, tmp_path: Path) -> Path:
    """The real lists, without audio."""
    for source in ("audiosep_eval/audiocaps_eval.csv", "audiocaps/test.csv"):
        (tmp_path / Path(source).name).write_bytes((shared / source).read_bytes())
    return tmp_path


def test_real_list_of_audiosep_is_964_clips_by_five_captions(real: Path) -> None:
    rows = AudioCaps(real).scenes("audiosep-premixed")

    targets = Counter(row.details["target"] for row in rows)
    assert len(rows) == 4820
    assert (len(targets), set(targets.values())) == (964, {5})
    assert len({row.details["interference"] for row in rows}) == 957
    assert len({row.targets[0].texts for row in rows}) == 4581
    assert sum(target.startswith("-") for target in targets) == 19
    assert sum(bool(row.targets[0].attributes["same_clip"]) for row in rows) == 3
    assert all(row.targets[0].label for row in rows)


def test_real_captions_of_audiosep_are_those_of_version_1(real: Path) -> None:
    dataset = AudioCaps(real)

    official = {
        row.details["target"]: row.targets[0].texts for row in dataset.scenes("test-seeded")
    }

    assert sum(len(texts) for texts in official.values()) == 4875
    assert sum("," in text for texts in official.values() for text in texts) == 453
    assert all(
        row.targets[0].texts[0] in official[row.details["target"]]
        for row in dataset.scenes("audiosep-premixed")
    )


@pytest.mark.parametrize("folder", ["", "v2", "dataset2.0"])
def test_real_table_of_version_2_is_known_by_its_captions_in_the_root(
    shared: Path, tmp_path: Path, folder: str
) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "test.csv").write_bytes((shared / "audiocaps/v2/test.csv").read_bytes())
    dataset = AudioCaps(tmp_path)

    texts = [text for row in dataset.scenes("test-seeded-v2") for text in row.targets[0].texts]

    assert dataset.default_protocol() == "audiocaps-default-v2"
    assert len(texts) == 4875
    assert sum(text == text.lower() for text in texts) == 4670


def test_whole_list_of_audiosep_is_planned_in_less_than_two_seconds_without_audio(
    real: Path,
) -> None:
    protocol = load_protocol("audiocaps-audiosep")

    start = time.process_time()  # of this process: others may share the machine
    (cell,) = plan_cells([TEXT_MODEL], [(protocol, AudioCaps(real))], kinds=(), shots=())
    items = list(cell.task.items()) if cell.task else []
    seconds = time.process_time() - start

    assert len(items) == 4820 == protocol.expected_items
    assert seconds < 2.0


def test_targets_of_finished_mixtures_are_example_clips(tmp_path: Path) -> None:
    write_audiosep(tmp_path)
    own = write_clip(tmp_path / "test" / "Y7fmOlUlwoNg.wav")
    (tmp_path / "evaluation" / "data" / "audiocaps" / "segment-4.wav").unlink()

    clips = {clip.clip_id: clip for clip in AudioCaps(tmp_path).clips("clips")}

    folder = tmp_path / "evaluation" / "data" / "audiocaps"
    assert {clip_id: clip.path for clip_id, clip in clips.items()} == {
        "7fmOlUlwoNg": own,  # the clip itself before its copy in a mixture's folder
        "-NsC63dA01g": folder / "segment-102.wav",
        "-DmjkgWa-rw": folder / "segment-209.wav",
    }
    assert clips["-DmjkgWa-rw"].origin == "-DmjkgWa-rw"
    assert "Bell" in clips["-DmjkgWa-rw"].labels


def test_finished_mixtures_without_their_list_give_no_clips(tmp_path: Path) -> None:
    write_premixed(tmp_path, (0, 4))

    assert AudioCaps(tmp_path).clips("clips") == ()


def test_with_all_clips_on_disk_every_row_of_our_list_has_examples_to_draw() -> None:
    clips = [
        Clip(clip_id=clip, path=Path(f"{clip}.wav"), labels=labels, origin=clip)
        for clip, labels in clip_labels().items()
    ]
    pool = ExamplePool(clips)
    captions = {
        clip: CaptionedClip(clip_id=clip, split="test", start=0, captions=("x",), caption_ids=())
        for clip in clip_labels()
    }

    drawn = [
        (row, pool.draw(row.targets[0], row, shots=3, seed=seed))
        for seed, row in enumerate(seeded_rows(captions))
    ]

    assert len(drawn) == 975
    assert all(len(set(ids)) == 3 and not set(ids) & set(row.origins) for row, ids in drawn)


def test_videos_count_only_where_there_is_no_audio_of_the_clip(tmp_path: Path) -> None:
    write_audiocaps(tmp_path)
    aac = next((tmp_path).glob("*.m4a"))
    aac.rename(aac.with_suffix(".mp4"))
    shutil.copy(aac.with_suffix(".mp4"), tmp_path / "test" / "Y7fmOlUlwoNg.mp4")
    dataset = AudioCaps(tmp_path)

    paths = {clip.clip_id: clip.path.name for clip in dataset.clips("clips")}
    row = dataset.scenes("test-seeded")[2]
    scene = dataset.load(row, 16000, mono=True)

    assert paths["4eyY1w2QyM0"] == "4eyY1w2QyM0.mp4"
    assert paths["7fmOlUlwoNg"] == "Y7fmOlUlwoNg.wav"
    assert scene.mixture.shape == (1, 160000)
