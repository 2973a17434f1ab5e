"""`bench train … devices=2`: two processes train as one, and one of them writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sepbench.harness.errors import SettingError
from sepbench.harness.run.smoke import SMOKE
from sepbench.harness.training.curve import read_curve

pytestmark = pytest.mark.slow  # each process takes seconds to begin

SECONDS = 300  # after which it hangs
# The second process is the same command once more, so it has to be one that can be repeated.
SCRIPT = "from sepbench.harness.cli import main\n\nif __name__ == '__main__':\n    main()\n"
CLIPS = ("-d", "demo", "-o", "made", "network.widths=[4,8]", "network.n_fft=128")
TINY = ("network.condition=16", "network.text=words", "network.dropout=0.0")
CHANGES = {"data.captions": "esc10", "validate_every": 2, "checkpoint_every": 2}


def train(folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command as its entry point does; with the seconds gone, end all its processes."""
    script = folder / "bench.py"
    script.write_text(SCRIPT)
    shared = {k: v for k, v in SMOKE.items() if k.partition(".")[0] not in ("dataset", "datasets")}
    smoke = [f"{key}={_written(value)}" for key, value in {**shared, **CHANGES}.items()]
    given = {text.partition("=")[0] for text in settings}
    kept = [text for text in smoke if text.partition("=")[0] not in given]
    begun = subprocess.Popen(
        [sys.executable, str(script), "train", "lassnet", *CLIPS, *TINY, *kept, *settings],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = begun.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(begun.pid, signal.SIGKILL)
        out, err = begun.communicate()
        pytest.fail(f"still running after {SECONDS} s:\n{err[-3000:]}")
    return subprocess.CompletedProcess(begun.args, begun.returncode, out, err)


def _written(value: object) -> str:
    return "null" if value is None else json.dumps(value).replace(" ", "")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of four steps by two processes, two and two, and what the second run printed."""
    folder = tmp_path_factory.mktemp("two")
    for steps in (2, 4):
        done = train(folder, "device=cpu", "devices=2", "batch_size=2", f"max_steps={steps}")
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "made", done.stdout


def test_one_of_two_processes_writes_and_speaks(trained: tuple[Path, str]) -> None:
    folder, said = trained

    record = json.loads((folder / "training.json").read_text("utf-8"))
    assert (record["steps"], record["device"], record["devices"]) == (4, "cpu", 2)
    assert [path.name for path in folder.glob("*.safetensors")] == ["lassnet.safetensors"]
    assert said.count("4 steps in ") == said.count("Written: ") == 1
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        *("best.ckpt", "last.ckpt", "last.json")
    ]


def test_the_curve_of_two_processes_has_each_step_once(trained: tuple[Path, str]) -> None:
    rows = read_curve(trained[0] / "curve.csv")

    assert [int(step) for step, part, _, _ in rows if part == "train"] == [1, 2, 3, 4]
    assert set(Counter((step, name) for step, _, name, _ in rows).values()) == {1}
    assert {int(step) for step, part, _, _ in rows if part == "validation"} == {2, 4}


def test_fewer_held_out_mixtures_than_processes_are_refused_before_the_training(
    tmp_path: Path,
) -> None:
    settings = ("device=cpu", "devices=2", "batch_size=2", "max_steps=2", "validation_items=1")

    done = train(tmp_path, *settings)

    assert done.returncode == SettingError.exit_code
    assert "Traceback" not in done.stderr
    assert "validation_items=1" in done.stderr
    assert "devices=2" in done.stderr
