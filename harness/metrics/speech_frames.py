"""Frame measures of enhanced speech: segmental SNR, log-likelihood ratio, weighted spectral slope.

All three cut both signals into Hann-windowed frames of 30 ms at 75 % overlap, floor((N − L)/hop)
of them, which leaves the last one out; LLR and WSS average the lowest 95 % of their frames. They
are written from the published definitions (Hu & Loizou 2008, Klatt 1982, Quackenbush et al. 1988)
and agree with pysepm, which the tables of speech enhancement use, to 1e-6 on its golden values.

Here every signal is mono float64 at 16 kHz; speech.py brings them there.

Dimensions: N samples, T frames, L samples of a frame, P order, B critical bands, K bins.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sepbench.harness.metrics.signals import Float64

SPEECH_RATE = 16000
"""Hz at which every speech metric is computed."""

FRAME = 480
"""Samples of a frame: 30 ms."""

HOP = 120
"""Samples between frames: 75 % overlap."""

SHORTEST = FRAME + HOP
"""Samples from which on there is a frame."""

KEPT_FRAMES = 0.95
"""Share of frames that LLR and WSS average, the lowest: the worst 5 % are taken for outliers."""

SSNR_LIMITS = (-10.0, 35.0)
"""dB to which a frame's SNR is limited: below is inaudible target, above inaudible error."""

LPC_ORDER = 16
BLOCK = 2048
"""Frames at a time; keeps memory below 100 MB whatever the length."""

_EPS = float(np.finfo(np.float64).eps)
_WINDOW = 0.5 * (1.0 - np.cos(2.0 * np.pi * np.arange(1, FRAME + 1) / (FRAME + 1)))

# Klatt's critical bands as tabulated for the composite measures, Hz.
# fmt: off
_CENTRES = np.array([
    50.0, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
    1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17,
    3597.63,
])
_BANDWIDTHS = np.array([
    70.0, 70, 70, 70, 70, 70, 70, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423,
    153.823, 168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465,
    346.136,
])
# fmt: on
_FFT = 1024
"""Next power of two of twice the frame."""

_GLOBAL_PEAK, _NEAR_PEAK = 20.0, 1.0
_ENERGY_FLOOR = 1e-10


def ssnr(reference: Float64, estimate: Float64) -> float:
    """Segmental SNR in dB: the mean over frames of 10·log10(Σ s² / Σ (s − ŝ)²) within −10…35.

    Args:
        reference: (N,) at 16 kHz, N ≥ 600.
        estimate: (N,).

    Returns:
        Value in [-10, 35]. A frame that is digitally silent in the reference counts as −10,
        whatever the estimate does there; a mute estimate has 0 in every other frame.

    Source: Hansen & Pellom, ICSLP 1998; limits and window as in Hu & Loizou's composite measures.
    """

    def of_frames(s: Float64, s_hat: Float64) -> Float64:
        energy, error = (s * s).sum(axis=1), ((s - s_hat) ** 2).sum(axis=1)
        # Both epsilons are the published ones; they decide nothing but silent frames.
        snr: Float64 = 10.0 * np.log10(energy / (error + _EPS) + _EPS)
        limited: Float64 = np.clip(snr, *SSNR_LIMITS)
        return limited

    return float(_per_frame(reference, estimate, of_frames).mean())


def llr(reference: Float64, estimate: Float64) -> float:
    """Log-likelihood ratio of linear predictors: how far the spectral envelope moved.

    ln(a_ŝᵀ R_s a_ŝ / a_sᵀ R_s a_s) per frame, a the order-16 predictor of a frame by its
    autocorrelation, R_s the reference's autocorrelation matrix; no upper limit per frame; mean of
    the lowest 95 %.

    Args:
        reference: (N,) at 16 kHz, N ≥ 600.
        estimate: (N,).

    Returns:
        Value ≥ 0; 0 for equal signals at any gain. A digitally silent frame has the flat spectrum
        of vanishing white noise.

    Source: Quackenbush, Barnwell, Clements, "Objective Measures of Speech Quality", 1988; as in
        Hu & Loizou's composite measures, where frames are not limited to 2.
    """

    def of_frames(s: Float64, s_hat: Float64) -> Float64:
        r = _autocorrelation(s)  # (T, P+1)
        a, a_hat = _predictor(r), _predictor(_autocorrelation(s_hat))
        ratio: Float64 = np.log(_error_power(r, a_hat) / _error_power(r, a))
        return ratio

    # The reference's own predictor is the best one, so less than 0 is rounding.
    return max(0.0, _lowest_mean(_per_frame(reference, estimate, of_frames)))


def wss(reference: Float64, estimate: Float64) -> float:
    """Weighted spectral slope distance of Klatt: how far the slopes of 25 critical bands moved.

    Σ_b w_b·(slope_b − slope'_b)² / Σ_b w_b per frame, slopes the dB differences of neighbouring
    bands, w large near a spectral peak; mean of the lowest 95 %.

    Args:
        reference: (N,) at 16 kHz, N ≥ 600.
        estimate: (N,).

    Returns:
        Value ≥ 0; 0 for equal signals.

    Source: Klatt, ICASSP 1982; constants as in Hu & Loizou's composite measures. A rising slope is
        weighed with the band *below* its peak, because pysepm's values ask for it: the peak
        itself gives 57.559 instead of 57.923 on golden item 03.
    """

    def of_frames(s: Float64, s_hat: Float64) -> Float64:
        slopes, weights = _slopes_and_weights(_band_levels(s))  # (T, B−1) each
        slopes_hat, weights_hat = _slopes_and_weights(_band_levels(s_hat))
        weights = (weights + weights_hat) / 2.0
        distances = (weights * (slopes - slopes_hat) ** 2).sum(axis=1)
        weighted: Float64 = distances / weights.sum(axis=1)
        return weighted

    return _lowest_mean(_per_frame(reference, estimate, of_frames))


