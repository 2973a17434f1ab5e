"""What a training is judged by: the harness's own metrics on held-out examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from sepbench.harness.api.training import Task, TrainingBatch
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics import sdr, si_sdr

if TYPE_CHECKING:
    from torch import Tensor

# Name -> one value for each example that has one.
Scores: TypeAlias = Mapping[str, list[float]]

# What the best checkpoint is chosen by, larger is better.
CHOSEN_BY: Mapping[Task, str] = {"separate": "sdr_improvement", "tag": "hits", "match": "hits"}
METRICS = {"sdr": sdr, "si_sdr": si_sdr}


def score_names(task: Task) -> tuple[str, ...]:
    """Names of all scores that a task may have."""
    if task != "separate":
        return ("hits",)
    return tuple(f"{name}{suffix}" for name in METRICS for suffix in ("", "_improvement"))


def score_batch(trainee: Any, batch: TrainingBatch, task: Task) -> Scores:
    """Values of a batch under the metrics of its task.

    Separation: SDR and SI-SDR of the estimate, and how far they are above the mixture's; examples
    for which one is undefined (a silent target) have none, as in the tables. Others: the share of
    right answers.

    Args:
        trainee: a `Trainee` in eval mode.
        batch: held-out examples.
        task: of the recipe.
    """
    import torch

    with torch.no_grad():
        if task != "separate":
            return {"hits": [float(hit) for hit in trainee.hits(batch)]}
        estimates = trainee.estimates(batch).cpu()
    targets, mixtures = batch.target.cpu(), batch.mixture.cpu()
    found: dict[str, list[float]] = {}
    for target, mixture, estimate in zip(targets, mixtures, estimates, strict=True):
        for name, value in _values(target, mixture, estimate).items():
            found.setdefault(name, []).append(value)
    return found


def _values(target: Tensor, mixture: Tensor, estimate: Tensor) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, metric in METRICS.items():
        try:
            value, before = metric(target, estimate), metric(target, mixture)
        except UndefinedScoreError:  # has no value: counts neither for nor against
            continue
        if math.isfinite(value) and math.isfinite(before):
            found |= {name: value, f"{name}_improvement": value - before}
    return found
