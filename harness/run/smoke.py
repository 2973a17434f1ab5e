"""`bench train --smoke`: a recipe from end to end in seconds, on the recordings that ship.

Networks of a few channels, a few steps, weights that are thrown away: it shows that the recipe, the
data and the files fit together, and nothing about how well it separates.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sepbench.harness.run.training import TrainingReport, run_training
from sepbench.harness.training.settings import TrainSettings, resolve_training, with_changes

# What all recipes are tried with; the examples of the built-in set are never mixed in its scenes.
SMOKE: dict[str, Any] = {
    "dataset": ["demo"],
    "datasets": {},
    "data.pool": "queries",
    "data.labels": [],
    "data.without": [],
    "data.train_folds": [],
    "data.validation_folds": [],
    "data.validation_share": 0.3,
    "data.captions": "esc10",
    "data.own_captions": False,
    "data.vectors": None,
    "data.sample_rate": 16_000,
    "data.seconds": 0.5,
    "data.min_seconds": 0.1,
    "max_steps": 4,
    "batch_size": 4,
    "accumulate": 1,
    "validate_every": 2,
    "validation_items": 4,
    "checkpoint_every": 2,
    "device": "cpu",
    "devices": 1,
    "precision": "float32",
    "workers": 0,
    "log_every": 1,
}

# What a user says of these holds for the recipe that comes first too: it has to fit the second.
SHARED = frozenset({"data.sample_rate", "network.detector"})


def run_smoke(
    recipe: str,
    *,
    overrides: Sequence[str] = (),
    folder: Path | None = None,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> TrainingReport:
    """Try a recipe out, and before it the one whose file it needs.

    Args:
        recipe: its name.
        overrides: `key=value`, stronger than what a smoke run changes.
        folder: where to; None for a temporary one, which is gone afterwards.
        progress: told the step and the loss.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="sepbench-smoke-") as made:
            report = run_smoke(recipe, overrides=overrides, folder=Path(made), progress=progress)
        return replace(report, files=())  # gone with the folder
    settings = smoke_settings(recipe, overrides)
    if settings.smoke.first and settings.smoke.gives not in _keys(overrides):
        before = run_smoke(
            settings.smoke.first,
            overrides=[text for text in overrides if not _keys([text]).isdisjoint(SHARED)],
            folder=folder / settings.smoke.first,
        )
        settings = with_changes(settings, {settings.smoke.gives: str(before.files[0])})
    return run_training(settings, folder / recipe, progress=progress)


def smoke_settings(recipe: str, overrides: Sequence[str] = ()) -> TrainSettings:
    """The settings of a smoke run; a key among the overrides is the user's."""
    settings = resolve_training(recipe, overrides=overrides)
    asked = _keys(overrides)  # the user's own words win
    changes = {**SMOKE, **settings.smoke.changes}
    return with_changes(settings, {k: v for k, v in changes.items() if k not in asked})


def _keys(overrides: Sequence[str]) -> set[str]:
    return {text.partition("=")[0].lstrip("+") for text in overrides}
