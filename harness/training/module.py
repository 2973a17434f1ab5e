"""One optimiser step, one validation step: what Lightning's loop calls.

Everything random in a network (dropout, masks, mixup) is drawn from a generator that is seeded
anew at each step with the training's seed, the step and the process. So a training that goes on
from a checkpoint draws what an unbroken one draws, and validating in between changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from sepbench.harness.api.training import Task, TrainingBatch
from sepbench.harness.errors import SettingError
from sepbench.harness.mixing import draw_number
from sepbench.harness.training.scoring import Scores, score_batch, score_names
from sepbench.harness.training.settings import OptimiserSettings

LOSS = "loss"
TRAINEE = "trainee."  # before the names of its tensors in a checkpoint


class TrainingModule(LightningModule):
    """A trainee in Lightning's loop.

    Args:
        trainee: the network, a `Trainee`.
        task: what validation measures.
        optimiser: how steps are made.
        seed: of what the network draws.
        max_steps: where a cosine ends.
        average: share of the old weights in their running mean; 0 for none.
        accumulate: batches of a step.
    """

    def __init__(
        self,
        trainee: nn.Module,
        *,
        task: Task,
        optimiser: OptimiserSettings,
        seed: int,
        max_steps: int,
        average: float,
        accumulate: int,
    ) -> None:
        super().__init__()
        self.trainee = trainee
        self._task = task
        self._settings = optimiser
        self._seed = seed
        self._max_steps = max_steps
        self._average = average
        self._accumulate = accumulate
        self._scores: list[Scores] = []
        self._own: dict[str, Tensor] = {}
        self.averages: dict[str, Tensor] = {}

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Seed what the network draws in this step."""
        part = batch_idx % self._accumulate  # of the step
        names = (str(self._seed), "step", str(self.global_step), str(part), str(self.global_rank))
        torch.manual_seed(draw_number(*names) >> 1)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """The loss of a batch.

        Raises:
            SettingError: it is no finite number: the rate is too high, or the data is broken.
        """
        loss: Tensor = self.trainee.loss(batch)  # type: ignore[operator]  # a Trainee besides
        if not math.isfinite(float(loss)):
            raise SettingError(
                f"The loss is {float(loss)} at step {self.global_step}. Lower optimiser.rate or "
                "raise optimiser.clip_norm, and look at the data; the last checkpoint is whole."
            )
        self.log(LOSS, loss.detach(), batch_size=len(batch.texts))
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step, and with it the running mean of the weights: before any callback saves it."""
        super().optimizer_step(*args, **kwargs)
        if not self._average:
            return
        # Young means forget faster: at the first steps the start values would weigh too much.
        share = min(self._average, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for name, value in self.trainee.state_dict().items():
                if name not in self.averages:
                    self.averages[name] = value.detach().clone()
                elif value.is_floating_point():
                    self.averages[name].lerp_(value, 1 - share)
                else:
                    self.averages[name].copy_(value)

    def on_validation_start(self) -> None:
        """Validate with the mean of the weights, where there is one."""
        if self.averages:
            self._own = {n: v.detach().clone() for n, v in self.trainee.state_dict().items()}
            self.trainee.load_state_dict(self.averages)

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Score a batch of held-out examples."""
        self._scores.append(score_batch(self.trainee, batch, self._task))

    def on_validation_epoch_end(self) -> None:
        """Means over all held-out examples, of all processes, that have a score."""
        names = score_names(self._task)  # the same in each process, also where one has no score
        values = [[v for batch in self._scores for v in batch.get(name, ())] for name in names]
        self._scores.clear()
        sums = torch.tensor(
            [[sum(each) for each in values], [len(each) for each in values]],
            dtype=torch.float64,
            device=self.device,
        )
        total, count = self.trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        for name, of, by in zip(names, total, count, strict=True):
            if by:
                self.log(name, of / by)

    def on_validation_end(self) -> None:
        """Back to the weights that are trained."""
        if self._own:
            self.trainee.load_state_dict(self._own)
            self._own = {}

    def configure_optimizers(self) -> Any:
        """Adam or AdamW over what may move, with the rate of each step."""
        settings = self._settings
        moving = [parameter for parameter in self.trainee.parameters() if parameter.requires_grad]
        made = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
        optimiser = made(
            moving,
            lr=settings.rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            amsgrad=settings.amsgrad,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._factor())
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the running mean beside the weights, whichever of both is in use."""
        checkpoint["averages"] = self.averages
        if self._own:  # in a validation
            checkpoint["state_dict"] = {f"{TRAINEE}{n}": v for n, v in self._own.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the running mean."""
        self.averages = {
            name: value.to(self.device) for name, value in checkpoint["averages"].items()
        }

    def _factor(self) -> Callable[[int], float]:
        settings, end = self._settings, self._max_steps
        return lambda step: rate_factor(step, settings.steps, settings.decay, end)


def rate_factor(step: int, steps: Sequence[tuple[int, float]], decay: str, max_steps: int) -> float:
    """Factor of the learning rate at a step.

    Args:
        step: from 0.
        steps: [first step, factor], ascending.
        decay: "cosine" falls from the last pair's step on to 0 at `max_steps`.
        max_steps: of the training.
    """
    reached = [(first, factor) for first, factor in steps if step >= first]
    first, factor = reached[-1] if reached else (0, 1.0)
    if decay != "cosine" or len(reached) < len(steps):
        return factor
    share = min(1.0, (step - first) / max(1, max_steps - first))
    return factor * 0.5 * (1.0 + math.cos(math.pi * share))
