"""Probes on spaces whose worth is known by construction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from sepbench.harness.errors import NotApplicableError
from sepbench.harness.probing import evaluate
from sepbench.harness.probing.evaluate import (
    Measured,
    few_shot_accuracy,
    linear_probe,
    retrieval_map,
)

CLASSES, EACH, FOLDS = 4, 15, 3
LABELS = [f"class {k}" for k in range(CLASSES) for _ in range(EACH)]
ORIGINS = [f"recording {k}" for k in range(CLASSES * EACH)]
FOLD_OF = [str(k % FOLDS) for k in range(CLASSES * EACH)]
Probe = Callable[[np.ndarray[Any, Any]], Measured]

PROBES: dict[str, Probe] = {
    "1-shot": partial(few_shot_accuracy, labels=LABELS, origins=ORIGINS, shots=1),
    "5-shot": partial(few_shot_accuracy, labels=LABELS, origins=ORIGINS, shots=5),
    "retrieval": partial(retrieval_map, labels=LABELS, origins=ORIGINS),
    "linear": partial(linear_probe, labels=LABELS, folds=FOLD_OF, origins=ORIGINS),
}


def separated(labels: list[str], scatter: float = 0.01) -> np.ndarray[Any, Any]:
    """One axis a class, and a little noise."""
    names = sorted(set(labels))
    noise = np.random.default_rng(0).normal(scale=scatter, size=(len(labels), len(names)))
    axes = np.eye(len(names))[[names.index(label) for label in labels]]
    return (axes + noise).astype(np.float32)


def noise(dimension: int = 8, seed: int = 1) -> np.ndarray[Any, Any]:
    shape = (CLASSES * EACH, dimension)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", PROBES)
def test_classes_far_apart_are_always_told_apart(name: str) -> None:
    found = PROBES[name](separated(LABELS))

    assert found.value == pytest.approx(1.0, abs=1e-12)
    assert found.interval == pytest.approx((1.0, 1.0), abs=1e-12)
    assert found.num_clips == CLASSES * EACH


@pytest.mark.parametrize("name", ["1-shot", "5-shot", "linear"])
def test_noise_is_recognised_by_chance(name: str) -> None:
    found = PROBES[name](noise())

    assert found.interval is not None
    assert found.interval[0] <= 1 / CLASSES <= found.interval[1]


def test_retrieval_of_noise_is_near_the_share_of_the_class() -> None:
    found = PROBES["retrieval"](noise())

    assert found.value == pytest.approx((EACH - 1) / (CLASSES * EACH - 1), abs=0.06)


def test_vectors_that_are_all_equal_retrieve_exactly_the_share_of_the_class() -> None:
    found = PROBES["retrieval"](np.ones((CLASSES * EACH, 3), np.float32))

    assert found.value == pytest.approx((EACH - 1) / (CLASSES * EACH - 1), abs=1e-12)


@pytest.mark.parametrize("name", ["1-shot", "5-shot", "retrieval"])
def test_only_directions_count_where_queries_are_compared(name: str) -> None:
    gains = np.random.default_rng(5).uniform(0.1, 10, (CLASSES * EACH, 1)).astype(np.float32)

    assert PROBES[name](noise() * gains).value == pytest.approx(PROBES[name](noise()).value)


@pytest.mark.parametrize("name", PROBES)
def test_the_same_vectors_give_the_same_numbers(name: str) -> None:
    assert PROBES[name](noise()) == PROBES[name](noise())


def test_another_seed_draws_other_support_clips() -> None:
    ask = partial(few_shot_accuracy, noise(), LABELS, ORIGINS, shots=1, draws=5)

    assert ask(seed=1).value != ask(seed=2).value


@pytest.mark.parametrize("name", PROBES)
def test_a_clip_without_an_embedding_counts_as_wrong(name: str) -> None:
    vectors = separated(LABELS)
    vectors[::EACH] = np.nan  # one clip of each class

    found = PROBES[name](vectors)

    assert found.num_clips == CLASSES * EACH
    assert found.value < 1.0


def test_accuracies_lose_exactly_the_clips_without_an_embedding() -> None:
    vectors = separated(LABELS)
    vectors[::EACH] = np.nan

    assert PROBES["linear"](vectors).value == pytest.approx((EACH - 1) / EACH)
    assert PROBES["5-shot"](vectors).value == pytest.approx((EACH - 1) / EACH)


# --- recordings ---------------------------------------------------------------------------------

# Two takes of each recording, equal to the last digit; two recordings have nothing in common.
TAKES = np.repeat(np.eye(12, dtype=np.float32), 2, axis=0)
TAKE_LABELS = ["a"] * 12 + ["b"] * 12
TAKE_ORIGINS = [f"recording {k // 2}" for k in range(24)]


def test_another_take_of_the_tested_recording_is_never_shown() -> None:
    blind = few_shot_accuracy(TAKES, TAKE_LABELS, TAKE_ORIGINS, shots=1)
    leaking = few_shot_accuracy(TAKES, TAKE_LABELS, [str(k) for k in range(24)], shots=1)

    assert blind.value == 0.5  # every similarity is 0, so the first class is always named
    assert leaking.value > 0.5


def test_another_take_of_the_asking_recording_is_not_searched() -> None:
    blind = retrieval_map(TAKES, TAKE_LABELS, TAKE_ORIGINS)
    leaking = retrieval_map(TAKES, TAKE_LABELS, [str(k) for k in range(24)])

    assert blind.value == pytest.approx(10 / 22)  # all ranks shared
    assert leaking.value > blind.value


def test_another_take_of_the_tested_recording_is_not_trained_on() -> None:
    folds = ["1", "2"] * 12  # the takes of a recording lie in both

    with pytest.raises(NotApplicableError, match="two classes"):
        linear_probe(TAKES, TAKE_LABELS, folds, TAKE_ORIGINS)


def test_the_interval_draws_recordings_and_not_clips() -> None:
    vectors = noise()
    pairs = [f"recording {k // 5}" for k in range(CLASSES * EACH)]

    single = linear_probe(vectors, LABELS, FOLD_OF, ORIGINS, strength=0.1)
    grouped = linear_probe(
        vectors, LABELS, [str(k // 5 % FOLDS) for k in range(60)], pairs, strength=0.1
    )

    assert single.interval is not None
    assert grouped.interval is not None
    assert single.interval != grouped.interval


# --- folds --------------------------------------------------------------------------------------


def test_the_linear_probe_is_scikit_learns_under_the_given_folds() -> None:
    vectors, folds, labels = separated(LABELS, scatter=0.8), np.array(FOLD_OF), np.array(LABELS)
    right = []
    for fold in sorted(set(FOLD_OF)):
        scaler = StandardScaler().fit(vectors[folds != fold].astype(np.float64))
        model = LogisticRegression(C=0.1, max_iter=1000)
        model.fit(
            scaler.transform(vectors[folds != fold].astype(np.float64)), labels[folds != fold]
        )
        tested = scaler.transform(vectors[folds == fold].astype(np.float64))
        right += list(model.predict(tested) == labels[folds == fold])

    found = linear_probe(vectors, LABELS, FOLD_OF, ORIGINS, strength=0.1)

    assert found.value == pytest.approx(np.mean(right))
    assert 0.3 < found.value < 1.0


def test_what_a_fold_alone_would_teach_is_not_learned() -> None:
    # In each fold the classes are swapped: trained elsewhere, every answer is wrong.
    labels = ["a", "b"] * 10 + ["b", "a"] * 10
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]] * 20, np.float32)

    found = linear_probe(vectors, labels, ["1"] * 20 + ["2"] * 20, [str(k) for k in range(40)])

    assert found.value == 0.0


def test_the_strength_is_chosen_without_the_tested_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    folds, fit, fitted = np.array(FOLD_OF), evaluate._fit_and_test, []

    def spy(vectors: Any, targets: Any, training: Any, tested: Any, strength: float) -> Any:
        fitted.append((set(folds[training]), set(folds[tested])))
        return fit(vectors, targets, training, tested, strength)

    monkeypatch.setattr(evaluate, "_fit_and_test", spy)

    linear_probe(separated(LABELS), LABELS, FOLD_OF, ORIGINS)

    choosing = [({"2"}, {"1"}), ({"0"}, {"2"}), ({"1"}, {"0"})]
    testing = [({"1", "2"}, {"0"}), ({"0", "2"}, {"1"}), ({"0", "1"}, {"2"})]
    assert fitted[4::5] == testing
    assert [fitted[k : k + 4] for k in (0, 5, 10)] == [[turn] * 4 for turn in choosing]


# --- what cannot be -----------------------------------------------------------------------------


def test_a_class_with_too_few_recordings_is_named() -> None:
    with pytest.raises(NotApplicableError, match="16 recordings a class; class 'class 0' has 15"):
        few_shot_accuracy(noise(), LABELS, ORIGINS, shots=15)


def test_one_class_is_nothing_to_tell_apart() -> None:
    with pytest.raises(NotApplicableError, match="one class only"):
        retrieval_map(noise(), ["a"] * 60, ORIGINS)


@pytest.mark.parametrize("folds", [None, ["1"] * 60])
def test_a_linear_probe_needs_two_folds(folds: list[str] | None) -> None:
    with pytest.raises(NotApplicableError, match="two folds"):
        linear_probe(noise(), LABELS, folds, ORIGINS)


def test_classes_of_one_recording_ask_for_nothing() -> None:
    with pytest.raises(NotApplicableError, match="two recordings"):
        retrieval_map(np.eye(2, dtype=np.float32), ["a", "b"], ["1", "2"])


def test_retrieval_is_the_mean_of_scikit_learns_average_precision() -> None:
    vectors = noise().astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    named = np.array(LABELS)
    every = [
        average_precision_score(np.delete(named == named[k], k), np.delete(unit @ unit[k], k))
        for k in range(len(named))
    ]

    assert PROBES["retrieval"](noise()).value == pytest.approx(np.mean(every))
