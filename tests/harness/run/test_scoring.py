"""`bench score`: folders of estimates against folders of references."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sepbench.harness.api import Undefined
from sepbench.harness.audio import write_wav
from sepbench.harness.cli.score import command
from sepbench.harness.errors import MissingFileError, UnknownNameError, UsageError
from sepbench.harness.run.scoring import find_scenes, score_folders, summarise

RATE = 8000


def noise(seed: int, length: int = RATE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal((1, length))).astype(np.float32)


@pytest.fixture
def flat(tmp_path: Path) -> tuple[Path, Path]:
    """Two files; each estimate is half its reference, which is an SDR of 20·log10(2)."""
    for folder, gain in (("truth", 1.0), ("mine", 0.5)):
        (tmp_path / folder).mkdir()
        for seed, name in enumerate(("dog", "rain, heavy")):
            write_wav(tmp_path / folder / f"{name}.wav", noise(seed) * np.float32(gain), RATE)
    return tmp_path / "truth", tmp_path / "mine"


@pytest.fixture
def nested(tmp_path: Path) -> tuple[Path, Path]:
    """One song of two stems; the estimate of the vocals holds a tenth of the drums."""
    vocals, drums = noise(1), noise(2)
    for folder in ("truth", "mine"):
        (tmp_path / folder / "song - one").mkdir(parents=True)
    write_wav(tmp_path / "truth" / "song - one" / "vocals.wav", vocals, RATE)
    write_wav(tmp_path / "truth" / "song - one" / "drums.wav", drums, RATE)
    leak = vocals + np.float32(0.1) * drums
    write_wav(tmp_path / "mine" / "song - one" / "vocals.wav", leak, RATE)
    return tmp_path / "truth", tmp_path / "mine"


def test_half_the_reference_scores_six_decibels(flat: tuple[Path, Path]) -> None:
    rows = [
        row
        for found in score_folders(find_scenes(*flat), ["sdr"], mono=False, workers=1)
        for row in found
    ]

    assert [row.scene for row in rows] == ["dog", "rain, heavy"]
    for row in rows:
        assert row.values["sdr"] == pytest.approx(20 * math.log10(2), abs=1e-4)


def test_worker_processes_give_the_same_as_one(flat: tuple[Path, Path]) -> None:
    scenes = find_scenes(*flat)

    one = list(score_folders(scenes, ["sdr", "si_sdr"], mono=False, workers=1))
    two = list(score_folders(scenes, ["sdr", "si_sdr"], mono=False, workers=2))

    assert one == two


def test_a_folder_of_stems_is_a_scene_whose_mixture_is_their_sum(
    nested: tuple[Path, Path],
) -> None:
    (rows,) = score_folders(find_scenes(*nested), ["sdr", "bss_sir"], mono=False, workers=1)

    missing, vocals = rows
    assert (missing.target, missing.error) == ("drums", "MissingFileError: no estimate")
    assert vocals.values["sdr"] == pytest.approx(20.0, abs=0.2)
    assert vocals.values["bss_sir"] == pytest.approx(20.0, abs=1.0)


def test_a_target_alone_has_no_residual_to_interfere(flat: tuple[Path, Path]) -> None:
    rows = next(iter(score_folders(find_scenes(*flat), ["bss_sir"], mono=False, workers=1)))

    value = rows[0].values["bss_sir"]
    assert isinstance(value, Undefined)
    assert value.cause == "reference"


def test_another_rate_or_length_costs_that_file_only(flat: tuple[Path, Path]) -> None:
    write_wav(flat[1] / "dog.wav", noise(0), 16000)

    bad, good = score_folders(find_scenes(*flat), ["sdr"], mono=False, workers=1)

    assert bad[0].error.startswith("AudioMismatchError: dog: the files differ")
    assert "16000 Hz" in bad[0].error
    assert not good[0].error


def test_folders_that_do_not_fit_are_refused(flat: tuple[Path, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    with pytest.raises(UsageError, match="is not a folder"):
        find_scenes(tmp_path / "nowhere", flat[1])
    with pytest.raises(UsageError, match="holds no audio"):
        find_scenes(empty, flat[1])
    with pytest.raises(MissingFileError, match="has the name of a reference"):
        find_scenes(flat[0], empty)
    with pytest.raises(UnknownNameError, match="Did you mean 'sdr'"):
        list(score_folders(find_scenes(*flat), ["sdrr"], mono=False, workers=1))


def test_the_summary_counts_what_is_not_in_the_mean(flat: tuple[Path, Path]) -> None:
    write_wav(flat[1] / "dog.wav", noise(0) * 0, RATE)
    rows = [
        row
        for found in score_folders(find_scenes(*flat), ["si_sdr"], mono=False, workers=1)
        for row in found
    ]

    header, line = summarise(rows, ["si_sdr"]).splitlines()

    assert header.split() == ["Metric", "Mean", "Median", "n", "Undefined", "±inf", "Failed"]
    assert line.startswith("SI-SDR [dB] (si_sdr@1)")
    # The mute one is undefined; the other is an exact half, which SI-SDR puts at +inf.
    assert line.split()[-3:] == ["1", "1", "0"]


def test_the_command_prints_a_table_and_writes_a_row_an_estimate(
    flat: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / "scores.csv"
    arguments = ["-r", str(flat[0]), "-e", str(flat[1]), "-m", "sdr", "-o", str(output)]

    done = CliRunner().invoke(command, [*arguments, "--workers", "1"])

    assert done.exit_code == 0, done.output
    assert "SDR [dB] (sdr@1)" in done.output
    assert "6.021" in done.output
    with output.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["scene"] for row in rows] == ["dog", "rain, heavy"]
    assert float(rows[0]["sdr"]) == pytest.approx(6.0206, abs=1e-3)


def test_the_command_leaves_code_one_when_a_file_fails(
    flat: tuple[Path, Path], tmp_path: Path
) -> None:
    (flat[1] / "dog.wav").write_bytes(b"not audio")

    done = CliRunner().invoke(command, ["-r", str(flat[0]), "-e", str(flat[1]), "--workers", "1"])

    assert done.exit_code == 1
    assert "Error: dog/dog: AudioFileError" in done.stderr
