"""Golden cases of the audio query encoders, and checkpoints that are all names and no weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sepbench_testkit.filled import gliding_tones

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "encoders"


def golden_arrays(name: str) -> dict[str, torch.Tensor]:
    """What the published network computes, by "<case>_<array>"; see tests/golden/encoders."""
    with np.load(GOLDEN / name / "golden.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


def golden_facts(name: str) -> dict[str, Any]:
    """Rate, cases, sampling steps of a golden file."""
    facts: dict[str, Any] = json.loads((GOLDEN / name / "golden.json").read_text("utf-8"))
    return facts


def golden_clips(name: str) -> dict[str, torch.Tensor]:
    """The signal (N,) of each case."""
    facts = golden_facts(name)
    return {
        case: tones(about["signal_seed"], about["samples"], facts["rate"])
        for case, about in facts["cases"].items()
    }


def tones(seed: int, samples: int, rate: int) -> torch.Tensor:
    """Gliding tones, mono (N,)."""
    return torch.from_numpy(gliding_tones(seed, 1, samples, rate)[0])


def hollow(layout: Path) -> dict[str, torch.Tensor]:
    """Tensors of the right names, shapes and types, each of which stores a single number."""
    return {
        row["name"]: torch.zeros((), dtype=getattr(torch, row["dtype"])).expand(row["shape"])
        for row in json.loads(layout.read_text("utf-8"))
    }
