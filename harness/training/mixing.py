"""How training mixtures come about, one rule for each published recipe. Pure functions on (N,).

Levels and choices come in as arguments: what is drawn is drawn in `examples`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sepbench.harness.errors import SettingError
from sepbench.harness.mixing import declip, match_energy, mean_power, mix_at_peak_ratio

Mono: TypeAlias = npt.NDArray[np.float32]  # (N,)

PEAK = 0.9  # what a mixture beyond full scale is brought to
LOWEST, HIGHEST = 0.02, 50.0  # limits of the ratio of two levels
FLOOR = 1e-10  # of a power


def mix(
    rule: str, target: Mono, others: Sequence[Mono], levels_db: Sequence[float]
) -> tuple[Mono, Mono]:
    """Target and mixture, (N,) each.

    Args:
        rule: "energy", "peak", "match" or "none".
        target: what is asked for.
        others: what is mixed in; one for "peak" and "match", none for "none".
        levels_db: of each other against the target, then, for "energy", of all of them together.

    Raises:
        SettingError: no such rule.
        DatasetError: the rule "peak" and silence.
    """
    if rule == "none":
        return target, target
    if rule == "energy":
        return mix_energies(target, others, levels_db)
    if rule == "match":
        other = match_energy(target[None], others[0][None])[0]
        return target, target + other
    if rule == "peak":
        part, _, mixture = mix_at_peak_ratio(target[None], others[0][None], -levels_db[0])
        return part[0], mixture[0]
    raise SettingError(f"mixing.rule={rule} is not known.")


def mix_energies(
    target: Mono, others: Sequence[Mono], levels_db: Sequence[float]
) -> tuple[Mono, Mono]:
    """AudioSep's mixture: each other at its level, their sum once more, then declipped.

    With one other the second scaling undoes the first level, unless a limit is reached: the
    sum's level alone counts then.

    Source: Liu et al., arXiv 2308.05037; behaviour of the code at revision 944583f.
    """
    leveled = [
        at_level(other, target, level) for other, level in zip(others, levels_db, strict=False)
    ]
    noise = at_level(np.sum(leveled, axis=0, dtype=np.float32), target, levels_db[len(others)])
    mixture = target + noise
    part, mixture = declip((target[None],), mixture[None], PEAK)
    return part[0], mixture[0]


def played(samples: Mono, length: int) -> Mono:
    """Samples played faster or slower, so that they take another length; pitch goes along."""
    places = np.linspace(0.0, len(samples) - 1.0, length)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def at_level(signal: Mono, reference: Mono, level_db: float) -> Mono:
    """The signal so that its power is `level_db` above the reference's; silence stays silence."""
    ratio = math.sqrt(mean_power(signal[None]) / max(mean_power(reference[None]), FLOOR))
    gain = 10.0 ** (level_db / 20.0) / min(max(ratio, LOWEST), HIGHEST)
    return np.asarray(signal * gain, dtype=np.float32)
