"""ST-SED from its checkpoint files to rows of a table, with and without the joint Wiener step."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sepbench_testkit.filled import fill_state_dict
from sepbench_testkit.machine import rows

GOLDEN = Path(__file__).resolve().parent / "golden" / "stsed"
# Networks of the published sizes: some minutes on one core.
pytestmark = pytest.mark.slow


def bench(*arguments: str, weights: Path) -> str:
    """Run a command as the entry point would; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", "from sepbench.harness.cli import main; main()", *arguments],
        env={**os.environ, "SEPBENCH_WEIGHTS": str(weights)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights into which both files were added in the form they are published."""
    folder = tmp_path_factory.mktemp("weights")
    downloaded = tmp_path_factory.mktemp("downloaded")
    for name, layout, file, prefix in (
        ("htsat", "sed_state_dict.json", "htsat_audioset_2048d.ckpt", "sed_model."),
        ("stsed", "separator_state_dict.json", "zeroshot_asp_full.ckpt", ""),
    ):
        state = fill_state_dict(GOLDEN / layout, 1)
        held = {"state_dict": {prefix + key: value for key, value in state.items()}, "epoch": 3}
        torch.save(held, downloaded / file)
        bench("weights", "add", name, str(downloaded / file), weights=folder)
        (downloaded / file).unlink()
    return folder


def test_stsed_and_its_wiener_variant_give_finite_rows(tmp_path: Path, weights: Path) -> None:
    table = bench(
        *("run", "-w", str(tmp_path), "-d", "demo", "--device", "cpu", "--limit", "4"),
        *("-m", "stsed,stsed-wiener=stsed", "models.stsed-wiener.postprocess=joint-wiener"),
        *("query.shots=1", "bounds=[]", "metrics=[sdr,si_sdr]"),
        weights=weights,
    )

    found = rows(
        tmp_path,
        "SELECT c.label, s.value FROM scores s JOIN results r ON r.id = s.result_id"
        " JOIN cells c ON c.id = r.cell_id",
    )
    values = {
        label: [row["value"] for row in found if row["label"] == label]
        for label in ("stsed", "stsed-wiener")
    }
    for label, numbers in values.items():
        assert label in table
        assert len(numbers) == 4 * 2 * 2  # scenes, targets, metrics
        assert all(value is not None and math.isfinite(value) for value in numbers)
    assert values["stsed"] != values["stsed-wiener"]
    facts = rows(tmp_path, "SELECT DISTINCT json_extract(facts, '$.parameters') AS n FROM cells")
    # Detector and separator, its norms merged into its convolutions, its unused head left out.
    assert [row["n"] for row in facts] == [pytest.approx(369.3e6, rel=1e-3)]
