"""Plain SDR and SI-SDR: values known by hand, refusals, invariances."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sepbench.harness.api import Undefined
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics import ScoredItem, ScoredScene, sdr, si_sdr
from sepbench.harness.metrics.waveform import SDR, SI_SDR


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# Two square waves of different period are orthogonal: Σ u·v = 0, Σ u² = Σ v² = 8.
U = np.array([1.0, 1, 1, 1, -1, -1, -1, -1])
V = np.array([1.0, 1, -1, -1, 1, 1, -1, -1])


def test_sdr_of_a_tenth_of_the_interferer_left_is_20_db():
    assert sdr(U, U + 0.1 * V) == pytest.approx(20.0, abs=1e-12)


def test_sdr_counts_gain_as_an_error():
    # Half of the reference is missing: 10·log10(8 / 2).
    assert sdr(U, 0.5 * U) == pytest.approx(10 * math.log10(4), abs=1e-12)


def test_sdr_of_the_negated_reference_is_minus_6_db():
    assert sdr(U, -U) == pytest.approx(-10 * math.log10(4), abs=1e-12)


def test_si_sdr_forgives_gain_and_sign():
    assert si_sdr(U, -0.3 * (U + 0.1 * V)) == pytest.approx(20.0, abs=1e-12)


def test_both_join_the_channels_instead_of_averaging_them():
    # Energies add: 16 over 8·0.01 + 8·0.04 = 0.4.
    reference, estimate = np.stack([U, U]), np.stack([U + 0.1 * V, U + 0.2 * V])

    assert sdr(reference, estimate) == pytest.approx(10 * math.log10(40), abs=1e-12)
    assert si_sdr(reference, estimate) == pytest.approx(10 * math.log10(40), abs=1e-12)


def test_neither_removes_the_mean():
    # A constant of 1 is orthogonal to U and has its energy: 0 dB with the mean, +inf without.
    assert sdr(U, U + 1.0) == pytest.approx(0.0, abs=1e-12)
    assert si_sdr(U, U + 1.0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("metric", [sdr, si_sdr])
def test_a_perfect_estimate_is_plus_infinity(metric):
    assert metric(noise(2, 100), noise(2, 100)) == math.inf


def test_si_sdr_of_a_scaled_copy_is_plus_infinity():
    assert si_sdr(U, 0.25 * U) == math.inf


def test_si_sdr_of_an_orthogonal_estimate_is_minus_infinity():
    assert si_sdr(U, V) == -math.inf


@pytest.mark.parametrize("decibel", [60, 120, 180, 240])
def test_near_perfect_values_keep_their_digits(decibel):
    # |ŝ|² − |a·s|² would be all rounding from 160 dB on; at 240 dB ŝ − s still has 3 digits.
    estimate = U + 10 ** (-decibel / 20) * V

    assert si_sdr(U, estimate) == pytest.approx(decibel, abs=1e-2)
    assert sdr(U, estimate) == pytest.approx(decibel, abs=1e-2)


def test_quiet_signals_meet_no_floor():
    assert sdr(1e-12 * U, 1e-12 * (U + 0.1 * V)) == pytest.approx(20.0, abs=1e-9)
    assert si_sdr(1e-12 * U, 1e-15 * (U + 0.1 * V)) == pytest.approx(20.0, abs=1e-9)


def test_float32_input_is_computed_in_float64():
    reference = noise(1, 16000).astype(np.float32)
    estimate = (reference + 1e-3 * noise(1, 16000, seed=1)).astype(np.float32)

    assert sdr(reference, estimate) == sdr(reference.astype(float), estimate.astype(float))


@pytest.mark.parametrize("metric", [sdr, si_sdr])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_give_what_their_arrays_give(metric, dtype):
    reference = torch.from_numpy(noise(2, 500)).to(dtype).requires_grad_()
    estimate = torch.from_numpy(noise(2, 500, seed=1)).to(dtype)

    value = metric(reference, estimate)

    assert type(value) is float
    assert value == metric(reference.detach().double().numpy(), estimate.double().numpy())


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [sdr, si_sdr])
@pytest.mark.parametrize("estimate", [np.zeros(8), U])
def test_a_silent_reference_has_no_score_whatever_the_estimate(metric, estimate):
    with pytest.raises(UndefinedScoreError, match=r"^the reference is silent$") as refusal:
        metric(np.zeros(8), estimate)

    assert refusal.value.cause == "reference"


def test_sdr_of_a_mute_estimate_is_zero_db():
    assert sdr(U, np.zeros(8)) == 0.0


def test_si_sdr_of_a_mute_estimate_is_undefined_by_the_estimate():
    with pytest.raises(UndefinedScoreError, match="the estimate is mute") as refusal:
        si_sdr(U, np.zeros(8))

    assert refusal.value.cause == "estimate"


@pytest.mark.parametrize("metric", [sdr, si_sdr])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite_are_named(metric, bad):
    broken = U.copy()
    broken[3] = bad

    with pytest.raises(UndefinedScoreError, match="estimate holds NaN or infinite") as of_estimate:
        metric(U, broken)
    with pytest.raises(UndefinedScoreError, match="reference holds NaN or inf") as of_reference:
        metric(broken, U)

    assert (of_estimate.value.cause, of_reference.value.cause) == ("estimate", "reference")


@pytest.mark.parametrize("metric", [sdr, si_sdr])
@pytest.mark.parametrize(
    ("reference", "estimate", "words"),
    [
        ((1, 8), (1, 9), r"Reference \(1, 8\) and estimate \(1, 9\)"),
        ((8,), (1, 8), r"Reference \(8,\) and estimate \(1, 8\)"),
        ((2, 2, 8), (2, 2, 8), r"Reference \(2, 2, 8\) .* one shape, \(N,\) or \(C, N\)"),
    ],
)
def test_other_shapes_are_refused_by_name(metric, reference, estimate, words):
    with pytest.raises(ValueError, match=words):
        metric(np.ones(reference), np.ones(estimate))


# --- properties ---------------------------------------------------------------------------

seeds = st.integers(0, 2**31)
gains = st.floats(1e-6, 1e6).flatmap(lambda g: st.sampled_from([g, -g]))


@given(seeds, gains, st.integers(1, 3), st.integers(2, 300))
@settings(deadline=None)
def test_si_sdr_does_not_change_with_the_gain_of_either(seed, gain, channels, samples):
    reference, estimate = noise(2, channels, samples, seed=seed)
    value = si_sdr(reference, estimate)

    assert si_sdr(reference, gain * estimate) == pytest.approx(value, abs=1e-6)
    assert si_sdr(gain * reference, estimate) == pytest.approx(value, abs=1e-6)


@given(seeds, gains, st.integers(1, 3), st.integers(1, 300))
@settings(deadline=None)
def test_sdr_does_not_change_with_a_gain_on_both(seed, gain, channels, samples):
    reference, estimate = noise(2, channels, samples, seed=seed)

    assert sdr(gain * reference, gain * estimate) == pytest.approx(
        sdr(reference, estimate), abs=1e-9
    )


@given(seeds, st.integers(1, 50), st.integers(0, 4), st.integers(0, 4))
@settings(deadline=None)
def test_values_are_plain_floats_and_never_nan(seed, samples, zeros, equal):
    reference, estimate = noise(2, samples, seed=seed)
    reference[:zeros] = 0.0
    estimate[:equal] = reference[:equal]

    item = ScoredItem(target="t", reference=reference[None], estimate=estimate[None])
    scene = ScoredScene(
        sample_rate=8000, mixture=reference[None], references={"t": reference[None]}, items=(item,)
    )

    # A family turns a refusal into a reason, so that both outcomes can be held side by side.
    for metric in (SDR, SI_SDR):
        ((value,),) = (
            row.values() for row in metric.score(scene, frozenset({metric.card.metric_id}))
        )

        assert type(value) in (float, Undefined)
        assert value == value  # NaN is not equal to itself


# --- cost ---------------------------------------------------------------------------------


def test_a_second_at_16_khz_takes_less_than_a_millisecond():
    # About 0.05 ms on one core; the best of many keeps a loaded machine from failing it.
    reference, estimate = noise(2, 1, 16000).astype(np.float32)
    spent = []
    for _ in range(100):
        start = time.perf_counter()
        sdr(reference, estimate)
        spent.append(time.perf_counter() - start)

    assert min(spent) < 1e-3


def test_sdr_needs_no_torch():
    code = (
        "import sys, numpy as np\n"
        "from sepbench.harness.metrics import sdr, si_sdr\n"
        "sdr(np.ones(9), np.ones(9)), si_sdr(np.ones(9), np.ones(9))\n"
        "assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
