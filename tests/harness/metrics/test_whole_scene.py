"""Source-aggregated SDR and suppression: one scene in, values known by hand out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepbench.harness.api import Undefined
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics import ScoredItem, ScoredScene, card_of, score_scene, sdr
from sepbench.harness.metrics.whole_scene import sa_sdr, suppression

U = np.array([1.0, 1, 1, 1, -1, -1, -1, -1])
V = np.array([1.0, 1, -1, -1, 1, 1, -1, -1])
SILENCE = np.zeros(8)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def scene(mixture: np.ndarray, *pairs: tuple[np.ndarray, np.ndarray]) -> ScoredScene:
    return ScoredScene(
        sample_rate=8000,
        mixture=np.atleast_2d(mixture),
        references={str(i): np.atleast_2d(s) for i, (s, _) in enumerate(pairs)},
        items=tuple(
            ScoredItem(target=str(i), reference=np.atleast_2d(s), estimate=np.atleast_2d(e))
            for i, (s, e) in enumerate(pairs)
        ),
    )


# --- source-aggregated SDR ----------------------------------------------------------------


def test_energies_and_errors_add_before_the_ratio():
    # 8 + 8·4 = 40 over 8·0.01 + 8·0.04 = 0.4.
    assert sa_sdr([U, 2 * V], [U + 0.1 * V, 2 * V + 0.2 * U]) == pytest.approx(20.0, abs=1e-12)


def test_one_source_is_plain_sdr():
    reference, estimate = noise(2, 2, 100)

    assert sa_sdr([reference], [estimate]) == pytest.approx(sdr(reference, estimate), abs=1e-12)


def test_a_silent_reference_counts_with_what_is_put_out_for_it():
    assert sa_sdr([U, SILENCE], [U, 0.1 * V]) == pytest.approx(20.0, abs=1e-12)
    assert sa_sdr([U, SILENCE], [U, SILENCE]) == math.inf


def test_a_mute_estimate_loses_its_source():
    assert sa_sdr([U, U], [U, SILENCE]) == pytest.approx(10 * math.log10(2), abs=1e-12)


def test_an_array_of_sources_will_do():
    references, estimates = noise(2, 3, 1, 50)

    assert sa_sdr(references, estimates) == sa_sdr(list(references), list(estimates))


def test_only_silent_references_have_no_ratio():
    with pytest.raises(UndefinedScoreError, match="every reference is silent") as refusal:
        sa_sdr([SILENCE, SILENCE], [U, V])

    assert refusal.value.cause == "reference"


@pytest.mark.parametrize(("references", "estimates"), [([], []), ([U], [U, V])])
def test_as_many_estimates_as_references_are_needed(references, estimates):
    with pytest.raises(ValueError, match="there must be as many of one as of the other"):
        sa_sdr(references, estimates)


def test_samples_that_are_not_finite_are_named():
    broken = np.where(U > 0, U, math.nan)

    with pytest.raises(UndefinedScoreError, match="estimate holds NaN") as of_estimate:
        sa_sdr([U, V], [U, broken])
    with pytest.raises(UndefinedScoreError, match="reference holds NaN") as of_reference:
        sa_sdr([broken, V], [U, V])

    assert (of_estimate.value.cause, of_reference.value.cause) == ("estimate", "reference")


def test_every_item_gets_the_value_of_the_scene():
    rows = score_scene(scene(U + V, (U, U + 0.1 * V), (V, V + 0.1 * U)), ["sa_sdr"])

    assert [row["sa_sdr"] for row in rows] == [pytest.approx(20.0, abs=1e-9)] * 2
    assert card_of("sa_sdr").scope == "scene"


def test_every_item_gets_the_refusal_of_the_scene():
    rows = score_scene(scene(U, (SILENCE, U), (SILENCE, V)), ["sa_sdr"])

    assert (
        rows == [{"sa_sdr": Undefined(cause="reference", reason="every reference is silent")}] * 2
    )


@given(st.integers(0, 2**31), st.floats(1e-3, 1e3), st.integers(1, 4), st.integers(1, 100))
@settings(deadline=None)
def test_neither_order_nor_a_common_gain_changes_it(seed, gain, sources, samples):
    references, estimates = noise(2, sources, samples, seed=seed)
    value = sa_sdr(references, estimates)

    assert sa_sdr(references[::-1], estimates[::-1]) == pytest.approx(value, abs=1e-9)
    assert sa_sdr(gain * references, gain * estimates) == pytest.approx(value, abs=1e-9)


# --- suppression --------------------------------------------------------------------------


def test_suppression_is_the_level_difference():
    assert suppression(U, 0.1 * V) == pytest.approx(20.0, abs=1e-12)
    assert suppression(U, U) == 0.0
    assert suppression(U, 10 * U) == pytest.approx(-20.0, abs=1e-12)


def test_a_mute_estimate_suppresses_infinitely():
    assert suppression(U, SILENCE) == math.inf


def test_a_silent_mixture_has_nothing_to_suppress():
    with pytest.raises(UndefinedScoreError, match="the mixture is silent") as refusal:
        suppression(SILENCE, U)

    assert refusal.value.cause == "reference"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_suppression_names_samples_that_are_not_finite(bad):
    broken = np.where(U > 0, U, bad)

    with pytest.raises(UndefinedScoreError, match="the estimate holds NaN or infinite"):
        suppression(U, broken)
    with pytest.raises(UndefinedScoreError, match="the mixture holds NaN or infinite"):
        suppression(broken, U)


def test_suppression_needs_no_sound_in_the_reference():
    rows = score_scene(scene(U + V, (SILENCE, 0.1 * U), (SILENCE, SILENCE)), ["suppression"])

    # The mixture has the energy of both, 16.
    assert rows[0]["suppression"] == pytest.approx(10 * math.log10(16 / 0.08), abs=1e-9)
    assert rows[1]["suppression"] == math.inf


@given(st.integers(0, 2**31), st.floats(1e-6, 1e6), st.integers(1, 3), st.integers(1, 100))
@settings(deadline=None)
def test_a_gain_on_the_estimate_is_taken_off_in_decibels(seed, gain, channels, samples):
    mixture, estimate = noise(2, channels, samples, seed=seed)

    assert suppression(mixture, gain * estimate) == pytest.approx(
        suppression(mixture, estimate) - 20 * math.log10(gain), abs=1e-9
    )


def test_a_scene_does_not_gain_by_a_missing_or_a_repeated_estimate():
    good, bad = U + 0.1 * V, V + U
    references = {"u": U, "v": V}

    def items(*pairs):
        return tuple(
            ScoredItem(target=name, reference=references[name], estimate=estimate)
            for name, estimate in pairs
        )

    def score(*pairs):
        made = ScoredScene(
            sample_rate=8000, mixture=U + V, references=references, items=items(*pairs)
        )
        return [row["sa_sdr"] for row in score_scene(made, ["sa_sdr"])]

    both = score(("u", good), ("v", bad))
    alone = score(("u", good))
    twice = score(("u", good), ("v", bad), ("u", bad))

    assert both == [pytest.approx(sa_sdr([U, V], [good, bad]), abs=1e-12)] * 2
    assert alone == [Undefined(cause="reference", reason="there is no estimate of v")]
    assert twice[:2] == both
    assert isinstance(twice[2], Undefined)


@pytest.mark.parametrize("scale", [1e160, 1e200])
def test_energies_beyond_float64_are_no_number(scale):
    with pytest.raises(UndefinedScoreError, match="beyond float64"):
        sa_sdr([U * scale], [V * scale])
