from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sepbench_testkit.corpora.esc50 import write_esc50
from sepbench_testkit.machine import run, scores

from sepbench.datasets.esc50 import Esc50
from sepbench.datasets.esc50_files import parse_name
from sepbench.harness.errors import (
    AudioFileError,
    AudioMismatchError,
    DatasetError,
    ManifestError,
    MissingFileError,
    MissingRootError,
    UnsafePathError,
)
from sepbench.harness.protocols import load_protocol

# Row 0 of AudioSep's list: 1-100032-A-0.wav (dog) against 5-207836-D-29.wav (drinking sipping).
DOG, SIPPING = "1-100032-A-0.wav", "5-207836-D-29.wav"


@pytest.fixture
def official(tmp_path: Path, write_tone) -> Path:
    """The official layout with the two clips of row 0."""
    write_tone(tmp_path / "audio" / DOG, frequency=500, seconds=5, rate=8000)
    write_tone(tmp_path / "audio" / SIPPING, frequency=900, seconds=5, rate=8000, level=0.4)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n"
        f"{DOG},1,0,dog,True,100032,A\n"
        f"{SIPPING},5,29,drinking_sipping,False,207836,D\n"
        "1-100038-A-14.wav,1,14,chirping_birds,False,100038,A\n"
    )
    return tmp_path


@pytest.fixture
def flat(tmp_path: Path, write_tone) -> Path:
    """A bare folder of ESC-10 clips, without a table."""
    write_tone(tmp_path / "1-100032-A.ogg", seconds=0.5)
    write_tone(tmp_path / "1-17367-A.ogg", seconds=0.5)
    return tmp_path


@pytest.fixture
def premixed(tmp_path: Path, write_tone) -> Path:
    write_tone(tmp_path / "segment-0.wav", frequency=500)
    write_tone(tmp_path / "mixture-0.wav", frequency=500, level=0.3)
    return tmp_path


def load_first(root: Path, list_name: str = "rebuilt", rate: int = 8000):
    dataset = Esc50(root)
    return dataset.load(dataset.scenes(list_name)[0], rate, mono=True)


@pytest.mark.parametrize("list_name", ["rebuilt", "premixed"])
def test_full_lists_have_every_clip_once_as_target_and_forty_a_class(
    tmp_path: Path, list_name: str
) -> None:
    rows = Esc50(tmp_path).scenes(list_name)

    assert len(rows) == 2000 == len({row.scene_id for row in rows})
    assert len({row.details["target"] for row in rows}) == 2000
    assert set(Counter(row.targets[0].label for row in rows).values()) == {40}
    assert all(row.targets[0].label != row.targets[0].attributes["interference"] for row in rows)


def test_names_of_the_list_carry_no_carriage_return(tmp_path: Path) -> None:
    rows = Esc50(tmp_path).scenes("rebuilt")

    assert all(row.details["interference"].endswith(".wav") for row in rows)


def test_esc10_list_is_the_78_rows_of_esc10_clips_with_the_full_lists_ids(tmp_path: Path) -> None:
    dataset = Esc50(tmp_path)

    rows = dataset.scenes("esc10-rebuilt")

    ids = {row.scene_id for row in rows}
    assert len(rows) == 78 == len(ids)
    assert len({row.targets[0].label for row in rows}) == 10
    assert list(rows) == [row for row in dataset.scenes("rebuilt") if row.scene_id in ids]


def test_a_row_says_what_is_asked_and_which_recordings_are_in_it(tmp_path: Path) -> None:
    row = Esc50(tmp_path).scenes("rebuilt")[1]

    (target,) = row.targets
    assert row.scene_id == "0001"
    assert target.name == target.label == "chirping_birds"
    assert target.texts == ("chirping birds",)
    assert target.cluster == "100038"
    assert row.origins == ("100038", "30226")
    assert target.attributes == {
        "label": "chirping_birds",
        "interference": "dog",
        "fold": "1",
        "snr_db": 0.0,
    }


def test_rows_are_plain_data(tmp_path: Path) -> None:
    rows = Esc50(tmp_path).scenes("premixed")

    assert json.loads(json.dumps(asdict(rows[3])["details"]))["index"] == 3


def test_the_full_list_is_made_quickly_and_once(tmp_path: Path) -> None:
    dataset = Esc50(tmp_path)

    start = time.process_time()  # of this process: others may share the machine
    rows = dataset.scenes("rebuilt")
    seconds = time.process_time() - start

    assert seconds < 0.3
    assert dataset.scenes("rebuilt") is rows


@pytest.mark.parametrize("rate", [8000, 16000])
def test_rebuilt_scene_mixes_both_clips_at_equal_energy(official: Path, rate: int) -> None:
    scene = load_first(official, rate=rate)

    dog, sipping = scene.sources["dog"], scene.sources["drinking_sipping"]
    assert scene.mixture.shape == (1, 5 * rate)
    assert np.square(dog).sum() == pytest.approx(np.square(sipping).sum(), rel=1e-4)
    np.testing.assert_allclose(dog + sipping, scene.mixture, atol=1e-6)
    assert set(scene.files) == {f"audio/{DOG}", f"audio/{SIPPING}"}


