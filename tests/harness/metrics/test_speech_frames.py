"""SSNR, LLR and WSS on signals whose values are known by hand; see also test_golden_published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from sepbench.harness.metrics.speech_frames import (
    FRAME,
    HOP,
    SHORTEST,
    _slopes_and_weights,
    llr,
    ssnr,
    wss,
)

MEASURES = [ssnr, llr, wss]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples)


def voice(samples: int = 16000, seed: int = 0) -> np.ndarray:
    """Noise through a resonance at 500 Hz: a spectral envelope to recognise."""
    pole = 0.97 * np.exp(2j * np.pi * 500 / 16000)
    return lfilter([1.0], [1.0, -2 * pole.real, abs(pole) ** 2], noise(samples, seed))


# --- segmental SNR ------------------------------------------------------------------------


@pytest.mark.parametrize("decibel", [-10.0, -3.0, 0.0, 20.0, 35.0])
def test_ssnr_of_an_error_in_proportion_is_that_proportion(decibel):
    reference = noise(4000)

    value = ssnr(reference, reference * (1 + 10 ** (-decibel / 20)))

    assert value == pytest.approx(decibel, abs=1e-9)


@pytest.mark.parametrize(("decibel", "limit"), [(-40.0, -10.0), (60.0, 35.0)])
def test_ssnr_of_each_frame_is_limited(decibel, limit):
    reference = noise(4000)

    assert ssnr(reference, reference * (1 + 10 ** (-decibel / 20))) == limit


def test_ssnr_is_a_mean_of_frames_not_a_ratio_of_sums():
    # Frames that lie in one half alone; the halves are far apart, so that hardly a frame has both.
    reference = noise(64000)
    gain = np.where(np.arange(64000) < 32000, 10 ** (-30 / 20), 10 ** (-10 / 20))

    assert ssnr(reference, reference * (1 + gain)) == pytest.approx(20.0, abs=0.1)


def test_ssnr_of_clean_speech_is_the_upper_limit_and_of_a_mute_estimate_zero():
    assert ssnr(noise(4000), noise(4000)) == 35.0
    assert ssnr(noise(4000), np.zeros(4000)) == pytest.approx(0.0, abs=1e-9)


def test_a_frame_silent_in_the_reference_counts_as_the_lower_limit():
    reference = np.concatenate([np.zeros(16 * SHORTEST), noise(16 * SHORTEST)])

    frames = (len(reference) - FRAME) // HOP
    silent = (16 * SHORTEST - FRAME) // HOP + 1
    expected = (-10.0 * silent + 35.0 * (frames - silent)) / frames
    assert ssnr(reference, reference) == pytest.approx(expected, abs=1e-9)


# --- log-likelihood ratio -----------------------------------------------------------------


def test_llr_forgives_gain_and_sign():
    assert llr(voice(), -0.01 * voice()) == pytest.approx(0.0, abs=1e-12)


def test_llr_of_white_noise_against_a_resonance_is_its_prediction_gain():
    # A white estimate predicts nothing: a = (1, 0, …), so the ratio is R(0) over the error's
    # power, which for a driven all-pole filter is 1/(power of the impulse response).
    impulse = np.zeros(4000)
    impulse[0] = 1.0
    pole = 0.97 * np.exp(2j * np.pi * 500 / 16000)
    response = lfilter([1.0], [1.0, -2 * pole.real, abs(pole) ** 2], impulse)

    value = llr(voice(160000), noise(160000, seed=5))

    assert value == pytest.approx(math.log((response**2).sum()), rel=0.1)


def test_llr_of_silent_frames_takes_them_for_white_noise():
    assert llr(noise(4000), np.zeros(4000)) == pytest.approx(
        llr(noise(4000), np.eye(1, 4000, 300)[0] * 1e-300), abs=0.5
    )
    assert llr(np.zeros(4000), np.zeros(4000)) == 0.0


@pytest.mark.parametrize(
    "other", [np.ones(4000), np.sin(0.3 * np.arange(4000)), 1e-200 * noise(4000)]
)
def test_perfectly_predictable_signals_give_finite_values(other):
    assert 0 <= llr(voice(4000), other) < 100
    assert 0 <= llr(other, voice(4000)) < 100
    assert llr(other, other) == 0.0


# --- weighted spectral slope --------------------------------------------------------------


def test_wss_forgives_gain():
    assert wss(voice(), 0.1 * voice()) == pytest.approx(0.0, abs=1e-9)


def test_slopes_weigh_by_their_distance_to_the_highest_and_the_nearest_peak():
    #        dB 10    ●           near peak of each slope: 0 (the band below the rise's peak), 10,
    #            7   / \        ●   10, 4; highest 10
    #            4  /   ●——————●/
    #            0 ●
    levels = np.array([[0.0, 10.0, 4.0, 4.0, 7.0]])

    slopes, weights = _slopes_and_weights(levels)

    assert slopes.tolist() == [[10.0, -6.0, 0.0, 3.0]]
    expected = [20 / 30 * 1 / 1, 20 / 20 * 1 / 1, 20 / 26 * 1 / 7, 20 / 26 * 1 / 1]
    np.testing.assert_allclose(weights, [expected])


def test_a_long_rise_is_weighed_by_the_band_below_its_peak():
    _, weights = _slopes_and_weights(np.array([[0.0, 1.0, 3.0, 2.0]]))

    np.testing.assert_allclose(weights, [[20 / 23 * 1 / 2, 20 / 22 * 1 / 1, 20 / 20 * 1 / 1]])


def test_wss_of_a_first_order_difference_is_that_of_its_slopes():
    # It tilts every frame alike, by 20·log10 of the ratio of neighbouring centres: 7.5 dB between
    # the lowest bands, about 1 dB between the highest.
    tilted = np.diff(noise(16001))

    value = wss(noise(16001)[1:], tilted)

    assert 1.0 < value < 7.5**2


def test_wss_of_silence_is_finite():
    assert wss(np.zeros(4000), np.zeros(4000)) == 0.0
    assert math.isfinite(wss(noise(4000), np.zeros(4000)))


# --- all three ----------------------------------------------------------------------------


@pytest.mark.parametrize(("measure", "best"), [(ssnr, 35.0), (llr, 0.0), (wss, 0.0)])
def test_equal_signals_have_the_best_value(measure, best):
    assert measure(voice(), voice()) == best


@pytest.mark.parametrize(("measure", "sign"), [(ssnr, -1), (llr, 1), (wss, 1)])
def test_more_noise_is_worse(measure, sign):
    clean, error = voice(), noise(16000, seed=1)
    values = [sign * measure(clean, clean + gain * error) for gain in (0.1, 0.5, 1.0, 3.0)]

    assert values == sorted(values)
    assert len(set(values)) == 4


@pytest.mark.parametrize("measure", MEASURES)
def test_the_shortest_signal_has_one_frame(measure):
    assert math.isfinite(measure(noise(SHORTEST), noise(SHORTEST, seed=1)))


@pytest.mark.parametrize("measure", MEASURES)
def test_long_signals_are_computed_in_blocks_with_the_same_result(measure, monkeypatch):
    clean, noisy = noise(60000), noise(60000) + noise(60000, seed=1)
    whole = measure(clean, noisy)
    monkeypatch.setattr("sepbench.harness.metrics.speech_frames.BLOCK", 100)

    assert measure(clean, noisy) == pytest.approx(whole, abs=1e-9)


@given(st.integers(0, 2**31), st.floats(1e-6, 1e6), st.integers(SHORTEST, 3000))
@settings(deadline=None, max_examples=50)
def test_the_level_of_both_changes_nothing(seed, gain, samples):
    # Not WSS: its bands have a floor of −100 dB, which quiet signals reach.
    reference, estimate = noise(samples, seed), noise(samples, seed + 1)

    for measure in (ssnr, llr):
        assert measure(gain * reference, gain * estimate) == pytest.approx(
            measure(reference, estimate), abs=1e-3
        )
