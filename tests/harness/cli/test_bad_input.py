"""Bad folders, lists and files of real corpora, end to end: one message, nothing lost."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

Bench = Callable[..., Any]
RUN = ("run", "-m", "kit-half", "bounds=[]", "engine.name=inline", "metrics=[sdr]", "-w", "work")
NAMES = ("p232_001.wav", "p232_002.wav", "p257_001.wav")


@pytest.fixture
def voicebank(tmp_path: Path) -> Path:
    """Three pairs in the official layout: noisy = clean + noise, one second each."""
    rng = np.random.default_rng(1)
    for number, name in enumerate(NAMES):
        clean = 0.1 * np.sin(np.arange(16000) * 0.05 * (number + 1))
        noise = 0.05 * rng.standard_normal(16000)
        for folder, signal in (
            ("clean_testset_wav", clean),
            ("noisy_testset_wav", clean + noise),
        ):
            path = tmp_path / "vb" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, signal, 16000, subtype="FLOAT")
    return tmp_path / "vb"


def command(root: Path) -> tuple[str, ...]:
    return (*RUN, "-d", "voicebank-demand", "--root", f"voicebank-demand={root}")


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "work/reports/leaderboard.csv").open(newline="", encoding="utf-8") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def test_whole_files_are_all_scored(bench: Bench, voicebank: Path, tmp_path: Path) -> None:
    done = bench(*command(voicebank))

    row = rows(tmp_path)["kit-half"]
    assert done.code == 0
    assert (row["scored"], row["failed"]) == ("3", "0")
    # Half of s + n, of powers 2 to 1: the error is (s − n) / 2, of power 3/8 of that of s.
    assert float(row["sdr"]) == pytest.approx(10 * np.log10(8 / 3), abs=0.1)


@pytest.mark.parametrize("sort", ["text", "empty", "nan", "truncated", "channels", "rate"])
def test_a_spoilt_file_fails_its_own_items_only(
    bench: Bench, voicebank: Path, tmp_path: Path, sort: str
) -> None:
    spoilt = voicebank / "noisy_testset_wav" / NAMES[0]
    whole = spoilt.read_bytes()
    match sort:
        case "text":
            spoilt.write_text("this is no audio\n" * 50)
        case "empty":
            spoilt.write_bytes(b"")
        case "nan":
            soundfile.write(spoilt, np.full(16000, np.nan), 16000, subtype="FLOAT")
        case "truncated":
            spoilt.write_bytes(whole[: len(whole) // 2])
        case "channels":
            soundfile.write(spoilt, np.full((16000, 8), 0.1), 16000, subtype="FLOAT")
        case "rate":
            soundfile.write(spoilt, np.full(16000, 0.1), 44100, subtype="FLOAT")

    done = bench(*command(voicebank))

    row = rows(tmp_path)["kit-half"]
    assert done.code == 1
    assert (row["scored"], row["failed"]) == ("2", "1")
    assert NAMES[0] in done.err
    assert "Traceback" not in done.err


def test_a_repaired_file_is_all_that_is_done_again(
    bench: Bench, voicebank: Path, tmp_path: Path
) -> None:
    spoilt = voicebank / "noisy_testset_wav" / NAMES[0]
    whole = spoilt.read_bytes()
    spoilt.write_bytes(b"")
    bench(*command(voicebank))
    spoilt.write_bytes(whole)

    done = bench(*command(voicebank))

    assert done.code == 0
    assert done.err.startswith("1 items done.")
    assert rows(tmp_path)["kit-half"]["scored"] == "3"


def test_a_root_without_the_layout_says_what_is_expected(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "vb").mkdir()

    done = bench(*command(tmp_path / "vb"))

    assert done.code in (1, 2)
    assert "voicebank-demand" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("name", ["esc50", "voicebank-demand"])
def test_a_root_that_is_a_file_is_refused(bench: Bench, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")

    done = bench(*RUN, "-d", name, "--root", f"{name}={tmp_path / 'file'}")

    assert done.code == 2
    assert f"Dataset {name}: {tmp_path / 'file'} is no folder that exists" in done.err


def esc50(root: Path, *names: str) -> None:
    """The clip list of the official layout, and no clip."""
    (root / "meta").mkdir(parents=True)
    (root / "audio").mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    lines += [f"{name},1,0,dog,True,100032,A" for name in names]
    (root / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")


def test_a_list_whose_clips_are_not_on_disk_fails_by_name(bench: Bench, tmp_path: Path) -> None:
    esc50(tmp_path / "esc", "1-100032-A-0.wav")

    done = bench(*RUN, "-d", "esc50:esc10-rebuilt", "--root", f"esc50={tmp_path / 'esc'}")

    assert done.code in (1, 2)
    assert "Traceback" not in done.err
    assert ".wav" in done.err


def test_the_demo_clips_cannot_be_missed(bench: Bench) -> None:
    done = bench(*RUN, "-d", "demo", "--limit", "1")

    assert done.code == 0
    assert "2/80" in done.out


@pytest.mark.parametrize("option", [("-m", ""), ("-d", ""), ("-m", "kit-half,,nmf")])
def test_an_empty_name_is_refused_instead_of_running_something_else(
    bench: Bench, option: tuple[str, str]
) -> None:
    done = bench("run", *option)

    assert done.code == 2
    assert "An empty name was given" in done.err


def test_an_empty_workspace_is_refused(bench: Bench) -> None:
    done = bench("report", "-w", "")

    assert done.code == 2
    assert "name a folder of its own" in done.err


def test_a_number_beyond_all_measure_is_refused(bench: Bench) -> None:
    done = bench("run", "-d", "kit", "--limit", "99999999999999999999999")

    assert done.code == 2
    assert "limit=99999999999999999999999: expected a whole number" in done.err


def test_a_device_that_no_machine_has_is_refused_before_anything_runs(
    bench: Bench, tmp_path: Path
) -> None:
    done = bench("run", "-m", "kit-half", "-d", "kit", "--device", "tpu")

    assert done.code == 2
    assert "device=tpu; auto, cpu, cuda" in done.err
    assert "Traceback" not in done.err


def test_a_home_of_nobody_is_refused(bench: Bench) -> None:
    done = bench("run", "-d", "kit", "--root", "kit=~nobody-of-this-name/x")

    assert done.code == 2
    assert "nobody-of-this-name" in done.err
    assert "Traceback" not in done.err
