"""How loud a signal is, so that players can be matched."""

from __future__ import annotations

import numpy as np

from sepbench.harness.api import Samples

SILENT = -70.0  # LUFS; the absolute gate of the recommendation
# Biquads of the weighting at 48 kHz: high shelf, then high pass (b, a).
_SHELF = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285),
    (1.0, -1.69065929318241, 0.73248077421585),
)
_HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))


def loudness(samples: Samples, sample_rate: int) -> float:
    """Loudness of a whole signal in LUFS, without gates; −inf for silence.

    Args:
        samples: (C, N).
        sample_rate: Hz.

    Source: ITU-R BS.1770-4, tables 1 and 2; the filters' power response is applied to the
        spectrum, which is the same for a whole signal.
    """
    signal = np.asarray(samples, dtype=np.float64)
    spectrum = np.abs(np.fft.rfft(signal)) ** 2  # (C, K)
    spectrum[:, 1 : (signal.shape[1] + 1) // 2] *= 2  # the mirrored half
    frequencies = np.fft.rfftfreq(signal.shape[1], 1 / sample_rate)
    step = np.exp(-2j * np.pi * np.minimum(frequencies, 24000.0) / 48000.0)
    weight = np.ones(len(step))
    for b, a in (_SHELF, _HIGH_PASS):
        above, below = (c[0] + c[1] * step + c[2] * step**2 for c in (b, a))
        weight *= np.abs(above / below) ** 2
    power = float((spectrum * weight).sum()) / signal.shape[1] ** 2
    return float(-0.691 + 10 * np.log10(power)) if power > 0 else float("-inf")
