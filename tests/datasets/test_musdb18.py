from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sepbench_testkit.corpora.musdb18 import (
    NAMES,
    RATE,
    song,
    write_hq,
    write_stem_file,
    write_stems,
)

from sepbench.datasets.musdb18 import Musdb18
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import (
    AudioFileError,
    ManifestError,
    MissingFileError,
    MissingRootError,
    UnknownNameError,
)

STEMS = {"drums", "bass", "other", "vocals"}


@pytest.fixture
def stems(tmp_path: Path) -> Path:
    return write_stems(tmp_path, "test")


@pytest.fixture
def hq(tmp_path: Path) -> Path:
    return write_hq(tmp_path, "test")


def test_a_song_is_a_scene_with_its_whole_name_and_four_targets(stems: Path) -> None:
    rows = Musdb18(stems).scenes("test")

    assert tuple(row.scene_id for row in rows) == NAMES
    assert {target.name for target in rows[0].targets} == STEMS
    assert {target.texts for target in rows[0].targets} >= {("vocals",), ("other instruments",)}
    assert {target.cluster for target in rows[0].targets} == {NAMES[0]}
    assert rows[0].origins == (NAMES[0],)


def test_streams_are_read_in_the_order_of_the_corpus(stems: Path) -> None:
    dataset = Musdb18(stems)
    row = dataset.scenes("test")[1]

    scene = dataset.load(row, RATE, mono=False)

    truth = song(seed=1)
    assert scene.mixture.shape[0] == 2
    assert set(scene.sources) == STEMS
    for name, samples in {"mixture": scene.mixture, **scene.sources}.items():
        length = min(samples.shape[1], truth[name].shape[1])
        error = samples[:, :length] - truth[name][:, :length]
        assert np.mean(error**2) < 0.05 * np.mean(truth[name] ** 2), name  # AAC at 256 kbit/s
    assert list(scene.files) == [f"test/{NAMES[1]}.stem.mp4"]


def test_the_files_of_the_hq_release_are_read_as_they_are(hq: Path) -> None:
    dataset = Musdb18(hq)

    scene = dataset.load(dataset.scenes("test-hq")[2], RATE, mono=False)

    truth = song(seed=2)
    assert np.allclose(scene.sources["vocals"], truth["vocals"], atol=1.0 / 32768)
    assert np.allclose(scene.mixture, truth["mixture"], atol=1.0 / 32768)
    assert len(scene.files) == 5


def test_a_scene_comes_at_the_protocols_rate_and_channels(hq: Path) -> None:
    dataset = Musdb18(hq)

    scene = dataset.load(dataset.scenes("test-hq")[0], 32000, mono=True)

    assert {samples.shape for samples in scene.sources.values()} == {(1, 32000)}
    assert scene.mixture.shape == (1, 32000)


def test_the_release_that_is_there_decides_the_protocol(tmp_path: Path) -> None:
    write_hq(tmp_path / "hq", "test")
    write_stems(tmp_path / "stems", "test")

    assert Musdb18(tmp_path / "hq").default_protocol() == "sisec18-hq"
    assert Musdb18(tmp_path / "stems").default_protocol() == "sisec18"


def test_training_stems_are_examples_that_know_their_stream(tmp_path: Path) -> None:
    write_stems(tmp_path, "train", NAMES[:2])

    clips = Musdb18(tmp_path).clips("train-stems")

    assert len(clips) == 2 * 4
    vocals = next(clip for clip in clips if clip.labels == ("vocals",))
    assert (vocals.origin, vocals.stream) == (NAMES[0], 4)
    samples = read_audio(vocals.path, stream=vocals.stream).samples
    truth = song(seed=0)["vocals"]
    length = min(samples.shape[1], truth.shape[1])
    assert np.mean((samples[:, :length] - truth[:, :length]) ** 2) < 0.05 * np.mean(truth**2)


def test_what_a_mac_left_behind_is_no_song(hq: Path) -> None:
    (hq / "test" / "__MACOSX").mkdir()
    (hq / "test" / "._Zeno - #1").mkdir()
    (hq / "test" / ".DS_Store").write_bytes(b"x")

    assert len(Musdb18(hq).scenes("test-hq")) == len(NAMES)


def test_flac_copies_are_found(hq: Path) -> None:
    for wav in (hq / "test").rglob("*.wav"):
        audio = read_audio(wav)
        soundfile.write(wav.with_suffix(".flac"), audio.samples.T, RATE)
        wav.unlink()
    dataset = Musdb18(hq)

    scene = dataset.load(dataset.scenes("test-hq")[0], RATE, mono=False)

    assert all(name.endswith(".flac") for name in scene.files)


def test_a_song_without_a_stem_is_named(hq: Path) -> None:
    (hq / "test" / NAMES[2] / "bass.wav").unlink()

    with pytest.raises(ManifestError, match=r"Over has no bass\.wav"):
        Musdb18(hq).scenes("test-hq")


