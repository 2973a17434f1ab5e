"""The metric families bss_v4_* and bss_image_*: a scene in, values with their reasons out."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from sepbench.harness.api import Framewise, Undefined
from sepbench.harness.metrics import (
    ScoredItem,
    ScoredScene,
    bss_eval_images,
    card_of,
    family_of,
    score_scene,
)

RATIOS = ("sdr", "isr", "sir", "sar")
V4 = tuple(f"bss_v4_{ratio}" for ratio in RATIOS)
IMAGE = tuple(f"bss_image_{ratio}" for ratio in RATIOS)
RATE = 3000


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def scene(references: dict[str, np.ndarray], *items: tuple[str, np.ndarray], mixture=None):
    silence = np.zeros_like(next(iter(references.values())))
    return ScoredScene(
        sample_rate=RATE,
        mixture=sum(references.values()) if mixture is None else mixture,
        references=references,
        items=tuple(
            ScoredItem(target=name, reference=references.get(name, silence), estimate=estimate)
            for name, estimate in items
        ),
    )


def three_sources(samples: int = 4 * RATE) -> tuple[dict[str, np.ndarray], np.ndarray]:
    references = dict(zip(("bass", "drums", "vocals"), noise(3, 1, samples), strict=True))
    mixture = sum(references.values())
    estimates = np.stack([0.8 * s + 0.2 * mixture for s in references.values()])
    return references, estimates + 0.1 * noise(*estimates.shape, seed=1)


def test_a_fully_separated_scene_scores_as_the_arrays_do():
    references, estimates = three_sources()
    truth = np.stack(list(references.values()))

    rows = score_scene(scene(references, *zip(references, estimates, strict=True)), V4 + IMAGE)

    windows = bss_eval_images(truth, estimates, sample_rate=RATE)
    whole = bss_eval_images(truth, estimates, sample_rate=RATE, window=None)
    for index, row in enumerate(rows):
        for ratio in RATIOS:
            median = np.median(getattr(windows, ratio)[index])
            assert row[f"bss_v4_{ratio}"] == pytest.approx(median, abs=1e-9)
            once = getattr(whole, ratio)[index, 0]
            assert row[f"bss_image_{ratio}"] == pytest.approx(once, abs=1e-9)


def test_an_item_keeps_its_value_when_others_are_missing_or_out_of_order():
    references, estimates = three_sources()
    items = list(zip(references, estimates, strict=True))

    together = score_scene(scene(references, *items), V4)
    alone = [score_scene(scene(references, item), V4)[0] for item in items]
    backwards = score_scene(scene(references, *items[::-1]), V4)[::-1]

    assert together == [pytest.approx(row, abs=1e-9) for row in alone]
    assert together == [pytest.approx(row, abs=1e-9) for row in backwards]


def test_a_scene_that_knows_only_its_target_gets_the_rest_as_second_source():
    target, rest = noise(2, 1, 3 * RATE)
    estimate = target + 0.3 * rest + 0.1 * noise(1, 3 * RATE, seed=1)
    mixture = target + rest

    (row,) = score_scene(scene({"dog": target}, ("dog", estimate), mixture=mixture), V4)

    pair = np.stack([target, mixture - target])
    scores = bss_eval_images(pair, np.stack([estimate, mixture - estimate]), sample_rate=RATE)
    for ratio in RATIOS:
        assert row[f"bss_v4_{ratio}"] == pytest.approx(np.median(getattr(scores, ratio)[0]))


def test_silence_in_one_estimate_takes_its_window_from_all_of_its_set():
    references, estimates = three_sources()
    quiet = estimates.copy()
    quiet[0, :, :RATE] = 0.0
    items = [*zip(references, quiet, strict=True), *zip(references, estimates, strict=True)]

    rows = score_scene(scene(references, *items), V4)

    truth = np.stack(list(references.values()))
    first, second = (
        bss_eval_images(truth, answers, sample_rate=RATE) for answers in (quiet, estimates)
    )
    assert np.isnan(first.sir[:, 0]).all()
    for index, row in enumerate(rows):
        expected = (first, second)[index // 3].sir[index % 3]
        assert row["bss_v4_sir"] == pytest.approx(np.nanmedian(expected), abs=1e-9)


def test_only_wanted_ids_come_back_as_numbers():
    references, estimates = three_sources()

    (row,) = family_of("bss_v4_sir").score(
        scene(references, ("bass", estimates[0])), frozenset({"bss_v4_sir", "bss_image_isr"})
    )

    assert sorted(row) == ["bss_image_isr", "bss_v4_sir"]
    assert all(isinstance(value, float) for value in row.values())


# --- undefined, and why -------------------------------------------------------------------


def only_reason(row) -> Undefined:
    """The one Undefined that all ids share."""
    assert len(set(row.values())) == 1
    return next(iter(row.values()))


def test_a_mute_estimate_is_its_own_cause_and_harms_no_other():
    references, estimates = three_sources()
    mute = np.zeros_like(estimates[0])

    bass, drums = score_scene(scene(references, ("bass", mute), ("drums", estimates[1])), V4)

    assert only_reason(bass) == Undefined(cause="estimate", reason="the estimate is mute")
    alone = score_scene(scene(references, ("drums", estimates[1])), V4)[0]
    assert drums == pytest.approx(alone, abs=1e-9)


def test_an_estimate_with_nan_is_its_own_cause():
    references, estimates = three_sources()
    estimates[0, 0, 5] = np.nan

    bass, drums = score_scene(
        scene(references, ("bass", estimates[0]), ("drums", estimates[1])), V4
    )

    assert only_reason(bass).cause == "estimate"
    assert "NaN" in only_reason(bass).reason
    assert isinstance(drums["bss_v4_sir"], float)


def test_an_absent_target_has_no_value():
    references, estimates = three_sources()

    (row,) = score_scene(scene(references, ("violin", estimates[0])), V4 + IMAGE)

    assert only_reason(row) == Undefined(cause="reference", reason="the target is silent")


def test_a_silent_source_leaves_the_whole_scene_undefined():
    references, estimates = three_sources()
    references["vocals"] = np.zeros_like(references["vocals"])

    (row,) = score_scene(scene(references, ("bass", estimates[0])), V4)

    assert only_reason(row) == Undefined(cause="reference", reason="the reference 2 is silent")


def test_sources_that_are_copies_leave_the_scene_undefined():
    references, estimates = three_sources()
    references["vocals"] = 0.5 * references["bass"]

    (row,) = score_scene(scene(references, ("bass", estimates[0])), V4 + IMAGE)

    assert only_reason(row).cause == "reference"
    assert "the system is singular" in only_reason(row).reason


@pytest.mark.parametrize("whose", ["reference", "estimate"])
def test_windows_that_are_all_silent_leave_v4_undefined_and_the_image_defined(whose):
    # Alternately silent: over all, every source sounds; in each window, one does not.
    references, estimates = three_sources(2 * RATE)
    bass = estimates[0] if whose == "estimate" else references["bass"]
    bass[:, :RATE] = 0.0
    references["drums"][:, RATE:] = 0.0
    items = [("bass", estimates[0]), ("drums", estimates[1])]

    rows = score_scene(scene(references, *items), ("bss_v4_sir", "bss_image_sir"))

    assert [row["bss_v4_sir"].cause for row in rows] == [whose, whose]
    assert "in every window" in rows[0]["bss_v4_sir"].reason
    assert all(isinstance(row["bss_image_sir"], float) for row in rows)


@pytest.mark.parametrize("samples", [513, 1025])
def test_short_scenes_are_the_references_cause(samples):
    references, estimates = three_sources(samples)

    (row,) = score_scene(scene(references, ("bass", estimates[0])), V4)

    assert only_reason(row) == Undefined(
        cause="reference", reason=f"too short: {samples} samples, 1026 are needed"
    )


# --- cards --------------------------------------------------------------------------------


def test_cards_say_which_windows_filters_and_references_are_meant():
    v4, image = card_of("bss_v4_sir"), card_of("bss_image_sir")

    assert family_of("bss_v4_sir") is family_of("bss_image_sar")
    assert (v4.scope, v4.needs_all_references) == ("scene", True)
    assert (v4.parameters["window"], v4.parameters["hop"]) == (1.0, 1.0)
    assert v4.parameters["filter_length"] == 512
    assert "median" in v4.parameters["aggregation"]
    assert "window" not in image.parameters


def test_improvements_and_noise_floors_are_those_of_sources():
    for prefix in ("bss_v4_", "bss_image_"):
        cards = {ratio: card_of(prefix + ratio) for ratio in RATIOS}

        assert [card.noise_floor for card in cards.values()] == [None, None, 60.0, 60.0]
        assert cards["sdr"].improvement == f"{prefix}sdri"
        assert [card.defined_for_mixture for card in cards.values()] == [True, True, True, False]


def test_a_target_may_be_held_against_its_residual_alone():
    """What museval's second run over MUSDB18 does: vocals against the sum of all the others."""
    references, estimates = three_sources()
    names = tuple(f"bss_v4_pair_{ratio}" for ratio in RATIOS)
    items = list(zip(references, estimates, strict=True))

    rows = score_scene(scene(references, *items), names)

    mixture = sum(references.values())
    for (target, estimate), row in zip(items, rows, strict=True):
        pair = np.stack([references[target], mixture - references[target]])
        scores = bss_eval_images(pair, np.stack([estimate, mixture - estimate]), sample_rate=RATE)
        for ratio in RATIOS:
            expected = np.median(getattr(scores, ratio)[0])
            assert row[f"bss_v4_pair_{ratio}"] == pytest.approx(expected, abs=1e-9)


