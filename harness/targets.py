"""One row's scores by target, ready to be paired with another's.

The rules for what has no value are here: undefined because of the reference or missing leaves the
pair out, undefined because of the estimate is a loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.item_scores import ItemScores

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Targets:
    """One row by (scene, target).

    Attributes:
        values: means over the queries, oriented so that higher is better; −inf where the model
            gave no usable estimate.
        lost: these targets.
        undefined: without a score because of the reference.
        missing: not scored yet, or not under this version of the metric.
    """

    clusters: Mapping[tuple[str, str], str]
    values: Mapping[tuple[str, str], float]
    lost: frozenset[tuple[str, str]]
    undefined: frozenset[tuple[str, str]]
    missing: frozenset[tuple[str, str]]


def by_target(scores: ItemScores, higher_is_better: bool) -> Targets:
    """Average over the queries of each target."""
    values: dict[tuple[str, str], list[float]] = {}
    clusters: dict[tuple[str, str], str] = {}
    marked: dict[str, set[tuple[str, str]]] = {
        "estimate": set(),
        "reference": set(),
        "missing": set(),
    }
    oriented = scores.values if higher_is_better else -scores.values
    for key, cluster, value, cause in zip(
        scores.keys, scores.clusters, oriented.tolist(), scores.causes, strict=True
    ):
        clusters[key] = cluster
        if cause:
            marked[cause].add(key)
        values.setdefault(key, []).append(value)
    lost = frozenset(marked["estimate"])
    means: dict[tuple[str, str], float] = {}
    for key, several in values.items():
        if key in lost or -np.inf in several:  # one bad answer is not hidden by good ones
            means[key] = -np.inf
        else:
            means[key] = several[0] if len(several) == 1 else float(np.mean(several))
    return Targets(
        clusters, means, lost, frozenset(marked["reference"]), frozenset(marked["missing"])
    )


def shared_targets(a: Targets, b: Targets) -> list[tuple[str, str]]:
    """Targets that both have, in the list order of A."""
    out = a.undefined | b.undefined | a.missing | b.missing
    return [key for key in a.values if key in b.values and key not in out]


def gains_over(a: Targets, b: Targets, keys: Sequence[tuple[str, str]]) -> Floats:
    """How much better A is, (I,); ±inf for pairs without a size, 0 for equal infinities."""
    first = np.array([a.values[key] for key in keys], dtype=float)
    second = np.array([b.values[key] for key in keys], dtype=float)
    with np.errstate(invalid="ignore"):
        difference: Floats = np.where(first == second, 0.0, first - second)
    return difference
