"""Benchmark scripts are run small here, so that the commands of the README keep working."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent / "bench"


def test_the_overhead_script_prints_a_row_for_each_size() -> None:
    command = [sys.executable, str(BENCH / "overhead.py"), "--items", "20"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1]
    assert row.startswith("| 20 |")
    assert float(row.split("|")[5]) > 0  # driver's peak memory


def test_the_overhead_script_prints_how_long_a_list_takes_to_scan() -> None:
    command = [sys.executable, str(BENCH / "overhead.py"), "--scan", "50"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr
    row = [cell.strip() for cell in done.stdout.splitlines()[-1].split("|")]
    assert row[1] == "50"
    assert float(row[4]) > 0  # driver's peak memory


def test_the_report_script_prints_a_row_for_each_size_and_format() -> None:
    command = [
        sys.executable,
        str(BENCH / "reports.py"),
        "--rows",
        "200",
        "--formats",
        "md",
        "json",
    ]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines()[2:]]
    assert [row[1:4] for row in rows] == [["md", "200", "2"], ["json", "200", "2"]]
    assert all(float(row[6]) > 0 for row in rows)  # peak memory