def test_clips_of_other_lengths_are_brought_to_five_seconds(official: Path, write_tone) -> None:
    write_tone(official / "audio" / DOG, seconds=7.24, rate=8000)
    write_tone(official / "audio" / SIPPING, seconds=3.644, rate=8000)

    scene = load_first(official)

    assert scene.mixture.shape == (1, 40000)
    np.testing.assert_array_equal(scene.sources["drinking_sipping"][:, 29152:], 0)


def test_missing_clip_leaves_the_rows_and_is_named_on_loading(official: Path) -> None:
    dataset = Esc50(official)

    rows = dataset.scenes("rebuilt")

    with pytest.raises(MissingFileError, match=r"audio/1-100038-A-14\.wav \(or 1-100038-A\.ogg\)"):
        dataset.load(rows[1], 8000, mono=True)


@pytest.mark.parametrize(
    "sort", ["truncated", "text renamed", "zero bytes", "zero length", "NaN", "8 channels"]
)
def test_unusable_clip_is_named(official: Path, spoil, sort: str) -> None:
    spoil(official / "audio" / DOG, sort)

    with pytest.raises(AudioFileError, match=r"1-100032-A-0\.wav"):
        load_first(official)


def test_silent_clip_is_refused_with_the_scene(official: Path, write_tone) -> None:
    write_tone(official / "audio" / SIPPING, level=0.0)

    with pytest.raises(DatasetError, match=r"scene 0000 .*interference is silent"):
        load_first(official)


def test_link_that_leads_out_of_the_root_is_refused(official: Path, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "dog.wav"
    (official / "audio" / DOG).rename(outside)
    (official / "audio" / DOG).symlink_to(outside)

    with pytest.raises(UnsafePathError, match="outside the dataset's root"):
        load_first(official)


def test_clips_are_those_of_the_table_that_are_on_disk(official: Path) -> None:
    dog, sipping = Esc50(official).clips("clips")

    assert (dog.clip_id, dog.origin, dog.fold, dog.labels) == (
        "1-100032-A",
        "100032",
        "1",
        ("dog",),
    )
    assert dog.path.samefile(official / "audio" / DOG)
    assert sipping.labels == ("drinking_sipping",)


@pytest.mark.parametrize("layout", ["flat", "official without meta"])
def test_clips_without_a_table_take_their_labels_from_the_list(
    tmp_path: Path, write_tone, layout: str
) -> None:
    folder, name = {"flat": ("", "1-100032-A.ogg"), "official without meta": ("audio", DOG)}[layout]
    write_tone(tmp_path / folder / name)
    (tmp_path / folder / "notes.txt").write_text("no clip")

    (clip,) = Esc50(tmp_path).clips("clips")

    assert (clip.clip_id, clip.labels, clip.fold) == ("1-100032-A", ("dog",), "1")


@pytest.mark.parametrize("name", ["../../secret.wav", "/etc/hostname", "../../audio/x.wav"])
def test_table_that_names_a_file_outside_the_root_is_refused(official: Path, name: str) -> None:
    with (official / "meta" / "esc50.csv").open("a") as table:
        table.write(f"{name},1,0,dog,True,1,A\n")

    with pytest.raises(UnsafePathError, match="outside the dataset's root"):
        Esc50(official).clips("clips")


def test_table_that_names_a_file_twice_is_refused(official: Path) -> None:
    with (official / "meta" / "esc50.csv").open("a") as table:
        table.write(f"{DOG},1,0,dog,True,100032,A\n")

    with pytest.raises(ManifestError, match=f"the file '{DOG}' more than once"):
        Esc50(official).clips("clips")


def test_one_clip_in_two_encodings_is_refused(flat: Path, write_tone) -> None:
    write_tone(flat / DOG)

    with pytest.raises(ManifestError, match="the clip '1-100032-A' more than once"):
        Esc50(flat).clips("clips")


def test_name_that_is_no_clip_name_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"'dog\.wav' is not the name of an ESC-50 clip"):
        parse_name("dog.wav")


def test_default_protocol_follows_what_is_on_disk(flat: Path, write_tone) -> None:
    dataset = Esc50(flat)

    assert dataset.default_protocol() == "esc10-rebuilt"
    write_tone(flat / "1-100038-A-14.wav")
    assert dataset.default_protocol() == "esc50-rebuilt"
    write_tone(flat / "esc50" / "mixture-0.wav")
    assert dataset.default_protocol() == "esc50-premixed"


def test_folder_without_anything_of_the_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingRootError, match="holds neither clips"):
        Esc50(tmp_path).default_protocol()


