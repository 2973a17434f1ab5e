"""The example package of the docs, installed as a stranger would and run from the outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "plugin"
CLI = [sys.executable, "-c", "from sepbench.harness.cli import main; main()"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin in a folder of its own, beside the project; no second torch."""
    base = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(EXAMPLE, base / "source")  # a build leaves files behind
    target = base / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return target


@pytest.fixture(scope="module")
def environment(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(cache)}


def bench(
    environment: dict[str, str], folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_example_is_listed_with_the_facts_of_its_card(
    environment: dict[str, str], tmp_path: Path
) -> None:
    listed = bench(environment, tmp_path, "list", "models")

    assert listed.returncode == 0, listed.stderr
    line = next(text for text in listed.stdout.splitlines() if "keyword-band" in text)
    assert "text/label; 32000 Hz" in line
    assert "[keyword-band 0.1.0]" in line


def test_the_example_keeps_its_contract(environment: dict[str, str], tmp_path: Path) -> None:
    checked = bench(environment, tmp_path, "check", "keyword-band")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "FAILED" not in checked.stdout
    assert "ok       loads" in checked.stdout


def test_the_example_runs_through_bench_run_between_its_bounds(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = bench(
        environment, tmp_path, "run", "-m", "keyword-band", "-d", "demo", "--limit", "4",
        "metrics=[sdr,si_sdr]",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    rows = [line.split()[0] for line in done.stdout.splitlines()[3:] if not line.startswith(" ")]
    assert rows == ["mixture", "keyword-band", "oracle-irm"]
    assert "8/80" in done.stdout
    assert (tmp_path / "bench-results" / "reports" / "leaderboard.md").is_file()


def test_the_class_of_the_guide_keeps_its_contract_as_it_is_printed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    guide = (EXAMPLE.parents[1] / "add-a-baseline.md").read_text("utf-8")
    code = guide.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "my_module.py").write_text(code, "utf-8")
    here = {**environment, "PYTHONPATH": str(tmp_path)}

    checked = bench(here, tmp_path, "check", "my-model=my_module:MyModel")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    # Seconds differ from machine to machine; verdicts and what was looked at do not.
    shown = [line.partition(":")[0] for line in _block(guide).splitlines()]
    printed = [line.partition(":")[0] for line in checked.stdout.splitlines()]
    assert printed[: len(shown)] == shown


def _block(guide: str) -> str:
    """What the guide shows of the command's output."""
    return guide.partition("```text\n")[2].partition("…")[0]


def test_the_readme_has_no_gap_left_to_fill() -> None:
    readme = (EXAMPLE.parents[2] / "README.md").read_text("utf-8")

    assert not [line for line in readme.splitlines() if line.isupper() and "_" in line]


def test_the_guide_shows_a_class_of_the_shape_the_harness_asks_for() -> None:
    guide = (EXAMPLE.parents[1] / "add-a-baseline.md").read_text("utf-8")

    for word in ("BaselineCard(", "def load(self, device", "def condition(self, queries)"):
        assert word in guide
    assert 'entry-points."sepbench.baselines"' in guide
