"""SI-SDR less the mean: values known by hand, refusals, invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sepbench.harness.api import Undefined
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics import ScoredItem, ScoredScene, score_scene, si_sdr
from sepbench.harness.metrics.zero_mean import si_sdr_zm

# Two square waves of different period are orthogonal and have no mean.
U = np.array([1.0, 1, 1, 1, -1, -1, -1, -1])
V = np.array([1.0, 1, -1, -1, 1, 1, -1, -1])


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_gain_and_offset_are_forgiven():
    assert si_sdr_zm(U, -0.3 * (U + 0.1 * V) + 5.0) == pytest.approx(20.0, abs=1e-9)
    assert si_sdr_zm(U + 2.0, U + 0.1 * V) == pytest.approx(20.0, abs=1e-12)


def test_the_offset_that_si_sdr_counts():
    assert si_sdr(U, U + 1.0) == pytest.approx(0.0, abs=1e-12)
    assert si_sdr_zm(U, U + 1.0) == math.inf


def test_signals_without_a_mean_score_as_si_sdr():
    assert si_sdr_zm(U, U + 0.3 * V) == pytest.approx(si_sdr(U, U + 0.3 * V), abs=1e-12)


def test_each_channel_has_its_own_mean():
    offsets = np.array([[3.0], [-7.0]])
    reference, estimate = np.stack([U, U]), np.stack([U + 0.1 * V, U + 0.2 * V])

    assert si_sdr_zm(reference, estimate + offsets) == pytest.approx(10 * math.log10(40), abs=1e-9)


def test_tensors_give_what_their_arrays_give():
    reference, estimate = noise(2, 2, 300)

    assert si_sdr_zm(torch.from_numpy(reference), torch.from_numpy(estimate)) == si_sdr_zm(
        reference, estimate
    )


@pytest.mark.parametrize("level", [0.0, 0.1, 1 / 3, -2.7])
def test_a_constant_has_nothing_left_but_rounding(level):
    constant = np.full(1001, level)

    with pytest.raises(
        UndefinedScoreError, match="the reference is silent but for its mean"
    ) as ref:
        si_sdr_zm(constant, noise(1001))
    with pytest.raises(UndefinedScoreError, match="the estimate is mute but for its mean") as est:
        si_sdr_zm(noise(1001), constant)

    assert (ref.value.cause, est.value.cause) == ("reference", "estimate")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_samples_that_are_not_finite_are_named(bad):
    broken = U.copy()
    broken[2] = bad

    with pytest.raises(UndefinedScoreError, match="estimate holds NaN or infinite"):
        si_sdr_zm(U, broken)
    with pytest.raises(UndefinedScoreError, match="reference holds NaN or infinite"):
        si_sdr_zm(broken, U)


def test_other_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"Reference \(8,\) and estimate \(7,\)"):
        si_sdr_zm(U, U[:7])


def test_one_sample_is_too_short():
    one = np.ones((1, 1), np.float32)
    item = ScoredItem(target="t", reference=one, estimate=one)
    scene = ScoredScene(sample_rate=8000, mixture=one, references={"t": one}, items=(item,))

    (row,) = score_scene(scene, ["si_sdr_zm"])

    assert row["si_sdr_zm"] == Undefined(
        cause="reference", reason="too short: 1 samples, si_sdr_zm needs 2"
    )


@given(
    st.integers(0, 2**31),
    st.floats(1e-3, 1e3),
    st.floats(-10, 10),
    st.integers(1, 3),
    st.integers(3, 300),
)
@settings(deadline=None)
def test_neither_gain_nor_offset_changes_the_value(seed, gain, offset, channels, samples):
    reference, estimate = noise(2, channels, samples, seed=seed)
    value = si_sdr_zm(reference, estimate)

    assert si_sdr_zm(reference, gain * estimate + offset) == pytest.approx(value, abs=1e-4)
    assert si_sdr_zm(gain * reference + offset, estimate) == pytest.approx(value, abs=1e-4)
