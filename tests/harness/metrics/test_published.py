"""AudioSep's formulas: floors, epsilon and float32 by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sepbench.harness.api import Undefined
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics import ScoredItem, ScoredScene, score_scene, sdr, si_sdr
from sepbench.harness.metrics.published import audiosep_sdr, audiosep_si_sdr

BOTH = [audiosep_sdr, audiosep_si_sdr]
EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}

# Two square waves of different period are orthogonal; mean power 1, energy 8.
U = np.array([1.0, 1, 1, 1, -1, -1, -1, -1])
V = np.array([1.0, 1, -1, -1, 1, 1, -1, -1])


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def decibels(ratio: float) -> float:
    return 10 * math.log10(ratio)


@pytest.mark.parametrize("precision", EPSILON)
def test_loud_and_imperfect_estimates_score_as_the_plain_metrics(precision):
    reference, estimate = noise(2, 2, 4000)

    ours = audiosep_sdr(reference, estimate, precision=precision)
    scale_invariant = audiosep_si_sdr(reference, estimate, precision=precision)

    assert ours == pytest.approx(sdr(reference, estimate), abs=1e-5)
    assert scale_invariant == pytest.approx(si_sdr(reference, estimate), abs=1e-2)


def test_sdr_of_a_perfect_estimate_is_bounded_by_the_floor():
    assert audiosep_sdr(0.1 * U, 0.1 * U) == pytest.approx(decibels(1e-2 / 1e-10), abs=1e-5)


def test_sdr_of_a_clip_below_the_floor_is_zero():
    quiet = 0.9e-5  # mean power 0.81e-10

    assert audiosep_sdr(quiet * U, quiet * (U + 0.1 * V)) == 0.0
    assert sdr(quiet * U, quiet * (U + 0.1 * V)) == pytest.approx(20.0, abs=1e-9)


def test_sdr_of_a_silent_reference_is_a_number():
    assert audiosep_sdr(0 * U, 0.1 * U) == pytest.approx(decibels(1e-10 / 1e-2), abs=1e-5)
    assert audiosep_sdr(0 * U, 0 * U) == 0.0


@pytest.mark.parametrize("precision", EPSILON)
def test_si_sdr_of_a_perfect_estimate_is_bounded_by_the_epsilon_of_the_type(precision):
    expected = decibels(8 / EPSILON[precision])

    assert audiosep_si_sdr(U, U, precision=precision) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("precision", EPSILON)
def test_si_sdr_of_a_silent_reference_is_a_number(precision):
    # a = ε/ε = 1, the target is 0, the error is the estimate.
    epsilon = EPSILON[precision]
    expected = decibels(epsilon / (epsilon + 8))

    assert audiosep_si_sdr(0 * U, U, precision=precision) == pytest.approx(expected, abs=1e-5)
    assert audiosep_si_sdr(0 * U, 0 * U, precision=precision) == 0.0


@pytest.mark.parametrize("precision", EPSILON)
def test_a_mute_estimate_scores_about_zero(precision):
    assert audiosep_sdr(U, 0 * U, precision=precision) == 0.0
    assert audiosep_si_sdr(U, 0 * U, precision=precision) == pytest.approx(0.0, abs=1e-5)


def test_float32_loses_what_float64_keeps_of_a_quiet_clip():
    # Error energy 8e-10·1e-2 beside ε = 1.2e-7: the target is nearly drowned too.
    reference, estimate = 1e-5 * U, 1e-5 * (U + 0.1 * V)

    wide = audiosep_si_sdr(reference, estimate, precision="float64")
    narrow = audiosep_si_sdr(reference, estimate)

    assert wide == pytest.approx(20.0, abs=1e-3)
    assert narrow == pytest.approx(decibels((2.0**-23 + 8e-10) / (2.0**-23 + 8e-12)), abs=2e-2)


@pytest.mark.parametrize("metric", BOTH)
def test_tensors_give_what_their_arrays_give(metric):
    reference, estimate = noise(2, 2, 300)

    assert metric(torch.from_numpy(reference), torch.from_numpy(estimate)) == metric(
        reference, estimate
    )


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite_are_named(metric, bad):
    broken = U.copy()
    broken[3] = bad

    with pytest.raises(UndefinedScoreError, match="estimate holds NaN or infinite") as estimate:
        metric(U, broken)
    with pytest.raises(UndefinedScoreError, match="reference holds NaN or infinite") as reference:
        metric(broken, U)

    assert (estimate.value.cause, reference.value.cause) == ("estimate", "reference")


@pytest.mark.parametrize("metric", BOTH)
def test_energies_beyond_float32_are_refused_not_nan(metric):
    with pytest.raises(UndefinedScoreError, match="reference's energy overflows") as reference:
        metric(1e30 * U, U)
    with pytest.raises(UndefinedScoreError, match="estimate's energy overflows") as estimate:
        metric(U, 1e30 * V)

    assert (reference.value.cause, estimate.value.cause) == ("reference", "estimate")


@pytest.mark.parametrize("metric", BOTH)
def test_other_shapes_are_refused_by_name(metric):
    with pytest.raises(ValueError, match=r"Reference \(8,\) and estimate \(7,\)"):
        metric(U, U[:7])


@given(
    st.integers(0, 2**31),
    st.integers(1, 2),
    st.integers(1, 200),
    st.floats(-45, 30),
    st.floats(-45, 30),
)
@settings(deadline=None)
def test_values_are_plain_floats_or_undefined_at_any_level(seed, channels, samples, up, down):
    reference, estimate = noise(2, channels, samples, seed=seed)
    reference = (reference * 10**up).astype(np.float32)
    estimate = (estimate * 10**down).astype(np.float32)
    item = ScoredItem(target="t", reference=reference, estimate=estimate)
    scene = ScoredScene(
        sample_rate=8000, mixture=reference, references={"t": reference}, items=(item,)
    )

    (row,) = score_scene(scene, ["audiosep_sdr", "audiosep_si_sdr"])

    for value in row.values():
        assert isinstance(value, Undefined) or math.isfinite(value)


def test_the_ids_are_the_float32_values():
    reference, estimate = (1e-5 * noise(2, 1, 500)).astype(np.float32)
    item = ScoredItem(target="t", reference=reference, estimate=estimate)
    scene = ScoredScene(
        sample_rate=8000, mixture=reference, references={"t": reference}, items=(item,)
    )

    (row,) = score_scene(scene, ["audiosep_sdr", "audiosep_si_sdr"])

    assert row["audiosep_sdr"] == audiosep_sdr(reference, estimate, precision="float32")
    assert row["audiosep_si_sdr"] == audiosep_si_sdr(reference, estimate, precision="float32")
    assert row["audiosep_si_sdr"] != audiosep_si_sdr(reference, estimate, precision="float64")
