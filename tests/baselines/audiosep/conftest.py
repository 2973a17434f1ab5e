"""The golden cases of AudioSep's separator and the filled weights they were made with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sepbench_testkit.filled import fill_state_dict, gliding_tones

from sepbench.baselines.audiosep.layout import build_network
from sepbench.baselines.audiosep.network_inference import InferenceNetwork

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "audiosep"


class GoldenCase:
    """Input, condition and expected output of one stored case."""

    def __init__(self, name: str) -> None:
        row = json.loads((GOLDEN / "golden.json").read_text("utf-8"))["arrays"][f"{name}_out"]
        signals = [gliding_tones(s, 1, row["samples"], 32_000) for s in row["signal_seeds"]]
        gain = np.float32(row.get("gain", 1.0))
        self.mixture = torch.from_numpy(np.stack(signals) * gain)  # (B, 1, N)
        self.condition = torch.stack([condition(seed) for seed in row["condition_seeds"]])
        with np.load(GOLDEN / "golden.npz") as arrays:
            self.expected = torch.from_numpy(arrays[f"{name}_out"])
        self.abs_max = row["abs_max"]


def condition(seed: int) -> torch.Tensor:
    """The golden condition of a seed, (512,), of about length 1."""
    drawn = np.random.RandomState(seed).standard_normal(512) / np.sqrt(512)
    return torch.from_numpy(drawn.astype(np.float32))


@pytest.fixture(scope="session")
def separator_state():
    """The separator's tensors, named as published without prefix."""
    return fill_state_dict(GOLDEN / "state_dict.json", 1)


@pytest.fixture(scope="session")
def plain_network(separator_state):
    """As it is trained."""
    return build_network(separator_state, what="filled weights")


@pytest.fixture(scope="session")
def fast_network(plain_network):
    """As it is used."""
    return InferenceNetwork(plain_network)


@pytest.fixture(scope="session")
def golden():
    """Golden cases by letter."""
    return GoldenCase
