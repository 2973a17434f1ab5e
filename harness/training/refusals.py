"""What is refused among the settings of a training, although each value is of its kind."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from sepbench.harness.errors import SettingError

if TYPE_CHECKING:
    from sepbench.harness.training.settings import TrainSettings


def refuse_senseless(settings: TrainSettings) -> None:
    """Refuse values out of range, and some that do not go together.

    Raises:
        SettingError: names the key.
    """
    data, mixing, optimiser = settings.data, settings.mixing, settings.optimiser
    numbers = {
        "data.seconds": (data.seconds, 0.05, 600.0),
        "data.sample_rate": (data.sample_rate, 1000, 192_000),
        "data.speed": (data.speed, 1.0, 4.0),
        "data.validation_share": (data.validation_share, 0.0, 0.9),
        "optimiser.rate": (optimiser.rate, 0.0, 10.0),
        "optimiser.weight_decay": (optimiser.weight_decay, 0.0, 10.0),
        "optimiser.clip_norm": (optimiser.clip_norm, 0.0, 1e9),
        "mixing.sources": (mixing.sources, 2, 16),
        "mixing.level_db": (mixing.level_db, 0.0, 60.0),
        "average": (settings.average, 0.0, 0.99999),
    }
    for key, (value, low, high) in numbers.items():
        if not (math.isfinite(value) and low <= value <= high):
            raise SettingError(f"{key}={value}: expected a number from {low:g} to {high:g}.")
    if mixing.low_db > mixing.high_db:
        raise SettingError(f"mixing.low_db={mixing.low_db} exceeds high_db={mixing.high_db}.")
    if mixing.sources > 2 and mixing.rule != "energy":
        raise SettingError(f"mixing.sources={mixing.sources}: only the rule energy mixes more.")
    if mixing.both and mixing.sources > 2:
        raise SettingError("mixing.both=true asks for both of two sounds; mixing.sources=2.")
    if mixing.both and mixing.rule == "none":
        raise SettingError("mixing.both=true needs a mixture; the rule none mixes nothing.")
    if len(optimiser.betas) != 2 or not all(0.0 <= beta < 1.0 for beta in optimiser.betas):
        raise SettingError(
            f"optimiser.betas={list(optimiser.betas)}: expected two numbers from 0 to below 1, "
            "such as optimiser.betas=[0.9,0.999]."
        )
    firsts = [first for first, _ in optimiser.steps]
    ascending = all(earlier < later for earlier, later in pairwise([-1, *firsts]))
    if not ascending or not all(0.0 <= factor < math.inf for _, factor in optimiser.steps):
        raise SettingError(
            f"optimiser.steps={[list(pair) for pair in optimiser.steps]}: expected steps from 0 "
            "on in ascending order, each with a factor of 0 or more, such as "
            "optimiser.steps=[[0,0.1],[1000,1.0]]."
        )