@pytest.mark.parametrize("below", ["", "esc50", "data/esc50", "evaluation/data/esc50"])
def test_premixed_scene_is_read_from_the_root_or_below_it(
    tmp_path: Path, write_tone, below: str
) -> None:
    write_tone(tmp_path / below / "segment-0.wav", level=0.1)
    write_tone(tmp_path / below / "mixture-0.wav", level=0.3)

    scene = load_first(tmp_path, "premixed", 16000)

    assert Esc50(tmp_path).default_protocol() == "esc50-premixed"
    assert list(scene.sources) == ["dog", "interference"]
    np.testing.assert_allclose(scene.sources["interference"], scene.sources["dog"] * 2, atol=1e-6)
    assert scene.mixture.shape == (1, 4000)


def test_premixed_padding_is_cut_to_the_shorter_file(premixed: Path, write_tone) -> None:
    write_tone(premixed / "mixture-0.wav", seconds=0.27)

    assert load_first(premixed, "premixed", 16000).mixture.shape == (1, 4000)


def test_premixed_pair_at_two_rates_is_refused(premixed: Path, write_tone) -> None:
    write_tone(premixed / "mixture-0.wav", rate=32000)

    with pytest.raises(AudioMismatchError, match="16000 Hz and 32000 Hz"):
        load_first(premixed, "premixed", 16000)


def test_missing_premixed_file_is_named(premixed: Path) -> None:
    dataset = Esc50(premixed)

    with pytest.raises(MissingFileError, match=r"segment-1\.wav is missing"):
        dataset.load(dataset.scenes("premixed")[1], 16000, mono=True)


def test_all_78_rows_can_be_rebuilt_from_the_real_esc10_clips(shared: Path) -> None:
    dataset = Esc50(shared / "esc10")
    rows = dataset.scenes("esc10-rebuilt")

    scenes = [dataset.load(row, 16000, mono=True) for row in rows]

    assert dataset.default_protocol() == "esc10-rebuilt"
    assert {scene.mixture.shape for scene in scenes} == {(1, 80000)}
    assert max(float(np.abs(scene.mixture).max()) for scene in scenes) <= 1.0


def test_real_esc10_clips_have_the_same_labels_by_table_and_by_name(
    shared: Path, tmp_path: Path
) -> None:
    by_table = Esc50(shared / "esc10").clips("clips")
    for clip in by_table:
        (tmp_path / clip.path.name).touch()

    by_name = Esc50(tmp_path).clips("clips")

    assert len(by_table) == 400
    assert {(c.clip_id, c.labels, c.fold, c.origin) for c in by_table} == {
        (c.clip_id, c.labels, c.fold, c.origin) for c in by_name
    }


def test_a_renamed_copy_of_the_real_clips_gives_the_same_scene(
    shared: Path, tmp_path: Path
) -> None:
    original = Esc50(shared / "esc10")
    row = original.scenes("esc10-rebuilt")[0]
    for name in (row.details["target"], row.details["interference"]):
        shutil.copy(shared / "esc10" / f"{parse_name(name).key}.ogg", tmp_path)

    copy = Esc50(tmp_path).load(row, 16000, mono=True)

    np.testing.assert_array_equal(copy.mixture, original.load(row, 16000, mono=True).mixture)


@pytest.mark.parametrize("above", ["", "ESC-50-master/"])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_an_unpacked_repository_and_flac_copies_are_understood(
    tmp_path: Path, above: str, suffix: str
) -> None:
    corpus = write_esc50(tmp_path / above, pairs=1)
    for path in list((corpus / "audio").iterdir()):
        if suffix == ".flac":
            samples, rate = soundfile.read(path)
            soundfile.write(path.with_suffix(".flac"), samples, rate)
            path.unlink()
    dataset = Esc50(tmp_path)
    row = dataset.scenes("rebuilt")[0]

    scene = dataset.load(row, 16000, mono=True)

    assert dataset.default_protocol() == "esc50-rebuilt"
    assert all(name.startswith(f"{above}audio/") for name in scene.files)
    assert all(name.endswith(suffix) for name in scene.files)
    assert tuple(scene.files) == dataset.files(row)
    assert [clip.path.suffix for clip in dataset.clips("clips")] == [suffix] * 2


@pytest.mark.slow
def test_all_78_rows_run_end_to_end_on_the_real_clips(shared: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"

    summary = run(
        workspace,
        models=["mixture"],
        datasets=["esc50:esc10-rebuilt"],
        settings=[f"datasets.esc50.root={shared / 'esc10'}", "metrics=[sdr,si_sdr,bss_sir]"],
    )

    found = scores(workspace)
    expected = load_protocol("esc10-rebuilt").expected_items
    assert summary.ok
    assert len(found) == 3 * 78 == 3 * (expected or 0)
    assert all(value is not None and np.isfinite(value) for value, _ in found.values())
    # Both clips have one energy, so the mixture is at 0 dB, whatever the recording.
    ratios = [value for key, (value, _) in found.items() if key[5] == "sdr"]
    np.testing.assert_allclose(np.array(ratios, dtype=float), 0.0, atol=1e-4)
