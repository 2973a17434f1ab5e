"""Filled networks that several folders of tests share, each made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sepbench_testkit.filled import fill_state_dict

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="session")
def clap_state() -> dict[str, torch.Tensor]:
    """A full-size filled CLAP under LAION's names, 200 M parameters. Not to be changed."""
    return fill_state_dict(GOLDEN / "clap" / "clap_state_dict.json", 1)
