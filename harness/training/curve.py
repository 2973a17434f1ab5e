"""The course of a training as a CSV file, one value a row; a resumed one goes on in it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sepbench.harness.training.module import LOSS

_DIGITS = ".6g"
COLUMNS = ("step", "part", "name", "value")


class Curve(Callback):
    """Writes the loss every few steps, and the scores of each validation.

    Args:
        path: the file.
        every: steps between two losses, each the mean since the one before.

    Attributes:
        scores: of the last validation.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path = path
        self._every = every
        self._losses: list[float] = []
        self._written = 0
        self.scores: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what was written up to the step that is gone on from."""
        self._written = trainer.global_step
        if not trainer.is_global_zero:
            return
        rows = read_curve(self.path) if self.path.is_file() else []
        with self.path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(row for row in rows if int(row[0]) <= trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Losses that no row holds yet: they go into a checkpoint with the rest."""
        return {"losses": list(self._losses)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with them."""
        self._losses = list(state_dict["losses"])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        """Collect the loss; write it when it is time."""
        self._losses.append(float(trainer.callback_metrics[LOSS]))
        step = trainer.global_step
        if step == self._written or (step % self._every and step < trainer.max_steps):
            return  # in between, or another batch of the same step
        self._written = step
        self._append(trainer, "train", {LOSS: sum(self._losses) / len(self._losses)})
        self._losses.clear()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the scores."""
        found = {n: float(v) for n, v in trainer.callback_metrics.items() if n != LOSS}
        self.scores = found
        self._append(trainer, "validation", found)

    def _append(self, trainer: Trainer, part: str, values: Mapping[str, float]) -> None:
        if not trainer.is_global_zero:
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for name, value in values.items():
                writer.writerow([trainer.global_step, part, name, f"{value:{_DIGITS}}"])


def as_written(value: float) -> float:
    """A score as the file will give it back, so that a resumed training compares the same."""
    return float(f"{value:{_DIGITS}}")


def read_curve(path: Path) -> list[list[str]]:
    """The rows of a file that `Curve` has written: step, part, name, value."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [row for row in rows if len(row) == len(COLUMNS)]


def validations(path: Path, name: str) -> dict[int, float]:
    """Step -> value of one score, at each validation in a file of `Curve`."""
    return {
        int(step): float(value)
        for step, part, score, value in read_curve(path)
        if part == "validation" and score == name
    }
