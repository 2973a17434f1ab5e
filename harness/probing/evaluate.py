"""What a space of embeddings is worth: pure functions on vectors, labels, folds and origins.

Everything compares directions (cosine), as queries are compared, except the linear probe, which
learns on standardised numbers. A clip that is tested is never helped by a clip of the same
original recording. A row of NaN is a clip that the encoder takes no embedding of: it counts as
wrong where it is tested, and helps nowhere.

Shapes: N clips, D embedding, K classes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.averages import bootstrap_interval
from sepbench.harness.errors import MissingExtraError, NotApplicableError

if TYPE_CHECKING:
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.intp]
    Flags = npt.NDArray[np.bool_]

DRAWS = 50
SEED = 20260101
# Strengths of the logistic regression that are tried, weakest fit first (scikit-learn's C).
STRENGTHS = (0.001, 0.01, 0.1, 1.0)
FIXED_STRENGTH = 0.01  # where no fold is left to choose on
MOST_STEPS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A mean over clips.

    Attributes:
        interval: at 95 %, original recordings drawn again; None with fewer than two of them.
        num_clips: how many clips the mean is over.
    """

    value: float
    interval: tuple[float, float] | None
    num_clips: int


def few_shot_accuracy(
    vectors: Vectors,
    labels: Sequence[str],
    origins: Sequence[str],
    *,
    shots: int,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Measured:
    """Accuracy of the nearest class centroid when a class is shown by a few clips.

    A draw takes, for each class, `shots` clips of different recordings, and their mean direction
    as its centroid. Tested are the clips that share a recording with none of them. A clip's value
    is its share of right answers over the draws in which it is tested.

    Args:
        vectors: (N, D).
        labels: N classes.
        origins: N names of original recordings.
        shots: at least 1.
        draws: of support clips.
        seed: of the draws.

    Raises:
        NotApplicableError: one class only, or a class with too few recordings.
    """
    directions, usable = _directions(vectors)
    classes, codes = _codes(labels)
    _, recordings = _codes(origins)
    _require_classes(classes)
    for k, name in enumerate(classes):
        have = len(set(recordings[usable & (codes == k)]))
        # One recording more than is shown, so that there is something to test.
        if have < shots or len(set(recordings[codes == k])) < shots + 1:
            raise NotApplicableError(
                f"{shots} shots need {shots + 1} recordings a class; class '{name}' has {have}."
            )
    rng = np.random.default_rng([seed, shots])
    right, tested = np.zeros(len(codes)), np.zeros(len(codes))
    for _ in range(draws):
        support = [
            _draw(rng, np.flatnonzero(usable & (codes == k)), recordings, shots)
            for k in range(len(classes))
        ]
        centroids = _unit(np.stack([directions[chosen].mean(axis=0) for chosen in support]))
        shown = recordings[np.concatenate(support)]
        asked: Flags = np.isin(recordings, shown, invert=True)
        answers = (directions[asked] @ centroids.T).argmax(axis=1)
        right[asked] += (answers == codes[asked]) & usable[asked]
        tested[asked] += 1
    there = tested > 0
    return _measured(right[there] / tested[there], _where(origins, there))


def retrieval_map(vectors: Vectors, labels: Sequence[str], origins: Sequence[str]) -> Measured:
    """Mean average precision when each clip asks for the clips of its class.

    All clips of other recordings are ranked by cosine; equal similarities share one rank.
    A clip whose class has no other recording asks for nothing and is left out.

    Args:
        vectors: (N, D).
        labels: N classes.
        origins: N names of original recordings.

    Raises:
        NotApplicableError: no clip has another recording of its class.
        MissingExtraError: scikit-learn is not installed.
    """
    precision = _sklearn("metrics").average_precision_score
    directions, usable = _directions(vectors)
    classes, codes = _codes(labels)
    _require_classes(classes)
    _, recordings = _codes(origins)
    values, asked = [], []
    for index in range(len(codes)):
        others = recordings != recordings[index]
        relevant = codes[others] == codes[index]
        if not relevant.any():
            continue
        similarities = directions[others] @ directions[index]
        similarities[~usable[others]] = -2.0  # below every cosine: found last
        asked.append(index)
        values.append(float(precision(relevant, similarities)) if usable[index] else 0.0)
    if not values:
        raise NotApplicableError("No class has clips of two recordings, so nothing is to be found.")
    return _measured(np.array(values), [origins[index] for index in asked])


def linear_probe(
    vectors: Vectors,
    labels: Sequence[str],
    folds: Sequence[str] | None,
    origins: Sequence[str],
    *,
    strength: float | None = None,
) -> Measured:
    """Accuracy of a logistic regression under the corpus's own folds.

    Trained on the other folds, tested on the fold; numbers are standardised on the training clips.
    Its strength C is the best of `STRENGTHS` on the training fold that follows the tested one when
    trained on the rest; then it is trained on all training folds. With two folds none is left to
    choose on, and C is `FIXED_STRENGTH`.

    Args:
        vectors: (N, D).
        labels: N classes.
        folds: N names; None where the corpus has none.
        origins: N names of original recordings; a recording that lies in the tested fold too is
            not trained on.
        strength: C, instead of choosing it.

    Raises:
        NotApplicableError: fewer than two folds, or nothing to train on.
        MissingExtraError: scikit-learn is not installed.
    """
    names = sorted(set(folds or ()))
    if folds is None or len(names) < 2:
        raise NotApplicableError("A linear probe needs clips in two folds at least.")
    _, usable = _directions(vectors)
    _require_classes(_codes(labels)[0])
    targets, where, recordings = (np.array(x, dtype=str) for x in (labels, folds, origins))
    right = np.zeros(len(targets))
    for position, name in enumerate(names):
        tested = where == name
        training = usable & ~tested & ~np.isin(recordings, recordings[tested])
        chosen = strength
        if chosen is None and len(names) < 3:
            chosen = FIXED_STRENGTH
        if chosen is None:
            held = training & (where == names[(position + 1) % len(names)])
            rest = training & ~held & ~np.isin(recordings, recordings[held])
            chosen = _best_strength(vectors, targets, rest, held)
        right[tested] = _fit_and_test(vectors, targets, training, tested & usable, chosen)[tested]
    return _measured(right, origins)


def _best_strength(vectors: Vectors, targets: Any, training: Flags, held: Flags) -> float:
    if not held.any():
        return FIXED_STRENGTH
    tried = {c: _fit_and_test(vectors, targets, training, held, c).sum() for c in STRENGTHS}
    return max(tried, key=lambda c: tried[c])  # the weaker fit of equals


def _fit_and_test(
    vectors: Vectors, targets: Any, training: Flags, tested: Flags, strength: float
) -> Floats:
    """1 for each tested clip that is recognised, else 0, (N,)."""
    right = np.zeros(len(targets))
    if len(set(targets[training])) < 2:
        raise NotApplicableError("A linear probe needs two classes in each set of training folds.")
    if not tested.any():
        return right
    linear, preparation = _sklearn("linear_model"), _sklearn("preprocessing")
    scaler = preparation.StandardScaler().fit(vectors[training].astype(np.float64))
    model = linear.LogisticRegression(C=strength, max_iter=MOST_STEPS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(scaler.transform(vectors[training].astype(np.float64)), targets[training])
    for warning in caught:
        logging.getLogger(__name__).warning("Linear probe, C=%g: %s", strength, warning.message)
    answers = model.predict(scaler.transform(vectors[tested].astype(np.float64)))
    right[tested] = answers == targets[tested]
    return right


def _draw(rng: np.random.Generator, members: Codes, recordings: Codes, shots: int) -> Codes:
    """Clips of different recordings."""
    mine = recordings[members]
    chosen = rng.choice(np.unique(mine), shots, replace=False)
    return np.array([rng.choice(members[mine == recording]) for recording in chosen])


def _directions(vectors: Vectors) -> tuple[Floats, Flags]:
    """Vectors of length 1 (zero stays zero), and which clips have one; the others are zero."""
    usable: Flags = np.asarray(np.isfinite(vectors).all(axis=1), dtype=np.bool_)
    return _unit(np.where(usable[:, None], vectors, 0.0)), usable


def _unit(vectors: Any) -> Floats:
    wide = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: Floats = wide / np.where(lengths > 0, lengths, 1.0)
    return unit


def _codes(names: Sequence[str]) -> tuple[list[str], Codes]:
    classes, codes = np.unique(np.array(names, dtype=str), return_inverse=True)
    return [str(name) for name in classes], codes


def _require_classes(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise NotApplicableError("The corpus has one class only; there is nothing to tell apart.")


def _where(names: Sequence[str], flags: Flags) -> list[str]:
    return [name for name, flag in zip(names, flags, strict=True) if flag]


def _measured(values: Floats, origins: Sequence[str]) -> Measured:
    return Measured(
        value=float(values.mean()),
        interval=bootstrap_interval(values, origins),
        num_clips=len(values),
    )


def _sklearn(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError:
        raise MissingExtraError("bench probe", "scikit-learn", "probe") from None
