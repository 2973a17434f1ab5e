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
