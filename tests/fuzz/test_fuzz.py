"""Damaged files end in a named error: no trace, no crash, no hang, nothing carried out.

Each kind of file is damaged 100 times, or as often as SEPBENCH_FUZZ says. What a number means does
not change: number 37 of 1,000 is number 37 of 100.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.fuzz.subjects import SUBJECTS

SUPPORT = Path(__file__).resolve().parents[1] / "support"
COUNT = 100
# One process a group, since most of the time of one is its start.
GROUPS = {
    "audio": ("wav", "flac", "ogg", "mp3", "stem.mp4"),
    "checkpoints": ("safetensors", "torch", "hostile"),
    "settings": ("settings.yaml", "overrides", "variables", "protocol.yaml"),
}
GROUPS["lists"] = tuple(SUBJECTS.keys() - {name for group in GROUPS.values() for name in group})


@cache
def fuzz(group: str, folder: Path, count: int) -> str:
    """What the process of a group said at its end, "" if it ended well."""
    path = os.pathsep.join(filter(None, (str(SUPPORT), os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-m", "sepbench_testkit.fuzz", ",".join(GROUPS[group]), str(folder)]
    done = subprocess.run(
        [*command, "--count", str(count)],
        env={**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        timeout=60 + count * len(GROUPS[group]) * 20,
        check=False,
    )
    return done.stderr.decode(errors="replace")[-3000:] if done.returncode else ""


def hold(subject: str, folder: Path, count: int) -> None:
    group = next(name for name, members in GROUPS.items() if subject in members)
    trouble = fuzz(group, folder / group, count)
    results = folder / group / subject / "results.jsonl"
    lines: list[dict[str, Any]] = []
    if results.is_file():
        lines = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    ends = {line["number"]: line["end"] for line in lines if "number" in line}
    started = [line["start"] for line in lines if "start" in line] or ["none"]
    unnamed = {line["number"]: line["words"] for line in lines if line.get("end") == "UNNAMED"}

    assert unnamed == {}
    assert sorted(ends) == list(range(count)), f"number {started[-1]} was the last: {trouble}"
    assert not (folder / group / subject / "canary").exists()
    # Were no damage noticed, the damaged file would not be what is read.
    assert set(ends.values()) != {"read"}
    assert subject != "hostile" or "read" not in ends.values()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_damaged_file_ends_in_a_named_error(subject: str, folder: Path) -> None:
    hold(subject, folder / "few", COUNT)


@pytest.mark.slow
@pytest.mark.skipif("SEPBENCH_FUZZ" not in os.environ, reason="set SEPBENCH_FUZZ=1000")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_damaged_files_end_in_named_errors(subject: str, folder: Path) -> None:
    hold(subject, folder / "many", int(os.environ["SEPBENCH_FUZZ"]))