# --- frames -------------------------------------------------------------------------------


def _per_frame(
    reference: Float64, estimate: Float64, of_frames: Callable[[Float64, Float64], Float64]
) -> Float64:
    """A value per frame (T,), computed in blocks of frames (≤ BLOCK, L)."""
    frames, frames_hat = (
        np.lib.stride_tricks.sliding_window_view(signal, FRAME)[::HOP]
        for signal in (reference, estimate)
    )
    num = (len(reference) - FRAME) // HOP  # one less than fit: the last is left out
    blocks = [slice(start, min(start + BLOCK, num)) for start in range(0, num, BLOCK)]
    return np.concatenate([of_frames(frames[b] * _WINDOW, frames_hat[b] * _WINDOW) for b in blocks])


def _lowest_mean(values: Float64) -> float:
    """Mean of the lowest 95 % of the frames, at least one."""
    return float(np.sort(values)[: max(1, round(KEPT_FRAMES * len(values)))].mean())


# --- linear prediction --------------------------------------------------------------------


def _autocorrelation(frames: Float64) -> Float64:
    """Lags 0…P of each frame, (T, P+1), lag 0 made 1; a silent frame has that of white noise."""
    lags = [
        np.einsum("tn,tn->t", frames[:, : FRAME - lag], frames[:, lag:])
        for lag in range(LPC_ORDER + 1)
    ]
    r = np.stack(lags, axis=1)
    r[r[:, 0] < np.finfo(np.float64).tiny] = np.eye(1, LPC_ORDER + 1)
    normal: Float64 = r / r[:, :1]
    return normal


def _predictor(r: Float64) -> Float64:
    """Levinson–Durbin: prediction-error filters (T, P+1), first coefficient 1."""
    a = np.zeros_like(r)
    a[:, 0] = 1.0
    error = r[:, 0].copy()  # (T,)
    for order in range(1, LPC_ORDER + 1):
        k = -np.einsum("tp,tp->t", a[:, :order], r[:, order:0:-1]) / error
        # A frame that lower orders predict but for rounding is done: more would be noise.
        k[(error <= _EPS) | (np.abs(k) >= 1.0)] = 0.0
        a[:, 1 : order + 1] += k[:, None] * a[:, order - 1 :: -1][:, :order]
        error = np.maximum(error * (1.0 - k * k), _EPS)
    return a


def _error_power(r: Float64, a: Float64) -> Float64:
    """aᵀ R a of every frame (T,), R the Toeplitz matrix of r; not below rounding."""
    lag = np.abs(np.subtract.outer(np.arange(LPC_ORDER + 1), np.arange(LPC_ORDER + 1)))
    power: Float64 = np.einsum("tp,tpq,tq->t", a, r[:, lag], a, optimize=True)
    return np.maximum(power, _EPS)


# --- critical bands -----------------------------------------------------------------------


def _band_filters() -> Float64:
    """Gaussian band filters (B, K) over the bins below half the rate."""
    bins = _FFT // 2
    centres, widths = (hertz / (SPEECH_RATE / 2) * bins for hertz in (_CENTRES, _BANDWIDTHS))
    distance = (np.arange(bins) - np.floor(centres)[:, None]) / widths[:, None]
    filters: Float64 = np.exp(-11.0 * distance**2) * (_BANDWIDTHS[0] / _BANDWIDTHS)[:, None]
    filters[filters < np.exp(-30.0 / (2.0 * 2.303))] = 0.0
    return filters


_FILTERS = _band_filters()


def _band_levels(frames: Float64) -> Float64:
    """Level of each critical band, (T, B) dB, not below −100."""
    spectrum = np.fft.rfft(frames, _FFT)[:, : _FFT // 2]  # (T, K)
    power: Float64 = spectrum.real**2 + spectrum.imag**2
    levels: Float64 = 10.0 * np.log10(np.maximum(power @ _FILTERS.T, _ENERGY_FLOOR))
    return levels


def _slopes_and_weights(levels: Float64) -> tuple[Float64, Float64]:
    """Slopes between neighbouring bands and their weights, (T, B−1) each."""
    slopes = np.diff(levels, axis=1)
    near, lower = np.empty_like(slopes), levels[:, :-1]
    last = slopes.shape[1] - 1
    # The nearest peak lies where the run of equal slope signs ends: upwards for rising slopes,
    # downwards for the others. A run's value is handed from neighbour to neighbour.
    for band in range(last, -1, -1):
        rising = slopes[:, band] > 0.0
        goes_on = rising & (slopes[:, band + 1] > 0.0) if band < last else np.zeros_like(rising)
        near[:, band] = np.where(goes_on, near[:, min(band + 1, last)], lower[:, band])
    for band in range(slopes.shape[1]):
        falling = slopes[:, band] <= 0.0
        goes_on = falling & (slopes[:, band - 1] <= 0.0) if band else np.zeros_like(falling)
        top = np.where(goes_on, near[:, max(band - 1, 0)], lower[:, band])
        near[:, band] = np.where(falling, top, near[:, band])
    highest = levels.max(axis=1, keepdims=True)
    weights: Float64 = (
        _GLOBAL_PEAK / (_GLOBAL_PEAK + highest - lower) * _NEAR_PEAK / (_NEAR_PEAK + near - lower)
    )
    return slopes, weights
