"""The driver of a run plans and records; models and metrics live in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[2] / "support"
SCRIPT = """
import sys
from pathlib import Path
from sepbench.harness.run.grid import run_grid
from sepbench.harness.settings import resolve

if __name__ == "__main__":
    settings = resolve(
        workspace=Path("results"),
        models=["kit-half"],
        datasets=["kit"],
        overrides=["metrics=[sdr,bss_sir]", "datasets.kit.scenes=2"],
        environment={},
    )
    summary = run_grid(settings)
    print(summary.done, summary.ok, "torch" in sys.modules)
"""


def test_a_run_with_torch_models_and_metrics_imports_no_torch_in_its_driver(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")

    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    # 4 items each of mixture and oracle, 6 of the model: rain has two captions.
    assert done.stdout.split() == ["14", "True", "False"]
