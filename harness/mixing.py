"""Mixing a target with an interference at a stated ratio. Pure functions on (C, N) float32.

Three ratios that are not each other: of energies (means over channels and samples), of peaks, and
of loudness (what a listener hears, in LUFS). All is computed in float64. What is drawn is drawn
from a seed and an item's own names, so it depends on no order and no machine.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.api import Samples
from sepbench.harness.errors import AudioMismatchError, DatasetError

if TYPE_CHECKING:
    import numpy.typing as npt

# C channels, N samples

# Of ITU-R BS.1770-4: blocks that overlap by 75 %, and the two gates below which they do not count.
BLOCK_SECONDS = 0.4
STEP_SECONDS = 0.1
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
_OFFSET_LUFS = -0.691  # cancels the filter's gain at 997 Hz


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


def match_energy(target: Samples, interference: Samples) -> Samples:
    """The interference at the target's energy, its gain held within 0.02 and 50.

    Unlike `scale_to_snr` it takes silence: that is what AudioSep's and ST-SED's training mixtures
    and ST-SED's validation pairs do. At the limits the ratio is not 0 dB.

    Args:
        target: (C, N).
        interference: (C, N).

    Source: `sqrt(e1 / max(1e-10, e2))`, clipped, in AudioSep at commit 944583f.
    """
    ratio = mean_power(target) / max(1e-10, mean_power(interference))
    gain = min(max(math.sqrt(ratio), 0.02), 50.0)
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


def loudness(samples: Samples, sample_rate: int) -> float:
    """Integrated loudness in LUFS; -inf where every block is below the absolute gate.

    A signal shorter than one block of 0.4 s is one block by itself, as it is.

    Args:
        samples: (C, N), one or two channels; a mono signal counts once, as the standard has it.
        sample_rate: Hz.

    Source: ITU-R BS.1770-4, annex 1. Its filters are given for 48 kHz; for other rates the
    analogue filters behind them are transformed anew, which gives the same numbers at 48 kHz.
    """
    from scipy.signal import lfilter

    filtered = samples.astype(np.float64)
    for numerator, denominator in _k_weighting(sample_rate):
        filtered = lfilter(numerator, denominator, filtered, axis=1)
    energy = np.sum(np.square(filtered), axis=0)  # (N,)
    block = min(round(BLOCK_SECONDS * sample_rate), len(energy))
    step = round(STEP_SECONDS * sample_rate)
    if block == 0:
        return -math.inf
    sums = np.concatenate(([0.0], np.cumsum(energy)))
    starts = np.arange(0, len(energy) - block + 1, step)
    blocks = (sums[starts + block] - sums[starts]) / block
    loud = blocks[_lufs(blocks) > ABSOLUTE_GATE_LUFS]
    if loud.size == 0:
        return -math.inf
    gate = float(_lufs(loud.mean())) + RELATIVE_GATE_LU
    return float(_lufs(loud[_lufs(loud) > gate].mean()))


def scale_to_loudness(samples: Samples, sample_rate: int, lufs: float) -> Samples:
    """The signal brought to a loudness by one gain.

    Args:
        samples: (C, N).
        sample_rate: Hz.
        lufs: wanted.

    Raises:
        DatasetError: it is too quiet to have a loudness.
    """
    measured = loudness(samples, sample_rate)
    if measured == -math.inf:
        raise DatasetError(
            f"Cannot bring to {lufs:g} LUFS: no part of the signal is louder than "
            f"{ABSOLUTE_GATE_LUFS:g} LUFS."
        )
    return np.asarray(samples * 10.0 ** ((lufs - measured) / 20.0), dtype=np.float32)


def scale_to_loudness_ratio(
    target: Samples, interference: Samples, sample_rate: int, ratio_lu: float
) -> Samples:
    """The interference scaled so that the target is `ratio_lu` louder.

    Args:
        target: (C, N).
        interference: (C, N).
        sample_rate: Hz of both.
        ratio_lu: loudness of the target minus that of the interference, in LU (a dB each).

    Raises:
        DatasetError: one of the signals is too quiet to have a loudness.
    """
    measured = loudness(target, sample_rate)
    if measured == -math.inf:
        raise DatasetError(
            f"Cannot mix at {ratio_lu:g} LU: no part of the target is louder than "
            f"{ABSOLUTE_GATE_LUFS:g} LUFS."
        )
    return scale_to_loudness(interference, sample_rate, measured - ratio_lu)


def draw_number(*names: str) -> int:
    """A whole number below 2^64 that follows from the names alone: seed, then what it is for."""
    return int.from_bytes(hashlib.sha256("\x1f".join(names).encode()).digest()[:8], "big")


def draw_ratio_db(low: int, high: int, *names: str) -> int:
    """A ratio in whole dB for one item, each from `low` to `high` equally likely.

    Args:
        low: smallest.
        high: largest.
        names: the seed and what names the item.
    """
    return low + draw_number(*names) % (high - low + 1)


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


def _k_weighting(sample_rate: int) -> tuple[tuple[list[float], list[float]], ...]:
    """Numerator and denominator of the standard's high shelf and of its high pass."""
    # Both are bilinear transforms; these numbers are those of the analogue filters which give the
    # standard's table at 48 kHz to all its digits.
    k, q = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196
    high = 10.0 ** (3.999843853973347 / 20.0)
    band = high**0.4996667741545416
    a0 = 1.0 + k / q + k * k
    shelf = [
        (high + band * k / q + k * k) / a0,
        2.0 * (k * k - high) / a0,
        (high - band * k / q + k * k) / a0,
    ]
    shelf_poles = [1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0]
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    a0 = 1.0 + k / q + k * k
    pass_poles = [1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0]
    return (shelf, shelf_poles), ([1.0, -2.0, 1.0], pass_poles)


def _lufs(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(_OFFSET_LUFS + 10.0 * np.log10(power))
