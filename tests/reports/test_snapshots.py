"""A small fixed workspace in every format, to the byte, whoever writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sepbench_testkit.golden_board import FILES, GOLDEN, write_files, write_workspace

import sepbench.harness as sb
from sepbench.harness.run.report import write_reports


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("written")
    write_files(target / "work", target)
    return target


@pytest.mark.parametrize("name", [*FILES, "table.txt"])
def test_every_format_is_its_golden_copy(written: Path, name: str) -> None:
    assert (written / name).read_text("utf-8") == (GOLDEN / name).read_text("utf-8")


def test_the_longer_fit_is_marked_and_the_shorter_only_for_its_artefacts(written: Path) -> None:
    frame = sb.leaderboard_frame(written / "work")

    best = frame[frame["best"]].groupby("model")["column"].apply(list).to_dict()

    assert best == {"nmf": ["si_sdr", "si_sdri", "bss_sir", "bss_siri"], "nmf-short": ["bss_sar"]}


def test_a_notebook_shows_the_same_table_in_bold(written: Path) -> None:
    shown = sb.leaderboard(written / "work")

    html = shown.to_html()

    assert shown.data.shape == (4, 6)
    assert shown.data.loc[("kit", "nmf", "–"), "SI-SDR [dB]"].startswith("2.18 ±")
    assert "font-weight: bold" in html
    assert "Bold: better than every other model" in html
    assert html == sb.leaderboard(written / "work").to_html()


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_another_process_with_another_hash_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    write_workspace(tmp_path / "work")
    formats = "md,csv,latex,json,html"
    write_reports(tmp_path / "work", formats.split(","), tmp_path / "here")
    command = [str(Path(sys.executable).parent / "bench"), "report", "-f", formats]

    for seed in ("1", "2"):
        subprocess.run(
            [*command, "-w", str(tmp_path / "work"), "-o", str(tmp_path / seed)],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )

    assert everything(tmp_path / "1") == everything(tmp_path / "2") == everything(tmp_path / "here")
