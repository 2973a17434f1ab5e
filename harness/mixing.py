"""Mixing a target with an interference at a stated ratio. Pure functions on (C, N) float32.

Energies are means over channels and samples, in float64.
"""

from __future__ import annotations

import numpy as np

from sepbench.harness.api import Samples
from sepbench.harness.errors import AudioMismatchError, DatasetError


def mean_power(samples: Samples) -> float:
    """Mean of the squared samples, over channels and time."""
    return float(np.mean(np.square(samples, dtype=np.float64)))


def scale_to_snr(target: Samples, interference: Samples, snr_db: float) -> Samples:
    """The interference scaled so that 10·log10(P_target / P_interference) = `snr_db`.

    Args:
        target: (C, N), not silent.
        interference: (C, N), not silent.
        snr_db: energy ratio of target to interference in dB.

    Raises:
        DatasetError: one of the signals is silent, so no gain gives that ratio.
    """
    power_target, power_interference = mean_power(target), mean_power(interference)
    if power_target == 0.0 or power_interference == 0.0:
        which = "target" if power_target == 0.0 else "interference"
        raise DatasetError(f"Cannot mix at {snr_db} dB: the {which} is silent.")
    gain = np.sqrt(power_target / power_interference) * 10.0 ** (-snr_db / 20.0)
    return np.asarray(interference * gain, dtype=np.float32)


def mix_at_peak_ratio(
    target: Samples, interference: Samples, ratio_db: float
) -> tuple[Samples, Samples, Samples]:
    """Mix at a ratio of peaks, not of energies: the rule of LASS-Net's evaluation.

    Both signals are scaled to a peak of 1, the interference divided by 10^(ratio_db / 20), and all
    three divided by the highest peak of target, interference and mixture. At 0 dB the energies may
    differ by any amount.

    Args:
        target: (C, N), not silent.
        interference: (C, N), not silent.
        ratio_db: peak of target over interference in dB.

    Returns:
        Target, interference and their sum, (C, N) each; the loudest of them peaks at 1.

    Raises:
        AudioMismatchError: the shapes differ.
        DatasetError: one of the signals is silent, so it has no peak to scale.
    """
    if target.shape != interference.shape:
        raise AudioMismatchError(
            f"Cannot mix shapes {target.shape} and {interference.shape} (channels, samples)."
        )
    peaks = [float(np.abs(signal).max(initial=0.0)) for signal in (target, interference)]
    if 0.0 in peaks:
        which = "target" if peaks[0] == 0.0 else "interference"
        raise DatasetError(f"Cannot mix at a peak ratio of {ratio_db} dB: the {which} is silent.")
    first = target.astype(np.float64) / peaks[0]
    second = interference.astype(np.float64) / (peaks[1] * 10.0 ** (ratio_db / 20.0))
    signals = (first, second, first + second)
    highest = max(float(np.abs(signal).max()) for signal in signals)
    scaled = [np.asarray(signal / highest, dtype=np.float32) for signal in signals]
    return scaled[0], scaled[1], scaled[2]


def declip(signals: tuple[Samples, ...], mixture: Samples, peak: float) -> tuple[Samples, ...]:
    """Scale signals and mixture by one factor where the mixture exceeds 1, to `peak`.

    Returns:
        The signals in their order, then the mixture.
    """
    highest = float(np.abs(mixture).max(initial=0.0))
    if highest <= 1.0:
        return (*signals, mixture)
    gain = np.float32(peak / highest)
    return (*(signal * gain for signal in signals), mixture * gain)


def loop_to_length(samples: Samples, length: int) -> Samples:
    """Repeat (C, N) until `length` samples, cut there."""
    if samples.shape[1] >= length:
        return samples[:, :length]
    repeats = -(-length // samples.shape[1])
    return np.tile(samples, (1, repeats))[:, :length]


def pad_to_length(samples: Samples, length: int) -> Samples:
    """Zero-pad (C, N) at the end to `length` samples, or cut there."""
    missing = length - samples.shape[1]
    return np.pad(samples, ((0, 0), (0, missing))) if missing > 0 else samples[:, :length]
