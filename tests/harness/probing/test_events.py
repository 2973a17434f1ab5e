"""Average precision of event detectors, in cases known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from sepbench.harness.errors import NotApplicableError
from sepbench.harness.probing.events import event_map, weighted_precisions

ORIGINS = [str(k) for k in range(6)]
TRUTH = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], dtype=bool)


def test_a_detector_that_is_always_right_has_a_map_of_one() -> None:
    found = event_map(TRUTH.astype(float), TRUTH, ["dog", "cat"], ORIGINS)

    assert found.value == 1.0
    assert found.interval == (1.0, 1.0)
    assert found.by_class == {"dog": 1.0, "cat": 1.0}


def test_a_detector_that_says_the_same_of_all_has_the_share_of_the_class() -> None:
    found = event_map(np.full((6, 2), 0.3), TRUTH, ["dog", "cat"], ORIGINS)

    assert found.value == pytest.approx(0.5)


def test_average_precision_by_hand() -> None:
    scores = np.array([[0.9], [0.1], [0.5], [0.8], [0.4], [0.2]])

    found = event_map(scores, TRUTH[:, :1], ["dog"], ORIGINS)

    # ranks of the three: 1, 3 and 6
    assert found.value == pytest.approx((1 / 1 + 2 / 3 + 3 / 6) / 3)


def test_a_clip_without_an_answer_ranks_last() -> None:
    scores = TRUTH.astype(float)
    scores[0] = np.nan

    found = event_map(scores, TRUTH, ["dog", "cat"], ORIGINS)

    assert found.by_class["dog"] == pytest.approx((1 + 1 + 3 / 6) / 3)
    assert found.by_class["cat"] == 1.0


def test_a_class_that_never_sounds_is_left_out() -> None:
    truth = np.column_stack([TRUTH[:, 0], np.zeros(6, bool)])

    found = event_map(TRUTH.astype(float), truth, ["dog", "cat"], ORIGINS)

    assert list(found.by_class) == ["dog"]
    with pytest.raises(NotApplicableError, match="sounds in any clip"):
        event_map(TRUTH.astype(float), np.zeros_like(TRUTH), ["dog", "cat"], ORIGINS)


def test_drawn_precisions_are_scikit_learns_with_weights() -> None:
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 6, 40).astype(float)  # with ties
    truth = rng.random(40) < 0.4
    weights = rng.integers(0, 4, (20, 40))

    found = weighted_precisions(scores, truth, weights)

    expected = [average_precision_score(truth, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_interval_holds_the_value_and_draws_recordings() -> None:
    rng = np.random.default_rng(4)
    truth = rng.random((60, 3)) < 0.4
    scores = truth + rng.normal(scale=1.0, size=truth.shape)

    clips = event_map(scores, truth, ["a", "b", "c"], [str(k) for k in range(60)])
    recordings = event_map(scores, truth, ["a", "b", "c"], [str(k // 10) for k in range(60)])
    alone = event_map(scores, truth, ["a", "b", "c"], ["one"] * 60)

    assert clips.interval is not None
    assert clips.interval[0] < clips.value < clips.interval[1]
    assert clips.interval != recordings.interval
    assert alone.interval is None