def test_the_set_of_sources_changes_sir_and_nothing_of_sdr():
    references, estimates = three_sources()
    items = list(zip(references, estimates, strict=True))

    rows = score_scene(scene(references, *items), (*V4, "bss_v4_pair_sdr", "bss_v4_pair_sir"))

    for row in rows:
        assert row["bss_v4_pair_sdr"] == pytest.approx(row["bss_v4_sdr"], abs=1e-9)
        assert row["bss_v4_pair_sir"] != pytest.approx(row["bss_v4_sir"], abs=1e-3)


def test_a_windowed_score_carries_its_windows():
    references, estimates = three_sources()
    references["vocals"][:, RATE : 2 * RATE] = 0
    items = list(zip(references, estimates, strict=True))

    row, *_ = score_scene(scene(references, *items), ("bss_v4_sdr", "bss_image_sdr"))

    windowed, whole = row["bss_v4_sdr"], row["bss_image_sdr"]
    assert isinstance(windowed, Framewise)
    assert np.isnan(windowed.frames).tolist() == [False, True, False, False]
    assert windowed == np.nanmedian(windowed.frames)
    assert not isinstance(whole, Framewise)


def test_windows_cross_process_borders():
    score = Framewise(1.5, [1.0, float("nan"), 2.0])

    again = pickle.loads(pickle.dumps(score))

    assert again == 1.5
    assert np.array_equal(again.frames, score.frames, equal_nan=True)
