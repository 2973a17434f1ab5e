"""`bench probe` over learned encoders from checkpoint files, with weights that are filled."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sepbench_testkit.audio_encoders import GOLDEN
from sepbench_testkit.filled import fill_state_dict

from sepbench.harness.cli import main

pytestmark = pytest.mark.slow  # three published networks at full size

RATE = 8000
# Names of ESC-50's clips of dogs and of rain; what sounds in the files here are tones.
CLIPS = {
    "1-100032-A-0": 306.0,
    "2-114280-A-0": 312.0,
    "3-136288-A-0": 318.0,
    "1-17367-A-10": 3060.0,
    "2-101676-A-10": 3120.0,
    "3-132852-A-10": 3180.0,
}
PROBES = ["1-shot", "Retrieval mAP", "Linear probe"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in ESC-50's layout: two classes, three folds, one clip each."""
    folder = tmp_path_factory.mktemp("esc50") / "audio"
    folder.mkdir()
    time = np.arange(3 * RATE) / RATE
    for name, pitch in CLIPS.items():
        soundfile.write(folder / f"{name}.wav", 0.5 * np.sin(2 * np.pi * pitch * time), RATE)
    return folder.parent


@pytest.fixture(scope="module")
def checkpoints(
    tmp_path_factory: pytest.TempPathFactory, clap_state: dict[str, torch.Tensor]
) -> dict[str, Path]:
    """Files in the forms in which they are published."""
    folder = tmp_path_factory.mktemp("checkpoints")
    laion = {f"module.{name}": tensor for name, tensor in clap_state.items()}
    htsat = fill_state_dict(GOLDEN.parent / "stsed" / "sed_state_dict.json", 1)
    cnn14 = fill_state_dict(GOLDEN / "cnn14" / "state_dict.json", 1)
    torch.save({"epoch": 15, "state_dict": laion}, folder / "clap.pt")
    torch.save({"state_dict": {f"sed_model.{n}": t for n, t in htsat.items()}}, folder / "htsat")
    torch.save({"iteration": 1, "model": cnn14}, folder / "cnn14.pth")
    return {
        "clap-audio": folder / "clap.pt",
        "htsat": folder / "htsat",
        "cnn14": folder / "cnn14.pth",
    }


def bench(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", "probe", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_four_encoders_stand_in_one_table(
    root: Path, checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [f"encoders.{name}.checkpoint={path}" for name, path in checkpoints.items()]

    code = bench(
        monkeypatch,
        *("-e", "clap-audio,htsat,cnn14,logmel-stats", "-d", "esc10", "--root", f"esc50={root}"),
        *("--shots", "1", "--picture", "-o", f"{tmp_path}/out", "--cache", f"{tmp_path}/cache"),
        *settings,
    )

    with (tmp_path / "out" / "probe.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "measured"]
    assert code == 0
    assert [(row["encoder"], row["probe"]) for row in rows] == [
        (name, probe) for name in (*checkpoints, "logmel-stats") for probe in PROBES
    ]
    assert all(0 <= float(row["percent"]) <= 100 for row in rows)
    assert {row["clips"] for row in rows} == {"6"}
    # A pure tone is told from another even by networks that have learned nothing.
    assert all(float(row["percent"]) == 100 for row in rows if row["encoder"] == "logmel-stats")
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


def test_the_detector_is_probed_and_locates(
    root: Path,
    checkpoints: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = bench(
        monkeypatch,
        *("--sed", "-e", "htsat", "-d", "esc10", "--root", f"esc50={root}", "--picture"),
        *("--locate", "1-100032-A", "-o", f"{tmp_path}/out", "--cache", f"{tmp_path}/cache"),
        f"encoders.htsat.checkpoint={checkpoints['htsat']}",
    )

    lines = capsys.readouterr().out.splitlines()
    with (tmp_path / "out" / "locations.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert code == 0
    assert lines[2].startswith("Encoder  D    Event mAP")
    assert (row["detector"], row["class"]) == ("htsat", "Dog")
    assert float(row["end"]) - float(row["start"]) == pytest.approx(2.0)
    assert 0 < float(row["in_segment"]) < 1
    assert (tmp_path / "out" / "1-100032-A.png").is_file()