def test_a_song_that_is_gone_since_planning_is_named(stems: Path) -> None:
    dataset = Musdb18(stems)
    row = dataset.scenes("test")[0]
    shutil.rmtree(stems / "test")

    with pytest.raises(MissingFileError, match="Schoolboy"):
        dataset.load(row, RATE, mono=True)


def test_a_file_with_fewer_streams_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    few = {name: song()[name] for name in ("mixture", "vocals")}
    write_stem_file(tmp_path / "test" / "A - B.stem.mp4", few)
    dataset = Musdb18(tmp_path)

    with pytest.raises(AudioFileError, match="has 2 audio streams; stream 2"):
        dataset.load(dataset.scenes("test")[0], RATE, mono=True)


def test_an_empty_root_and_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingRootError, match="holds neither"):
        Musdb18(tmp_path).default_protocol()
    with pytest.raises(MissingRootError, match=r"no \.stem\.mp4 files"):
        Musdb18(tmp_path).scenes("test")
    with pytest.raises(UnknownNameError, match="list 'tests'"):
        Musdb18(tmp_path).scenes("tests")
    with pytest.raises(MissingRootError, match="needs the folder"):
        Musdb18().scenes("test")


REAL = (
    ("train", "Music Delta - 80s Rock", 300_032),
    ("test", "The Easton Ellises - Falcon 69", 268_288),
)


@pytest.mark.parametrize(("split", "name", "length"), REAL)
def test_real_files_decode_to_their_known_length(
    shared: Path, split: str, name: str, length: int
) -> None:
    dataset = Musdb18(shared / "musdb18")
    (row,) = dataset.scenes(split)

    scene = dataset.load(row, RATE, mono=False)

    assert row.scene_id == name
    assert scene.mixture.shape == (2, length)
    if name.endswith("69"):
        assert np.abs(scene.mixture).max() > 1.0  # a decode through 16 bits would clip it


@pytest.mark.parametrize(("split", "name", "length"), REAL)
@pytest.mark.parametrize("stream", range(5))
def test_real_files_decode_as_ffmpeg_decodes_them(
    shared: Path, split: str, name: str, length: int, stream: int
) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg on this machine")
    path = shared / "musdb18" / split / f"{name}.stem.mp4"
    options = ["-v", "error", "-i", str(path), "-map", f"0:a:{stream}", "-f", "f32le", "-"]
    raw = subprocess.run(["ffmpeg", *options], capture_output=True, check=True).stdout
    expected = np.frombuffer(raw, dtype="<f4").reshape(-1, 2).T

    samples = read_audio(path, stream=stream).samples

    assert samples.shape == expected.shape == (2, length)
    assert np.abs(samples - expected).max() <= 2e-7


@pytest.mark.parametrize("above", ["musdb18", "MUSDB18-HQ"])
@pytest.mark.parametrize("hq", [False, True])
def test_a_root_one_folder_above_the_corpus_is_understood(
    tmp_path: Path, above: str, hq: bool
) -> None:
    (write_hq if hq else write_stems)(tmp_path / above, "test", NAMES[:1])
    (tmp_path / "__MACOSX" / "test" / "._junk").mkdir(parents=True)
    dataset = Musdb18(tmp_path)
    (row,) = dataset.scenes("test-hq" if hq else "test")

    scene = dataset.load(row, 44100, mono=False)

    assert dataset.default_protocol() == ("sisec18-hq" if hq else "sisec18")
    assert row.scene_id == NAMES[0]
    assert all(name.startswith(f"{above}/test/") for name in scene.files)
    assert set(scene.files) == set(dataset.files(row))


def test_both_releases_side_by_side_are_told_apart(tmp_path: Path) -> None:
    write_hq(tmp_path / "musdb18hq", "test", NAMES[:1])
    write_stems(tmp_path / "musdb18", "test", NAMES[1:2])
    dataset = Musdb18(tmp_path)

    assert [row.scene_id for row in dataset.scenes("test")] == [NAMES[1]]
    assert [row.scene_id for row in dataset.scenes("test-hq")] == [NAMES[0]]


def test_one_release_in_two_folders_is_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_hq(tmp_path / folder, "test", NAMES[:1])

    with pytest.raises(ManifestError, match=r"a/test and .*b/test both hold songs"):
        Musdb18(tmp_path).scenes("test-hq")


def test_capitals_in_the_suffix_are_part_of_no_name(tmp_path: Path) -> None:
    write_stems(tmp_path, "test", NAMES[:1])
    (path,) = (tmp_path / "test").iterdir()
    path.rename(path.with_name(f"{NAMES[0]}.STEM.MP4"))

    (row,) = Musdb18(tmp_path).scenes("test")

    assert row.scene_id == NAMES[0]
    assert Musdb18(tmp_path).load(row, 44100, mono=True).mixture.shape[0] == 1
