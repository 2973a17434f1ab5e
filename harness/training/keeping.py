"""What is kept of a training: a checkpoint to go on from, and the best one by its held-out score.

The one to go on from is written after a validation that falls on the same step. So a training that
was stopped in between goes on before it, and chooses as an unbroken one does.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from sepbench.harness.training.claiming import LAST
from sepbench.harness.training.curve import Curve, as_written, validations
from sepbench.harness.training.stopping import Stopping

BEST, TIME = "best.ckpt", "last.json"


class Keeping(Callback):
    """Writes both checkpoints; to stand after the curve in the list of callbacks.

    Args:
        folder: of the checkpoints.
        curve: of the same training.
        chosen_by: the score that the best one is chosen by, larger is better.
        stopping: where it is asked for, the step at hand is kept, and the training ends.
        every: steps between two to go on from; the last step has one too.
        validate_every: steps between validations.
        seconds_before: that the training took until the step that it goes on from.
    """

    def __init__(
        self,
        folder: Path,
        curve: Curve,
        stopping: Stopping,
        *,
        chosen_by: str,
        every: int,
        validate_every: int,
        seconds_before: float,
    ) -> None:
        self._folder = folder
        self._curve = curve
        self._stopping = stopping
        self._chosen_by = chosen_by
        self._every = every
        self._validate_every = validate_every
        self._seen = -1
        self._best = -math.inf
        self._began = time.monotonic() - seconds_before

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The best so far, up to the step that is gone on from; a best beyond it is forgotten."""
        found = self._curve.path.is_file()  # on every machine only where they share the folder
        before = validations(self._curve.path, self._chosen_by) if found else {}
        scores = [value for step, value in before.items() if step <= trainer.global_step]
        self._best = trainer.strategy.broadcast(max(scores, default=-math.inf))
        self._seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        """Keep a step after which no validation follows."""
        ended = trainer.global_step != self._seen  # several batches may make one step
        self._seen = trainer.global_step
        if ended and trainer.global_step % self._validate_every:
            self._keep(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the best, then the step."""
        # The mean over all processes, which is the same in each: all save, or none does.
        score = trainer.callback_metrics.get(self._chosen_by)
        now = -math.inf if score is None else as_written(float(score))
        if now > self._best:
            self._best = now
            trainer.save_checkpoint(self._folder / BEST)
        self._keep(trainer)

    def _keep(self, trainer: Trainer) -> None:
        """Once for each step: keep it where it is due, or where the training is to stop."""
        step, stops = trainer.global_step, self._stopping.asked
        if step % self._every == 0 or step == trainer.max_steps or stops:
            trainer.save_checkpoint(self._folder / LAST)
            if trainer.is_global_zero:
                spent = {"step": step, "seconds": round(time.monotonic() - self._began, 1)}
                (self._folder / TIME).write_text(json.dumps(spent) + "\n", "utf-8")
        if stops and step < trainer.max_steps:
            raise KeyboardInterrupt


def seconds_until(folder: Path, step: int) -> float:
    """What a training had taken when it kept that step; 0 where nobody knows."""
    file = folder / TIME
    try:
        held = json.loads(file.read_text("utf-8"))
        return float(held["seconds"]) if held["step"] == step else 0.0
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
