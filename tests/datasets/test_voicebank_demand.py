from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sepbench_testkit.corpora.voicebank_demand import write_voicebank
from sepbench_testkit.machine import rows as select
from sepbench_testkit.machine import scores

from sepbench.datasets.voicebank_demand import VoiceBankDemand
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import (
    AudioFileError,
    AudioMismatchError,
    ManifestError,
    MissingFileError,
    MissingRootError,
)
from sepbench.harness.run.grid import run_grid
from sepbench.harness.settings import resolve


@pytest.fixture
def corpus(tmp_path: Path, write_tone) -> Path:
    for stem in ("p232_001", "p257_019"):
        write_tone(tmp_path / "clean_testset_wav" / f"{stem}.wav", frequency=200)
        write_tone(tmp_path / "noisy_testset_wav" / f"{stem}.wav", frequency=300)
    return tmp_path


def load_first(corpus: Path, rate: int = 16000):
    dataset = VoiceBankDemand(corpus)
    return dataset.load(dataset.scenes("test")[0], rate, mono=True)


def test_each_pair_of_files_is_a_scene_with_speech_as_its_target(corpus: Path) -> None:
    first, second = VoiceBankDemand(corpus).scenes("test")

    assert (first.scene_id, second.scene_id) == ("p232_001", "p257_019")
    assert first.targets[0].name == first.targets[0].label == "speech"
    assert first.targets[0].texts == ("speech",)
    assert first.targets[0].cluster == "p232_001"
    assert first.targets[0].attributes == {"speaker": "p232"}
    assert first.origins == ("p232",)


def test_suffixed_folders_are_found(corpus: Path) -> None:
    expected = VoiceBankDemand(corpus).scenes("test")
    for folder in ("clean_testset_wav", "noisy_testset_wav"):
        (corpus / folder).rename(corpus / f"{folder}_16k")

    dataset = VoiceBankDemand(corpus)

    assert dataset.scenes("test") == expected
    assert dataset.load(expected[0], 16000, mono=True).mixture.shape == (1, 4000)


def test_folders_of_different_copies_are_not_paired(corpus: Path) -> None:
    (corpus / "noisy_testset_wav").rename(corpus / "noisy_testset_wav_16k")

    with pytest.raises(MissingRootError, match="noisy_testset_wav"):
        VoiceBankDemand(corpus).default_protocol()


def test_folder_without_the_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingRootError, match="does not hold both"):
        VoiceBankDemand(tmp_path).scenes("test")


def test_noise_is_what_is_left_of_the_mixture(corpus: Path) -> None:
    scene = load_first(corpus, 8000)

    assert scene.sample_rate == 8000
    assert scene.mixture.shape == (1, 2000)
    np.testing.assert_allclose(
        scene.sources["speech"] + scene.sources["noise"], scene.mixture, atol=1e-7
    )
    assert set(scene.files) == {"clean_testset_wav/p232_001.wav", "noisy_testset_wav/p232_001.wav"}


@pytest.mark.parametrize("folder", ["clean_testset_wav", "noisy_testset_wav"])
def test_file_without_partner_is_named(corpus: Path, folder: str) -> None:
    (corpus / folder / "p257_019.wav").unlink()

    with pytest.raises(ManifestError, match=rf"1 files have no partner in .*{folder}: p257_019"):
        VoiceBankDemand(corpus).scenes("test")


def test_files_that_a_mac_leaves_behind_are_ignored(corpus: Path) -> None:
    (corpus / "clean_testset_wav" / "._p232_001.wav").write_bytes(b"Mac")
    (corpus / "clean_testset_wav" / ".DS_Store").write_bytes(b"Mac")

    assert len(VoiceBankDemand(corpus).scenes("test")) == 2


def test_one_utterance_under_two_spellings_is_refused(corpus: Path, write_tone) -> None:
    for folder in ("clean_testset_wav", "noisy_testset_wav"):
        write_tone(corpus / folder / "p232_001.WAV")

    with pytest.raises(ManifestError, match="utterance 'p232_001' more than once"):
        VoiceBankDemand(corpus).scenes("test")


def test_log_gives_noise_and_snr_of_the_files_that_are_there(corpus: Path) -> None:
    (corpus / "log_testset.txt").write_text("p232_001 bus 17.5\r\n\np232_999 cafe 2.5\n")

    first, second = VoiceBankDemand(corpus).scenes("test")

    assert first.targets[0].attributes == {"speaker": "p232", "noise": "bus", "snr_db": 17.5}
    assert second.targets[0].attributes == {"speaker": "p257"}


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("p232_001 bus\n", "line 1, is not 'file noise snr'"),
        ("p232_001 bus loud\n", "SNR in line 1 is 'loud'"),
        ("p232_001 bus 2.5\np232_001 cafe 7.5\n", "line 2, names its file again"),
        (b"\xff\xfe", "cannot be read as text"),
    ],
)
def test_log_that_cannot_be_understood_is_refused(corpus: Path, log, words: str) -> None:
    data = log if isinstance(log, bytes) else log.encode()
    (corpus / "log_testset.txt").write_bytes(data)

    with pytest.raises(ManifestError, match=words):
        VoiceBankDemand(corpus).scenes("test")


