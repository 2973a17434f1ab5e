from __future__ import annotations

import numpy as np
import pytest

from sepbench.harness.errors import AudioMismatchError, DatasetError
from sepbench.harness.mixing import (
    declip,
    loop_to_length,
    mean_power,
    mix_at_peak_ratio,
    pad_to_length,
    scale_to_snr,
)


def constant(value: float, length: int = 4, channels: int = 1) -> np.ndarray:
    return np.full((channels, length), value, dtype=np.float32)


def ramp(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.float32)[None]


def test_mean_power_is_the_mean_square_over_channels_and_time() -> None:
    samples = np.array([[1.0, 3.0], [0.0, 0.0]], dtype=np.float32)

    assert mean_power(samples) == 2.5


def test_mean_power_of_long_signals_is_summed_in_double_precision() -> None:
    assert mean_power(constant(0.1, length=2_000_000)) == pytest.approx(0.1**2, rel=1e-6)


@pytest.mark.parametrize(("snr_db", "expected"), [(0.0, 0.5), (20.0, 0.05), (-20.0, 5.0)])
def test_interference_is_scaled_to_the_ratio(snr_db: float, expected: float) -> None:
    scaled = scale_to_snr(constant(0.5), constant(0.125), snr_db)

    np.testing.assert_allclose(scaled, expected, rtol=1e-6)
    assert scaled.dtype == np.float32


@pytest.mark.parametrize("snr_db", [-30.0, -2.5, 0.0, 7.0, 30.0])
def test_measured_ratio_of_noise_is_the_stated_one(snr_db: float) -> None:
    rng = np.random.default_rng(3)
    target = rng.normal(0, 0.2, (2, 5000)).astype(np.float32)
    interference = rng.normal(0, 0.001, (2, 5000)).astype(np.float32)

    scaled = scale_to_snr(target, interference, snr_db)

    measured = 10 * np.log10(mean_power(target) / mean_power(scaled))
    assert measured == pytest.approx(snr_db, abs=1e-5)


def test_gain_of_the_interference_does_not_matter() -> None:
    target, interference = constant(0.5), ramp(4)

    quiet = scale_to_snr(target, interference * np.float32(1e-6), 3.0)

    np.testing.assert_allclose(quiet, scale_to_snr(target, interference, 3.0), rtol=1e-5)


@pytest.mark.parametrize(
    ("target", "interference", "which"),
    [(0.0, 1.0, "target"), (1.0, 0.0, "interference"), (0.0, 0.0, "target")],
)
def test_silence_has_no_ratio(target: float, interference: float, which: str) -> None:
    with pytest.raises(DatasetError, match=f"at 5.0 dB: the {which} is silent"):
        scale_to_snr(constant(target), constant(interference), 5.0)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, -1.0])
def test_mixture_within_full_scale_stays_as_it_is(level: float) -> None:
    signal, mixture = constant(0.25), constant(level)

    kept, same = declip((signal,), mixture, 0.9)

    assert kept is signal
    assert same is mixture


def test_mixture_above_full_scale_peaks_where_asked_and_stays_the_sum() -> None:
    first, second = constant(1.5), constant(-0.25)

    first, second, mixture = declip((first, second), constant(-2.0), 0.9)

    np.testing.assert_allclose(mixture, -0.9, rtol=1e-6)
    np.testing.assert_allclose(first, 1.5 * 0.45, rtol=1e-6)
    np.testing.assert_allclose(second, -0.25 * 0.45, rtol=1e-6)


def test_short_signal_is_repeated_and_cut() -> None:
    np.testing.assert_array_equal(loop_to_length(ramp(3), 7), [[0, 1, 2, 0, 1, 2, 0]])


def test_long_signal_is_cut_by_looping_and_by_padding() -> None:
    np.testing.assert_array_equal(loop_to_length(ramp(5), 2), [[0, 1]])
    np.testing.assert_array_equal(pad_to_length(ramp(5), 2), [[0, 1]])


def test_short_signal_is_padded_with_zeros_at_its_end() -> None:
    padded = pad_to_length(np.tile(ramp(3), (2, 1)), 5)

    np.testing.assert_array_equal(padded, [[0, 1, 2, 0, 0]] * 2)
    assert padded.dtype == np.float32


