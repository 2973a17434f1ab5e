"""The metric family bss_sdr, bss_sir, bss_sar: a scene in, values with their reasons out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sepbench.harness.api import Undefined
from sepbench.harness.metrics import ScoredItem, ScoredScene, bss_eval_sources
from sepbench.harness.metrics.bss_sources import BSS_SOURCES

IDS = ("bss_sdr", "bss_sir", "bss_sar")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def scene(
    mixture: np.ndarray, *items: tuple[str, np.ndarray, np.ndarray], rate: int = 16000
) -> ScoredScene:
    return ScoredScene(
        sample_rate=rate,
        mixture=mixture,
        references={name: reference for name, reference, _ in items},
        items=tuple(
            ScoredItem(target=name, reference=reference, estimate=estimate)
            for name, reference, estimate in items
        ),
    )


def score(*arguments, wanted=IDS):
    return BSS_SOURCES.score(scene(*arguments), frozenset(wanted))


def only_reason(row) -> Undefined:
    """The one Undefined that all ids share."""
    assert tuple(row) == IDS
    assert len(set(row.values())) == 1
    return row["bss_sdr"]


def test_an_item_is_scored_against_its_target_and_the_residual():
    dog, rain = noise(2, 1, 3000)
    estimate = dog + 0.2 * rain + 0.05 * noise(1, 3000, seed=1)

    (row,) = score(dog + rain, ("dog", dog, estimate))

    pair = np.stack([dog[0], (dog + rain)[0].astype(float) - dog[0]])
    alone = bss_eval_sources(pair, np.stack([estimate[0], noise(3000, seed=2)]))
    assert [row[name] for name in IDS] == pytest.approx(
        [alone.sdr[0], alone.sir[0], alone.sar[0]], abs=1e-9
    )


def test_what_else_is_in_the_scene_does_not_change_an_item():
    dog, rain, other = noise(3, 1, 2000)
    mixture = dog + rain
    items = [
        ("dog", dog, dog + 0.1 * other),
        ("rain", rain, rain + 0.2 * other),
        ("dog", dog, dog + 0.3 * rain + 0.1 * other),
    ]

    together = score(mixture, *items)

    for item, row in zip(items, together, strict=True):
        assert score(mixture, item)[0] == pytest.approx(row, abs=1e-9)


def test_channels_are_averaged_first():
    dog, rain = noise(2, 2, 2000)
    estimate = dog + 0.3 * rain + 0.1 * noise(2, 2000, seed=1)

    (stereo,) = score(dog + rain, ("dog", dog, estimate))
    mono = [signal.mean(axis=0, keepdims=True, dtype=np.float64) for signal in (dog, rain)]
    (down,) = score(sum(mono), ("dog", mono[0], estimate.mean(axis=0, keepdims=True, dtype=float)))

    assert stereo == pytest.approx(down, abs=1e-5)


def test_only_wanted_ids_come_back():
    dog, rain = noise(2, 1, 2000)

    (row,) = score(dog + rain, ("dog", dog, dog + 0.1 * rain), wanted=["bss_sir"])

    assert tuple(row) == ("bss_sir",)


def test_values_are_plain_floats():
    dog, rain = noise(2, 1, 2000)

    (row,) = score(dog + rain, ("dog", dog, noise(1, 2000, seed=3)))

    assert {type(value) for value in row.values()} == {float}


def test_the_mixture_as_its_own_estimate_has_the_mixing_ratio_as_sir():
    # Disjoint in time and 511 samples apart: orthogonal under every delay, 6 dB by energy.
    dog, rain = np.zeros((2, 1, 4000), np.float32)
    dog[:, :1000], rain[:, 2000:3000] = 2.0 * (one := np.sign(noise(1, 1000))), one

    (row,) = score(dog + rain, ("dog", dog, dog + rain))

    assert row["bss_sir"] == pytest.approx(10 * math.log10(4), abs=1e-6)
    assert row["bss_sdr"] == pytest.approx(10 * math.log10(4), abs=1e-6)


# --- undefined, and why -------------------------------------------------------------------


def test_a_silent_target_is_the_references_cause():
    rain = noise(1, 2000)

    (row,) = score(rain, ("dog", np.zeros_like(rain), rain))

    assert only_reason(row) == Undefined(cause="reference", reason="the target is silent")


def test_a_silent_residual_is_the_references_cause():
    dog = noise(1, 2000)

    (row,) = score(dog, ("dog", dog, dog))

    assert only_reason(row) == Undefined(cause="reference", reason="the residual is silent")


def test_a_residual_of_float32_rounding_counts_as_silent():
    dog = noise(1, 2000)
    mixture = np.nextafter(dog, np.float32(np.inf))

    (row,) = score(mixture, ("dog", dog, dog + 0.1 * noise(1, 2000, seed=1)))

    assert only_reason(row).cause == "reference"
    assert "silent but for float32 rounding" in only_reason(row).reason


def test_a_residual_that_is_silent_after_the_downmix_counts_as_silent():
    dog, rain = noise(2, 1, 2000)
    stereo = np.concatenate([dog, dog])

    (row,) = score(stereo + np.concatenate([rain, -rain]), ("dog", stereo, stereo))

    assert only_reason(row).cause == "reference"
    assert "residual is silent" in only_reason(row).reason


@pytest.mark.parametrize("gain", [1.0, 0.3, -0.7, 0.01])
def test_a_residual_that_is_a_scaled_copy_of_the_target_is_singular(gain):
    # In float32 the copy is exact but for rounding, which no exception of a solver would tell.
    dog = noise(1, 4000)
    mixture = (dog + np.float32(gain) * dog).astype(np.float32)

    (row,) = score(mixture, ("dog", dog, dog + 0.1 * noise(1, 4000, seed=1)))

    assert only_reason(row).cause == "reference"
    assert "the system is singular" in only_reason(row).reason


def test_a_mute_estimate_is_its_own_cause_and_harms_no_other():
    dog, rain = noise(2, 1, 2000)
    estimate = dog + 0.1 * rain

    mute, sound = score(dog + rain, ("dog", dog, np.zeros_like(dog)), ("dog", dog, estimate))

    assert only_reason(mute) == Undefined(cause="estimate", reason="the estimate is mute")
    assert sound == score(dog + rain, ("dog", dog, estimate))[0]


def test_an_estimate_with_nan_is_its_own_cause():
    dog, rain = noise(2, 1, 2000)
    broken = dog.copy()
    broken[0, 5] = np.nan

    (row,) = score(dog + rain, ("dog", dog, broken))

    assert only_reason(row).cause == "estimate"
    assert "NaN" in only_reason(row).reason


def test_an_estimate_of_something_else_has_sdr_and_sar_but_no_sir():
    # Three sounds apart in time, as in test_bss_eval: the estimate is orthogonal to both.
    sounds = np.zeros((3, 1, 6000), np.float32)
    for index in range(3):
        sounds[index, :, 2000 * index : 2000 * index + 1400] = noise(1, 1400, seed=index)
    dog, rain, other = sounds

    (row,) = score(dog + rain, ("dog", dog, other))

    assert row["bss_sdr"] < -120
    assert row["bss_sar"] < -120
    assert row["bss_sir"].cause == "estimate"
    assert "0/0" in row["bss_sir"].reason


@pytest.mark.parametrize("samples", [1, 511, 513])
def test_short_scenes_are_the_references_cause(samples):
    dog, rain = noise(2, 1, samples)

    (row,) = score(dog + rain, ("dog", dog, dog))

    assert only_reason(row) == Undefined(
        cause="reference", reason=f"too short: {samples} samples, bss_sdr needs 514"
    )