@pytest.mark.parametrize(
    ("other", "words"),
    [({"rate": 48000}, "16000 Hz and 48000 Hz"), ({"seconds": 0.26}, "4000 and 4160 samples")],
    ids=["rate", "length"],
)
def test_pair_that_does_not_match_is_refused(corpus: Path, write_tone, other, words) -> None:
    write_tone(corpus / "noisy_testset_wav" / "p232_001.wav", **other)

    with pytest.raises(AudioMismatchError, match=words):
        load_first(corpus)


@pytest.mark.parametrize(
    "sort", ["truncated", "text renamed", "zero bytes", "zero length", "NaN", "8 channels"]
)
def test_unusable_file_is_named(corpus: Path, spoil, sort: str) -> None:
    spoil(corpus / "noisy_testset_wav" / "p232_001.wav", sort)

    with pytest.raises(AudioFileError, match=r"noisy_testset_wav.p232_001\.wav"):
        load_first(corpus)


def test_file_that_vanishes_after_listing_is_named(corpus: Path) -> None:
    dataset = VoiceBankDemand(corpus)
    row = dataset.scenes("test")[0]
    (corpus / "clean_testset_wav" / "p232_001.wav").unlink()

    with pytest.raises(MissingFileError, match=r"p232_001\.wav is missing"):
        dataset.load(row, 16000, mono=True)


def test_training_speech_is_a_pool_by_speaker_and_empty_where_absent(
    corpus: Path, write_tone
) -> None:
    assert VoiceBankDemand(corpus).clips("train-speech") == ()
    write_tone(corpus / "clean_trainset_28spk_wav" / "p226_001.wav")
    write_tone(corpus / "clean_trainset_28spk_wav_16k" / "p226_001.wav")
    write_tone(corpus / "clean_trainset_56spk_wav_16k" / "p234_002.wav")

    first, second = VoiceBankDemand(corpus).clips("train-speech")

    assert (first.clip_id, first.origin, first.fold) == ("p226_001", "p226", "28spk")
    assert first.path == corpus / "clean_trainset_28spk_wav" / "p226_001.wav"
    assert (second.clip_id, second.origin, second.fold) == ("p234_002", "p234", "56spk")
    assert first.labels == ("speech",)


def test_the_whole_test_set_is_listed_quickly_and_once(tmp_path: Path) -> None:
    for folder in ("clean_testset_wav", "noisy_testset_wav"):
        (tmp_path / folder).mkdir()
        for number in range(824):
            (tmp_path / folder / f"p232_{number:03d}.wav").touch()
    dataset = VoiceBankDemand(tmp_path)

    start = time.process_time()  # of this process: others may share the machine
    rows = dataset.scenes("test")
    seconds = time.process_time() - start

    assert len(rows) == 824
    assert seconds < 0.3
    assert dataset.scenes("test") is rows


def test_six_real_pairs_have_their_known_lengths_and_ratios(shared: Path) -> None:
    dataset = VoiceBankDemand(shared / "voicebank_demand")

    scenes = [dataset.load(row, 16000, mono=True) for row in dataset.scenes("test")]

    seconds = [scene.mixture.shape[1] / 16000 for scene in scenes]
    np.testing.assert_allclose(seconds, [1.960, 3.255, 7.232, 4.861, 6.494, 5.079], atol=6e-4)
    energies = [
        np.square(scene.sources[name], dtype=np.float64).sum()
        for scene in scenes
        for name in ("speech", "noise")
    ]
    ratios = 10 * np.log10(np.array(energies[::2]) / np.array(energies[1::2]))
    np.testing.assert_allclose(ratios, [12.79, 8.95, 4.19, -0.75, 14.56, 9.44], atol=0.01)


