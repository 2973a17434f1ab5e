"""What is kept of a training: a checkpoint to go on from, and the best one by its held-out score.

The one to go on from is written after a validation that falls on the same step. So a training that
was stopped in between goes on before it, and chooses as an unbroken one does.
"""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from sepbench.harness.training.curve import Curve, validations

LAST, BEST = "last.ckpt", "best.ckpt"


class Keeping(Callback):
    """Writes both checkpoints; to stand after the curve in the list of callbacks.

    Args:
        folder: of the checkpoints.
        curve: of the same training.
        chosen_by: the score that the best one is chosen by, larger is better.
        every: steps between two to go on from; the last step has one too.
        validate_every: steps between validations.
    """

    def __init__(
        self, folder: Path, curve: Curve, *, chosen_by: str, every: int, validate_every: int
    ) -> None:
        self._folder = folder
        self._curve = curve
        self._chosen_by = chosen_by
        self._every = every
        self._validate_every = validate_every
        self._kept = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        """Keep a step after which no validation follows."""
        if trainer.global_step % self._validate_every:
            self._keep(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the best, then the step."""
        scores = validations(self._curve.path, self._chosen_by)
        now = scores.pop(trainer.global_step, None)
        if now is not None and all(now > before for before in scores.values()):
            trainer.save_checkpoint(self._folder / BEST)
        self._keep(trainer)

    def _keep(self, trainer: Trainer) -> None:
        step = trainer.global_step
        due = step % self._every == 0 or step == trainer.max_steps
        if due and step != self._kept:  # several batches may make one step
            self._kept = step
            trainer.save_checkpoint(self._folder / LAST)
