"""The driver's memory does not grow with the grid: items are read from the workspace in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sepbench_testkit.wavs import WavKit

TESTS = Path(__file__).resolve().parents[1]
MEGABYTES = 30


def peak(items: int, folder: Path) -> float:
    """MB that the driver of a run over so many items took at most, and found all of them done."""
    WavKit.write(folder)
    path = os.pathsep.join(filter(None, (str(TESTS / "support"), os.environ.get("PYTHONPATH", ""))))
    script = TESTS / "bench" / "overhead.py"
    done = subprocess.run(
        [sys.executable, script, "--one", str(items), "--folder", folder],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return float(json.loads(done.stdout.splitlines()[-1])["memory"])


@pytest.mark.slow
def test_ten_times_the_items_take_no_more_memory(tmp_path: Path) -> None:
    few, many = (peak(items, tmp_path) for items in (2_000, 20_000))

    assert many - few < MEGABYTES
