"""Segment-wise SDR of ST-SED and of USS: which segments count, and what silence does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepbench.harness.api import Undefined
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics import ScoredItem, ScoredScene, score_scene
from sepbench.harness.metrics.segments import stsed_segment_sdr, uss_segment_sdr

RATE = 8
SECOND = np.array([1.0, 1, 1, 1, 1, -1, -1, -1])  # its sum is 2, not 0
ERROR = np.array([1.0, 1, -1, -1, 1, 1, -1, -1])
BOTH = [stsed_segment_sdr, uss_segment_sdr]


def seconds(*decibels: float) -> tuple[np.ndarray, np.ndarray]:
    """A reference and an estimate whose consecutive seconds have these SDRs."""
    reference = np.tile(SECOND, len(decibels))
    gains = np.repeat([10 ** (-decibel / 20) for decibel in decibels], len(SECOND))
    return reference, reference + gains * np.tile(ERROR, len(decibels))


def scene(reference: np.ndarray, *estimates: np.ndarray, rate: int = RATE) -> ScoredScene:
    return ScoredScene(
        sample_rate=rate,
        mixture=reference,
        references={"t": reference},
        items=tuple(ScoredItem(target="t", reference=reference, estimate=e) for e in estimates),
    )


def test_stsed_takes_the_median_of_whole_segments():
    signals = seconds(10.0, 30.0, 20.0)

    assert stsed_segment_sdr(*signals, sample_rate=RATE, seconds=1) == pytest.approx(20.0)


def test_uss_leaves_out_the_segment_that_ends_with_the_signal():
    signals = seconds(10.0, 30.0, 20.0)

    assert uss_segment_sdr(*signals, sample_rate=RATE) == pytest.approx(20.0, abs=1e-4)
    assert uss_segment_sdr(*seconds(10.0, 30.0), sample_rate=RATE) == pytest.approx(10.0, abs=1e-4)


def test_one_more_sample_brings_the_last_uss_segment_back():
    reference, estimate = seconds(10.0, 30.0, 5.0)

    value = uss_segment_sdr(reference[:17], estimate[:17], sample_rate=RATE)

    assert value == pytest.approx(20.0, abs=1e-4)  # median of 10 and 30


def test_the_tail_is_never_scored():
    reference, estimate = seconds(10.0, 10.0, -40.0)

    for metric in BOTH:
        value = metric(reference[:23], estimate[:23], sample_rate=RATE, seconds=1)
        assert value == pytest.approx(10.0, abs=1e-4)


def test_the_default_segments_last_two_seconds_and_one():
    reference, estimate = seconds(10.0, 10.0, 30.0, 30.0, 50.0)

    # ST-SED: (10, 10), (30, 30); USS: 10, 10, 30, 30.
    assert stsed_segment_sdr(reference, estimate, sample_rate=RATE) == pytest.approx(20.0)
    assert uss_segment_sdr(reference, estimate, sample_rate=RATE) == pytest.approx(20.0, abs=1e-4)


@pytest.mark.parametrize("silent", ["reference", "estimate"])
def test_stsed_skips_segments_that_sum_to_zero(silent):
    signals = dict(zip(("reference", "estimate"), seconds(10.0, 30.0, 10.0), strict=True))
    signals[silent][8:16] = 0.0

    assert stsed_segment_sdr(**signals, sample_rate=RATE, seconds=1) == pytest.approx(10.0)


def test_stsed_skips_a_square_wave_too_because_its_sum_is_zero():
    reference, estimate = seconds(10.0, 30.0)
    reference[:8] = ERROR

    assert stsed_segment_sdr(reference, estimate, sample_rate=RATE, seconds=1) == pytest.approx(30)


def test_uss_gives_silent_segments_a_number():
    reference, estimate = seconds(10.0, 10.0, 10.0)
    reference[:16] = 0.0
    estimate[:16] = 0.1

    value = uss_segment_sdr(reference, estimate, sample_rate=RATE)

    assert value == pytest.approx(10 * math.log10(1e-10 / 1e-2), abs=1e-4)


def test_a_perfect_estimate_is_infinite_for_stsed_and_bounded_for_uss():
    reference, _ = seconds(0.0, 0.0, 0.0)

    assert stsed_segment_sdr(reference, reference, sample_rate=RATE) == math.inf
    assert uss_segment_sdr(reference, reference, sample_rate=RATE) == pytest.approx(100, abs=1e-4)


def test_channels_are_averaged_first():
    reference, estimate = seconds(10.0, 30.0, 20.0)
    offset = np.linspace(-1, 1, len(reference))
    stereo = np.stack([reference + offset, reference - offset])
    answer = np.stack([estimate - offset, estimate + offset])

    for metric in BOTH:
        assert metric(stereo, answer, sample_rate=RATE, seconds=1) == pytest.approx(20.0, abs=1e-4)


# --- refusals -----------------------------------------------------------------------------


def test_a_silent_reference_and_a_mute_estimate_are_told_apart():
    reference, estimate = seconds(10.0, 10.0)

    with pytest.raises(UndefinedScoreError, match="the reference is silent in every seg") as of_ref:
        stsed_segment_sdr(0 * reference, estimate, sample_rate=RATE)
    with pytest.raises(UndefinedScoreError, match="the estimate is mute in every segm") as of_est:
        stsed_segment_sdr(reference, 0 * estimate, sample_rate=RATE)

    assert (of_ref.value.cause, of_est.value.cause) == ("reference", "estimate")


def test_an_estimate_that_sounds_only_where_the_reference_does_not_is_mute():
    reference, estimate = seconds(10.0, 10.0)
    reference[:8], estimate[8:] = 0.0, 0.0

    with pytest.raises(UndefinedScoreError, match="in which the reference sounds") as refusal:
        stsed_segment_sdr(reference, estimate, sample_rate=RATE, seconds=1)

    assert refusal.value.cause == "estimate"


@pytest.mark.parametrize(
    ("metric", "samples", "needed"), [(stsed_segment_sdr, 15, 16), (uss_segment_sdr, 8, 9)]
)
def test_signals_shorter_than_a_segment_are_too_short(metric, samples, needed):
    signal = np.ones(samples)

    with pytest.raises(
        UndefinedScoreError, match=f"too short: {samples} samples, a segment needs {needed}"
    ) as refusal:
        metric(signal, signal, sample_rate=RATE)

    assert refusal.value.cause == "reference"
    assert metric(np.ones(needed), 2 * np.ones(needed), sample_rate=RATE) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("metric", BOTH)
def test_samples_that_are_not_finite_are_named(metric):
    reference, estimate = seconds(10.0, 10.0, 10.0)
    estimate[0] = math.nan

    with pytest.raises(UndefinedScoreError, match="estimate holds NaN or infinite"):
        metric(reference, estimate, sample_rate=RATE)


# --- as metrics ---------------------------------------------------------------------------


def test_a_scene_gives_its_sample_rate_and_each_item_a_value():
    reference, estimate = seconds(10.0, 30.0, 20.0)
    signals = (x[None].astype(np.float32) for x in (reference, estimate, 0 * estimate))

    rows = score_scene(scene(*signals), ["uss_segment_sdr", "stsed_segment_sdr"])

    assert rows[0]["uss_segment_sdr"] == pytest.approx(20.0, abs=1e-3)
    assert isinstance(rows[0]["stsed_segment_sdr"], float)
    assert rows[1]["uss_segment_sdr"] == 0.0
    assert rows[1]["stsed_segment_sdr"].cause == "estimate"


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 60), st.integers(0, 60))
@settings(deadline=None)
def test_values_are_plain_floats_or_undefined(seed, channels, samples, zeros):
    signals = np.random.default_rng(seed).standard_normal((2, channels, samples))
    signals[seed % 2, :, :zeros] = 0.0

    (row,) = score_scene(scene(*signals), ["uss_segment_sdr", "stsed_segment_sdr"])

    for value in row.values():
        assert type(value) in (float, Undefined)
        assert value == value  # NaN is not equal to itself
