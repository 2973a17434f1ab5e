from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from sepbench_testkit.corpora.dcase2024_task9 import LINES, RATE, write_dcase2024_task9

from sepbench.datasets.dcase2024_task9 import Dcase2024Task9
from sepbench.harness.errors import (
    AudioMismatchError,
    DatasetError,
    ManifestError,
    MissingFileError,
    MissingRootError,
    UnsafePathError,
)
from sepbench.harness.mixing import mean_power

TABLE = "lass_synthetic_validation.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dcase2024_task9(tmp_path)


def load(root: Path, position: int = 0):
    dataset = Dcase2024Task9(root)
    return dataset.load(dataset.scenes("validation")[position], RATE, mono=True)


def test_columns_are_read_by_position_whatever_the_header_says(root: Path) -> None:
    rows = Dcase2024Task9(root).scenes("validation")

    assert len(rows) == 3
    assert rows[0].targets[0].texts == ("Rain falls, then thunder",)
    assert rows[0].details == {"target": "1001.wav", "interference": "-2002.wav", "snr_db": -15}
    assert rows[1].targets[0].attributes == {"snr_db": 3}
    assert rows[2].origins == ("café 3003", "1001")


@pytest.mark.parametrize(("position", "snr_db"), [(0, -15), (1, 3), (2, 15)])
def test_scene_is_mixed_at_the_energy_ratio_of_the_list(
    root: Path, position: int, snr_db: int
) -> None:
    scene = load(root, position)

    target, noise = scene.sources["target"], scene.sources["interference"]
    assert 10 * np.log10(mean_power(target) / mean_power(noise)) == pytest.approx(snr_db, abs=1e-4)
    np.testing.assert_allclose(target + noise, scene.mixture, atol=1e-6)
    assert float(np.abs(scene.mixture).max()) <= 1.0


def test_target_keeps_its_level_unless_the_mixture_clips(root: Path) -> None:
    quiet = load(root, 2)
    soundfile.write(root / "lass_validation" / "1001.wav", np.full(RATE, 0.5), RATE)

    loud = load(root, 0)

    original, _ = soundfile.read(root / "lass_validation" / "café 3003.wav", dtype="float32")
    np.testing.assert_array_equal(quiet.sources["target"][0], original)
    assert float(np.abs(loud.mixture).max()) == pytest.approx(0.9, rel=1e-6)


@pytest.mark.parametrize("folder", ["lass_validation", "lass_validation/lass_validation", "."])
def test_clips_are_found_however_the_archive_was_unpacked(tmp_path: Path, folder: str) -> None:
    root = write_dcase2024_task9(tmp_path, folder=folder)

    clips = Dcase2024Task9(root).clips("clips")

    assert {clip.clip_id for clip in clips} == {"1001", "-2002", "café 3003"}
    assert load(root).mixture.shape == (1, RATE)


def test_clips_have_the_captions_that_ask_for_them(root: Path) -> None:
    captions = {clip.clip_id: clip.captions for clip in Dcase2024Task9(root).clips("clips")}

    assert captions["1001"] == ("Rain falls, then thunder",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1001,-2002,0", "line 5: 3 fields; expected source, noise, SNR, caption"),
        ("1001,-2002,loud,Rain", "line 5: the SNR is 'loud'"),
        ("1001,-2002,2.5,Rain", r"line 5: the SNR is '2\.5'; expected whole dB"),
        ("1001,-2002,16,Rain", "line 5: the SNR is '16'"),
        ("1001,-2002,nan,Rain", "line 5: the SNR is 'nan'"),
    ],
)
def test_line_that_cannot_be_understood_is_refused(root: Path, line: str, message: str) -> None:
    (root / TABLE).write_text("\n".join([*LINES, line]), encoding="utf-8")

    with pytest.raises(ManifestError, match=message):
        Dcase2024Task9(root).scenes("validation")


def test_list_that_is_no_text_is_refused(root: Path) -> None:
    (root / TABLE).write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ManifestError, match="cannot be read as a CSV table"):
        Dcase2024Task9(root).scenes("validation")


def test_missing_clip_is_named(root: Path) -> None:
    (root / "lass_validation" / "-2002.wav").unlink()

    with pytest.raises(MissingFileError, match=r"-2002\.wav is missing under"):
        load(root)


def test_name_that_leads_out_of_the_root_is_refused(root: Path) -> None:
    soundfile.write(root.parent / "outside.wav", np.full(RATE, 0.5), RATE)
    (root / TABLE).write_text("a,b,c,d\n../../outside,1001,0,Rain\n")

    with pytest.raises(UnsafePathError, match="outside the dataset's root"):
        load(root)


def test_clips_of_different_lengths_are_refused(root: Path) -> None:
    soundfile.write(root / "lass_validation" / "-2002.wav", np.full(2 * RATE, 0.1), RATE)

    with pytest.raises(AudioMismatchError, match=r"scene 0000 .*differ in length"):
        load(root)


def test_silent_clip_is_refused_with_the_scene(root: Path) -> None:
    soundfile.write(root / "lass_validation" / "1001.wav", np.zeros(RATE), RATE)

    with pytest.raises(DatasetError, match=r"scene 0000 .*target is silent"):
        load(root)


def test_default_protocol_needs_the_list(root: Path) -> None:
    assert Dcase2024Task9(root).default_protocol() == "dcase24t9-16k"
    (root / TABLE).unlink()
    with pytest.raises(MissingRootError, match=f"holds no {TABLE}"):
        Dcase2024Task9(root).default_protocol()
    with pytest.raises(MissingFileError, match=r"zenodo\.10886481"):
        Dcase2024Task9(root).scenes("validation")
