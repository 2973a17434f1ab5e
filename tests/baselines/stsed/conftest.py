from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sepbench_testkit.filled import fill_state_dict

from sepbench.baselines.stsed.adapter import StSed

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "stsed"
SEED = 1


@pytest.fixture(scope="session")
def golden() -> Any:
    with np.load(GOLDEN / "golden.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> StSed:
    """The published sizes with filled weights, from one state as separators are published."""
    detector = fill_state_dict(GOLDEN / "sed_state_dict.json", SEED)
    state = fill_state_dict(GOLDEN / "separator_state_dict.json", SEED)
    state |= {f"at_model.sed_model.{name}": tensor for name, tensor in detector.items()}
    del detector
    model = StSed()
    with pytest.MonkeyPatch.context() as patch:  # whatever is installed on this machine
        patch.setenv("SEPBENCH_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        model.load_state(state, "cpu")
    return model
