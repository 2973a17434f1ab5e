"""Filled networks, made once, and tokenizers as small or as large as a test needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sepbench_testkit.tokenizers import write_tokenizer

from sepbench.baselines.encoders.clap import ClapAudio, ClapText

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "clap"

MakeTokenizer = Callable[..., Path]


@pytest.fixture(scope="session")
def clap_golden() -> dict[str, torch.Tensor]:
    """What the original computes; see tests/golden/clap."""
    with np.load(GOLDEN / "clap_golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="session")
def clap_text(clap_state: dict[str, torch.Tensor]) -> ClapText:
    """The text tower with the filled weights."""
    encoder = ClapText()
    encoder.load_state(clap_state, "cpu")
    return encoder


@pytest.fixture(scope="session")
def clap_audio(clap_state: dict[str, torch.Tensor]) -> ClapAudio:
    """The audio tower with the filled weights."""
    encoder = ClapAudio()
    encoder.load_state(clap_state, "cpu")
    return encoder


@pytest.fixture
def make_tokenizer(tmp_path: Path) -> MakeTokenizer:
    """Writes the plain files of a tokenizer with this many entries; gives the folder."""

    def make(kind: str, size: int, folder: Path | None = None) -> Path:
        return write_tokenizer(folder or tmp_path / kind, kind, size)

    return make