def test_real_clean_file_is_the_speech_as_stored(shared: Path, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(shared / "voicebank_demand", copy)
    dataset = VoiceBankDemand(copy)
    row = dataset.scenes("test")[0]

    scene = dataset.load(row, 16000, mono=True)

    stored = read_audio(copy / "clean_testset_wav" / "p287_001.wav")
    np.testing.assert_array_equal(scene.sources["speech"], stored.samples)
    assert stored.sha256 in scene.files.values()


# File -> PESQ wb, STOI, SSNR, CSIG, CBAK, COVL of the noisy input, as measured beforehand with
# pesq, pystoi and pysepm.
NOISY = {
    "p287_001": (1.762, 0.846, 1.96, 2.82, 2.26, 2.23),
    "p287_003": (1.168, 0.773, -0.84, 2.30, 1.72, 1.64),
    "p287_004": (1.123, 0.675, -4.27, 1.90, 1.44, 1.40),
}


def test_the_noisy_input_of_real_pairs_scores_as_known(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("pesq", reason="the extra 'speech' is not installed")
    summary = run_grid(
        resolve(
            workspace=tmp_path,
            models=["mixture"],
            datasets=["voicebank-demand:vbd-enhancement"],
            overrides=[
                "engine=inline",
                "bounds=[]",
                f"datasets.voicebank-demand.root={shared / 'voicebank_demand'}",
            ],
            environment={},
        )
    )

    found = scores(tmp_path)

    assert summary.ok
    names = ("pesq_wb", "stoi", "ssnr", "csig", "cbak", "covl")
    for scene, expected in NOISY.items():
        values = [
            found["mixture", "vbd-enhancement", scene, "speech", "0", name][0] for name in names
        ]
        np.testing.assert_allclose(values, expected, atol=6e-3)


# --- layouts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clean", "noisy"),
    [
        ("DS_10283_2791/clean_testset_wav", "DS_10283_2791/noisy_testset_wav"),
        ("clean_testset_wav_16kHz", "noisy_testset_wav_16kHz"),
        ("test/clean", "test/noisy"),
        ("vbd/test/clean", "vbd/test/noisy"),
    ],
)
def test_the_test_set_is_found_where_people_put_it(
    corpus: Path, tmp_path: Path, clean: str, noisy: str
) -> None:
    expected = VoiceBankDemand(corpus).scenes("test")
    for before, after in (("clean_testset_wav", clean), ("noisy_testset_wav", noisy)):
        (corpus / after).parent.mkdir(parents=True, exist_ok=True)
        (corpus / before).rename(corpus / after)

    dataset = VoiceBankDemand(tmp_path)

    assert dataset.scenes("test") == expected
    assert dataset.files(expected[0]) == (f"{clean}/p232_001.wav", f"{noisy}/p232_001.wav")
    assert dataset.load(expected[0], 16000, mono=True).mixture.shape == (1, 4000)


def test_flac_copies_and_the_first_releases_training_folder_are_found(tmp_path: Path) -> None:
    for part in ("clean", "noisy"):
        for folder in (f"{part}_testset_wav", "clean_trainset_wav"):
            (tmp_path / folder).mkdir(exist_ok=True)
            soundfile.write(tmp_path / folder / "p232_001.flac", np.full(4000, 0.1), 16000)
    dataset = VoiceBankDemand(tmp_path)

    scene = dataset.load(dataset.scenes("test")[0], 16000, mono=True)

    assert scene.mixture.shape == (1, 4000)
    assert [(clip.fold, clip.origin) for clip in dataset.clips("train-speech")] == [
        ("28spk", "p232")
    ]


def test_the_original_at_48_khz_counts_before_its_copy(tmp_path: Path) -> None:
    write_voicebank(tmp_path)
    write_voicebank(tmp_path, copy=True)
    dataset = VoiceBankDemand(tmp_path)
    row = dataset.scenes("test")[0]

    scene = dataset.load(row, 16000, mono=True)

    assert dataset.files(row)[0] == "clean_testset_wav/p232_001.wav"
    assert scene.sample_rate == 16000
    assert scene.mixture.shape == (1, 16000)


def test_original_and_copy_are_the_same_scene_but_for_the_rounding_of_the_copy(
    tmp_path: Path,
) -> None:
    original = VoiceBankDemand(write_voicebank(tmp_path / "48"))
    copy = VoiceBankDemand(write_voicebank(tmp_path / "16", copy=True))

    for row in original.scenes("test"):
        one, other = (each.load(row, 16000, mono=True) for each in (original, copy))

        assert one.mixture.shape == other.mixture.shape
        difference = one.mixture - other.mixture
        ratio = np.sum(one.mixture**2) / np.sum(difference**2)
        assert 10 * np.log10(ratio) > 60  # two roundings to 16 bit, and the resampler's edges


@pytest.mark.parametrize("folder", ["", "logfiles", "DS_10283_2791/logfiles"])
def test_a_table_by_snr_comes_from_the_log(tmp_path: Path, folder: str) -> None:
    root = write_voicebank(tmp_path / "corpus")
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "log_testset.txt").rename(root / folder / "log_testset.txt")
    workspace = tmp_path / "ws"
    run_grid(
        resolve(
            workspace=workspace,
            models=["mixture"],
            datasets=["voicebank-demand"],
            overrides=[
                *("engine=inline", "bounds=[]", "metrics=[sdr]"),
                f"datasets.voicebank-demand.root={root}",
            ],
            environment={},
        )
    )

    found = scores(workspace)
    attributes = {
        row["scene"]: row["snr"]
        for row in select(
            workspace, "SELECT scene, json_extract(attributes, '$.snr_db') snr FROM items"
        )
    }

    assert attributes == {"p232_001": 17.5, "p232_003": 2.5, "p257_019": 7.5}
    for scene, snr_db in attributes.items():
        value = found["mixture", "voicebank-demand", scene, "speech", "0", "sdr"][0]
        assert value == pytest.approx(snr_db, abs=0.1)
