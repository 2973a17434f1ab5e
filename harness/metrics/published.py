"""AudioSep's SDR and SI-SDR to the letter: floors, epsilon and float32, for parity with tables.

AudioSep, the DCASE 2024 Task 9 baseline and USS share these two functions. They differ from `sdr`
and `si_sdr` where signals are quiet or nearly perfect:

* SDR raises both mean powers to at least 1e-10, so that a clip of power below 1e-10 scores 0 dB
  and a perfect estimate about 10·log10(power) + 100 dB;
* SI-SDR adds the machine epsilon *of the arrays' type* to all four sums. librosa loads float32
  (epsilon 1.2e-7), so that a perfect estimate ends near 90 dB and a clip 80 dB down loses 2 dB;
  in float64 neither is seen. The published tables are float32, so the ids are float32.

No signal makes them undefined but NaN: silence has a number here, which `sdr` and `si_sdr` refuse
to give. Use these ids only to stand beside a published number.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sepbench.harness.api import MetricCard
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics.contract import ItemMetric
from sepbench.harness.metrics.refusals import refuse_infinite
from sepbench.harness.metrics.signals import Signal, pair

POWER_FLOOR = 1e-10
"""AudioSep's `eps` of calculate_sdr: least mean power, of reference and of error."""

Precision = Literal["float32", "float64"]


def audiosep_sdr(reference: Signal, estimate: Signal, *, precision: Precision = "float32") -> float:
    """SDR as AudioSep's `calculate_sdr` computes it, in dB.

    10·log10(max(mean s², 1e-10) / max(mean (ŝ − s)², 1e-10)), means over channels and samples.

    Args:
        reference: true target, (N,) or (C, N).
        estimate: separated target, same shape.
        precision: type of the arithmetic; librosa's float32 by default.

    Returns:
        A finite value. 0 for a mute estimate; negative for a silent reference.

    Raises:
        UndefinedScoreError: samples are not finite.
        ValueError: the shapes differ.

    Source: github.com/Audio-AGI/AudioSep at 944583f, `calculate_sdr`.
    """
    s, s_hat = _typed(reference, estimate, precision)
    floor = s.dtype.type(POWER_FLOOR)
    with np.errstate(over="ignore"):
        target, error = (max(np.mean(x * x), floor) for x in (s, s_hat - s))
    _refuse_overflow(target, error)
    # A ratio too small for its type is no reason for -inf.
    ratio = target / error or float(target) / float(error)
    return float(10.0 * np.log10(ratio))


def audiosep_si_sdr(
    reference: Signal, estimate: Signal, *, precision: Precision = "float32"
) -> float:
    """SI-SDR as AudioSep's `calculate_sisdr` computes it, in dB.

    a = (ε + Σ s·ŝ) / (Σ s² + ε); 10·log10((ε + Σ (a·s)²) / (ε + Σ (ŝ − a·s)²)), ε the machine
    epsilon of the precision, no mean removal.

    Args:
        reference: true target, (N,) or (C, N).
        estimate: separated target, same shape.
        precision: type of the arithmetic, and so ε: 1.2e-7 (float32) or 2.2e-16 (float64).

    Returns:
        A finite value. 0 for a mute estimate, in rounding.

    Raises:
        UndefinedScoreError: samples are not finite.
        ValueError: the shapes differ.

    Source: github.com/Audio-AGI/AudioSep at 944583f, `calculate_sisdr`. Sums are pairwise here,
        not BLAS, so that they do not depend on the machine; float32 values agree to 1e-4 dB.
    """
    s, s_hat = _typed(reference, estimate, precision)
    epsilon = np.finfo(s.dtype).eps
    with np.errstate(over="ignore", invalid="ignore"):
        energy = np.sum(s * s)
        gain = (epsilon + np.sum(s * s_hat)) / (energy + epsilon)
        target = gain * s
        error = s_hat - target
        ratio = (epsilon + np.sum(target * target)) / (epsilon + np.sum(error * error))
    _refuse_overflow(energy, ratio)
    return float(10.0 * np.log10(ratio))


def _refuse_overflow(target: np.floating[Any], rest: np.floating[Any]) -> None:
    """Refuse sums that left the range of their type: 1e19 squared is infinite in float32."""
    if not np.isfinite(target):
        raise UndefinedScoreError("reference", "the reference's energy overflows the precision")
    if not np.isfinite(rest) or rest == 0.0:
        raise UndefinedScoreError("estimate", "the estimate's energy overflows the precision")


def _typed(
    reference: Signal, estimate: Signal, precision: Precision
) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]]:
    """Both signals (C·N,) in one floating type."""
    s, s_hat = pair(reference, estimate)
    refuse_infinite(s, "reference")
    refuse_infinite(s_hat, "estimate")
    return s.astype(precision), s_hat.astype(precision)


AUDIOSEP_SDR = ItemMetric(
    card=MetricCard(
        metric_id="audiosep_sdr",
        version=1,
        title="SDR (AudioSep)",
        parameters={
            "power_floor": POWER_FLOOR,
            "mean_removal": False,
            "channels": "flattened",
            "precision": "float32",
        },
        improvement="audiosep_sdri",
        silence="always a number: the floors stand in for silence; 0 dB for a mute estimate",
        formula="10·log10(max(mean s², 1e-10) / max(mean (ŝ − s)², 1e-10))",
        source="AudioSep's calculate_sdr (944583f), also DCASE 2024 Task 9 and USS",
    ),
    function=partial(audiosep_sdr, precision="float32"),
)

AUDIOSEP_SI_SDR = ItemMetric(
    card=MetricCard(
        metric_id="audiosep_si_sdr",
        version=1,
        title="SI-SDR (AudioSep)",
        parameters={
            "epsilon": "of the precision (1.19e-07), added to each sum",
            "mean_removal": False,
            "channels": "flattened",
            "precision": "float32",
        },
        improvement="audiosep_si_sdri",
        silence="always a number: epsilon stands in for silence; about 0 dB for a mute estimate",
        formula="10·log10((ε + Σ (a·s)²) / (ε + Σ (ŝ − a·s)²)), a = (ε + Σ s·ŝ) / (Σ s² + ε)",
        source="AudioSep's calculate_sisdr (944583f), also DCASE 2024 Task 9 and USS",
    ),
    function=partial(audiosep_si_sdr, precision="float32"),
)