@pytest.mark.parametrize("ratio_db", [0.0, 6.0, -6.0, 20.0])
def test_peak_ratio_is_that_of_the_mixed_signals(ratio_db: float) -> None:
    rng = np.random.default_rng(4)
    target = rng.normal(0, 0.2, (1, 3000)).astype(np.float32)
    interference = rng.uniform(-0.01, 0.01, (1, 3000)).astype(np.float32)

    first, second, mixture = mix_at_peak_ratio(target, interference, ratio_db)

    peaks = np.abs(first).max() / np.abs(second).max()
    assert 20 * np.log10(peaks) == pytest.approx(ratio_db, abs=1e-5)
    np.testing.assert_allclose(first + second, mixture, atol=1e-6)
    assert first.dtype == second.dtype == mixture.dtype == np.float32


def test_peak_ratio_mixture_is_the_closed_form_of_the_published_recipe() -> None:
    target = np.array([[0.5, -0.25, 0.0, 0.1]], dtype=np.float32)
    interference = np.array([[2.0, -4.0, 1.0, 0.0]], dtype=np.float32)

    first, second, mixture = mix_at_peak_ratio(target, interference, 0.0)

    # s/max|s| = 1 -.5 0 .2 and n/max|n| = .5 -1 .25 0; their sum 1.5 -1.5 .25 .2 peaks at 1.5.
    np.testing.assert_allclose(first, [[1 / 1.5, -0.5 / 1.5, 0, 0.2 / 1.5]], rtol=1e-6)
    np.testing.assert_allclose(second, [[0.5 / 1.5, -1 / 1.5, 0.25 / 1.5, 0]], rtol=1e-6)
    np.testing.assert_allclose(mixture, [[1, -1, 0.25 / 1.5, 0.2 / 1.5]], rtol=1e-6)


def test_signals_that_cancel_are_scaled_by_the_loudest_of_the_three() -> None:
    target = constant(0.5)

    first, second, mixture = mix_at_peak_ratio(target, -target, 0.0)

    np.testing.assert_array_equal(first, 1.0)
    np.testing.assert_array_equal(second, -1.0)
    np.testing.assert_array_equal(mixture, 0.0)


def test_louder_interference_at_a_negative_peak_ratio_stays_within_full_scale() -> None:
    signals = mix_at_peak_ratio(constant(0.3), constant(0.3), -20.0)

    assert max(float(np.abs(signal).max()) for signal in signals) == pytest.approx(1.0)
    np.testing.assert_allclose(signals[0], 1 / 11, rtol=1e-6)


def test_peak_ratio_of_zero_is_not_an_energy_ratio_of_zero() -> None:
    rng = np.random.default_rng(5)
    gaussian = rng.normal(0, 0.2, (1, 20000)).astype(np.float32)
    uniform = rng.uniform(-0.2, 0.2, (1, 20000)).astype(np.float32)

    first, second, _ = mix_at_peak_ratio(gaussian, uniform, 0.0)

    assert 10 * np.log10(mean_power(first) / mean_power(second)) < -5


@pytest.mark.parametrize(
    ("target", "interference", "which"), [(0.0, 1.0, "target"), (1.0, 0.0, "interference")]
)
def test_silence_has_no_peak_to_scale(target: float, interference: float, which: str) -> None:
    with pytest.raises(DatasetError, match=f"peak ratio of 0.0 dB: the {which} is silent"):
        mix_at_peak_ratio(constant(target), constant(interference), 0.0)


def test_signals_of_other_shapes_are_not_mixed_at_a_peak_ratio() -> None:
    with pytest.raises(AudioMismatchError, match=r"\(1, 4\) and \(2, 4\)"):
        mix_at_peak_ratio(constant(1.0), constant(1.0, channels=2), 0.0)


@pytest.mark.parametrize("snr_db", [-15, 0, 15])
def test_energy_ratio_and_declipping_together_are_the_rule_of_dcase_2024(snr_db: int) -> None:
    rng = np.random.default_rng(6)
    target, noise = (rng.uniform(-0.9, 0.9, (1, 4000)).astype(np.float32) for _ in range(2))
    factor = np.sqrt(np.mean(target**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
    summed = target + factor * noise
    gain = 0.9 / np.abs(summed).max()

    scaled = scale_to_snr(target, noise, snr_db)
    first, _, mixture = declip((target, scaled), target + scaled, 0.9)

    np.testing.assert_allclose(mixture, gain * summed, atol=1e-6)
    np.testing.assert_allclose(first, gain * target, atol=1e-6)
