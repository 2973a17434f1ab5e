"""Ratios of waveform energies, with no filter in between: plain SDR and SI-SDR.

Conventions: (reference, estimate) in this order, (N,) or (C, N) NumPy arrays or torch tensors,
float64 inside, channels laid end to end, means kept, no epsilon: a value is exact, infinite or
undefined. 512-tap "SDR" is another number: see bss_eval.
"""

from __future__ import annotations

import math

from sepbench.harness.api import MetricCard
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics.contract import ItemMetric
from sepbench.harness.metrics.signals import Float64, Signal, inner, pair


def sdr(reference: Signal, estimate: Signal) -> float:
    """Plain signal-to-distortion ratio of one estimate, in dB; others call it SNR.

    10·log10(Σ s² / Σ (ŝ − s)²), s the reference, ŝ the estimate, sums over channels and samples.

    Args:
        reference: true target, (N,) or (C, N), not silent.
        estimate: separated target, same shape; gain and delay count as errors.

    Returns:
        Value in (-inf, +inf]: +inf for a perfect estimate, 0 for a mute one.

    Raises:
        UndefinedScoreError: the reference is silent, or samples are not finite.
        ValueError: the shapes differ.

    Source: AudioSep's `calculate_sdr` without its floors of 1e-10; equal to the whole-signal SDR
        of BSS Eval v4 (museval), whose filters cancel out of it.
    """
    s, s_hat = pair(reference, estimate)
    target_energy, estimate_energy = _energies(s, s_hat)
    if estimate_energy == 0.0:
        return 0.0  # the error is then the reference itself
    error = s_hat - s
    return _decibels(target_energy, inner(error, error))


def si_sdr(reference: Signal, estimate: Signal) -> float:
    """Scale-invariant SDR of one estimate, in dB.

    10·log10(Σ (a·s)² / Σ (ŝ − a·s)²) with a = Σ s·ŝ / Σ s²: the estimate's part along the
    reference against the rest of it.

    Args:
        reference: true target, (N,) or (C, N), not silent.
        estimate: separated target, same shape, any gain (one for all channels), not mute.

    Returns:
        Value in [-inf, +inf]: +inf for a scaled copy, -inf for an orthogonal estimate. Above
        about 300 dB it is rounding.

    Raises:
        UndefinedScoreError: the reference is silent, the estimate is mute (0/0), or samples are
            not finite.
        ValueError: the shapes differ.

    Source: Le Roux, Wisdom, Erdogan, Hershey, "SDR – half-baked or well done?", ICASSP 2019,
        without mean removal, as AudioSep and torchmetrics have it, and without their epsilon.
    """
    s, s_hat = pair(reference, estimate)
    target_energy, estimate_energy = _energies(s, s_hat)
    if estimate_energy == 0.0:
        raise UndefinedScoreError("estimate", "the estimate is mute, so it has no direction")
    gain = inner(s, s_hat) / target_energy
    if not math.isfinite(gain * gain):
        raise UndefinedScoreError("estimate", "the levels are too far apart for float64")
    # The error as a vector: |ŝ|² − |a·s|² would cancel to nothing for a good estimate, and lose
    # half of the digits of every value above 80 dB.
    error = s_hat - gain * s
    return _decibels(gain * gain * target_energy, inner(error, error))


def _energies(s: Float64, s_hat: Float64) -> tuple[float, float]:
    """Sums of squares of both, once it is known that a ratio can be made of them."""
    target_energy, estimate_energy = inner(s, s), inner(s_hat, s_hat)
    if not math.isfinite(target_energy):
        raise UndefinedScoreError("reference", "the reference holds NaN or infinite samples")
    if target_energy == 0.0:
        raise UndefinedScoreError("reference", "the reference is silent")
    if not math.isfinite(estimate_energy):
        raise UndefinedScoreError("estimate", "the estimate holds NaN or infinite samples")
    return target_energy, estimate_energy


def _decibels(signal_energy: float, error_energy: float) -> float:
    """10·log10 of a ratio of two energies that are not both 0."""
    if error_energy == 0.0:
        return math.inf
    if signal_energy == 0.0:
        return -math.inf
    return 10.0 * (math.log10(signal_energy) - math.log10(error_energy))


SDR = ItemMetric(
    card=MetricCard(
        metric_id="sdr",
        version=1,
        title="SDR",
        range="(-inf, +inf]",
        parameters={"mean_removal": False, "channels": "flattened", "precision": "float64"},
        improvement="sdri",
        silence="undefined for a silent reference; 0 dB for a mute estimate",
        formula="10·log10(Σ s² / Σ (ŝ − s)²), the plain waveform SNR",
        source="AudioSep's calculate_sdr without its clipping floors; = BSS Eval v4 SDR of the "
        "whole signal",
    ),
    function=sdr,
)

SI_SDR = ItemMetric(
    card=MetricCard(
        metric_id="si_sdr",
        version=1,
        title="SI-SDR",
        range="[-inf, +inf]",
        parameters={"mean_removal": False, "channels": "flattened", "precision": "float64"},
        improvement="si_sdri",
        silence="undefined for a silent reference and for a mute estimate",
        formula="10·log10(Σ (a·s)² / Σ (ŝ − a·s)²), a = Σ s·ŝ / Σ s²",
        source="Le Roux et al., ICASSP 2019, without mean removal and without epsilon",
    ),
    function=si_sdr,
)
