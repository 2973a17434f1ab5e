from __future__ import annotations

import numpy as np
import pytest

from sepbench.harness.errors import DatasetError
from sepbench.harness.mixing import (
    declip,
    loop_to_length,
    mean_power,
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
