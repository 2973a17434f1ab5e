"""The training loop: Lightning's trainer over our examples, with checkpoints to go on from.

A training's folder holds `settings.json` (the whole configuration), `curve.csv` (losses and scores,
for TensorBoard too), and in `checkpoints` a `last.ckpt` to go on from and a `best.ckpt` by the
held-out score.
"""

from __future__ import annotations

import os
import pickle
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.harness.api.training import Task
from sepbench.harness.errors import CheckpointError, SettingError
from sepbench.harness.training.claiming import CHECKPOINTS, LAST
from sepbench.harness.training.examples import Examples, StepBatches, collate
from sepbench.harness.training.settings import TrainSettings

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from torch import nn

    from sepbench.harness.training.curve import Curve
    from sepbench.harness.training.stopping import Stopping

CURVE_FILE = "curve.csv"
# Our word for a precision -> Lightning's.
PRECISIONS = {
    "float32": "32-true",
    "tf32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What a training has come to.

    Attributes:
        steps: of the optimiser, all in all.
        seconds: all in all.
        scores: of the last validation.
        best: of the best checkpoint, where one was chosen.
        device: what it ran on.
        devices: how many of them.
        threads: of a CPU, in each process.
        moved: whether any step was made now; a finished training is only written again.
        first: whether this is the first of several processes, the one that writes.
    """

    steps: int
    seconds: float
    scores: dict[str, float]
    best: dict[str, float]
    device: str
    devices: int
    threads: int
    moved: bool
    first: bool


def train(
    settings: TrainSettings,
    trainee: nn.Module,
    *,
    task: Task,
    chosen_by: str,
    train_examples: Examples,
    validation_examples: Examples,
    folder: Path,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> Trained:
    """Train up to `settings.max_steps`, from the folder's last checkpoint where there is one.

    Args:
        settings: all of them.
        trainee: a `Trainee`; holds the weights of the best checkpoint afterwards.
        task: what validation measures.
        chosen_by: the score that the best checkpoint is chosen by.
        train_examples: to learn from.
        validation_examples: held out.
        folder: of this training, claimed by it.
        progress: told the step and the loss.

    Raises:
        SettingError: a device or precision that is not here, or a loss that is no number.
        CheckpointError: the folder's last checkpoint cannot be read.
        KeyboardInterrupt: asked to stop; the last whole step is kept.
    """
    import torch

    from sepbench.harness.training.curve import Curve
    from sepbench.harness.training.keeping import BEST, seconds_until
    from sepbench.harness.training.module import TRAINEE, TrainingModule
    from sepbench.harness.training.stopping import Stopping

    last = folder / CHECKPOINTS / LAST
    module = TrainingModule(
        trainee,
        task=task,
        optimiser=settings.optimiser,
        seed=settings.seed,
        max_steps=settings.max_steps,
        average=settings.average,
        accumulate=settings.accumulate,
    )
    trainee.train()  # all of it: the loop leaves each part as it finds it
    # Convolutions of few channels gain a quarter.
    trainee.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stub lacks it
    curve = Curve(folder / CURVE_FILE, settings.log_every)
    began = time.monotonic()
    with _quiet(), _deterministic(), Stopping() as stopping:
        start = _step_of(last) if last.is_file() else 0
        earlier = seconds_until(last.parent, start)
        trainer = _trainer(settings, folder, curve, stopping, chosen_by, progress, earlier)
        try:
            trainer.fit(
                module,
                train_dataloaders=_train_loader(settings, train_examples, trainer),
                val_dataloaders=_validation_loader(settings, validation_examples, trainer),
                ckpt_path=str(last) if last.is_file() else None,
                weights_only=True,
            )
        except SystemExit as error:  # what Lightning makes of a KeyboardInterrupt
            raise KeyboardInterrupt from error
    best = folder / CHECKPOINTS / BEST
    module.trainee.to("cpu")
    if best.is_file():
        held = torch.load(best, map_location="cpu", weights_only=True)
        state = held["averages"] or {
            name.removeprefix(TRAINEE): value for name, value in held["state_dict"].items()
        }
        module.trainee.load_state_dict(state)
    elif module.averages:  # never validated: the mean is what is written all the same
        module.trainee.load_state_dict(module.averages)
    module.trainee.eval()
    return Trained(
        steps=trainer.global_step,
        # Of a finished training that is only written again, no time is added.
        seconds=earlier + (time.monotonic() - began if trainer.global_step > start else 0.0),
        scores=curve.scores or _last_scores(folder),
        best=_best_scores(folder),
        device=str(trainer.strategy.root_device),
        devices=trainer.world_size,
        threads=torch.get_num_threads(),
        moved=trainer.global_step > start,
        first=trainer.is_global_zero,
    )


def _step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was written at.

    Raises:
        CheckpointError: it is damaged.
    """
    import torch

    try:
        return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{checkpoint} cannot be read: {error}. It was cut short or is not of a training; "
            "remove that folder of checkpoints to begin anew, or name another with -o."
        ) from error


def _trainer(
    settings: TrainSettings,
    folder: Path,
    curve: Curve,
    stopping: Stopping,
    chosen_by: str,
    progress: Callable[[int, float], None],
    seconds_before: float,
) -> Trainer:
    import torch
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import LambdaCallback
    from lightning.pytorch.loggers import TensorBoardLogger

    from sepbench.harness.training.keeping import Keeping

    accelerator, devices = check_devices(settings)
    torch.backends.cuda.matmul.allow_tf32 = settings.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = settings.precision == "tf32"
    keep = Keeping(
        folder / CHECKPOINTS,
        curve,
        stopping,
        chosen_by=chosen_by,
        every=settings.checkpoint_every,
        validate_every=settings.validate_every,
        seconds_before=seconds_before,
    )
    report = LambdaCallback(
        on_train_batch_end=lambda trainer, *_: progress(
            trainer.global_step, float(trainer.callback_metrics["loss"])
        )
    )
    return Trainer(
        accelerator=accelerator,
        devices=devices,
        strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto",
        sync_batchnorm=devices > 1 and accelerator == "gpu",  # PyTorch has it there only
        precision=PRECISIONS[settings.precision],  # type: ignore[arg-type]  # one of its literals
        max_steps=settings.max_steps,
        max_epochs=-1,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.optimiser.clip_norm or None,
        val_check_interval=settings.validate_every * settings.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        log_every_n_steps=settings.log_every,
        callbacks=[curve, stopping, keep, report],
        enable_checkpointing=False,  # `Keeping` does it
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def check_devices(settings: TrainSettings) -> tuple[str, int]:
    """Lightning's word for the kind of device, and how many of them.

    Raises:
        SettingError: it is not here, cannot compute in that precision, or would have nothing to
            score.
    """
    accelerator, devices = _devices(settings)
    if settings.precision not in PRECISIONS:
        raise SettingError(f"precision={settings.precision}; one of {', '.join(PRECISIONS)}.")
    if accelerator == "cpu" and settings.precision in ("tf32", "fp16"):
        raise SettingError(
            f"precision={settings.precision} needs a CUDA device; the CPU has float32, bf16."
        )
    if settings.validation_items < devices:
        raise SettingError(
            f"validation_items={settings.validation_items} with devices={devices}: each process "
            f"scores some. Give validation_items={devices} or more."
        )
    return accelerator, devices


def _devices(settings: TrainSettings) -> tuple[str, int]:
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wants_gpu = settings.device == "cuda" or (settings.device == "auto" and there)
    if settings.device not in ("auto", "cpu", "cuda"):
        raise SettingError(f"device={settings.device}; auto, cpu or cuda.")
    if not wants_gpu:
        return "cpu", settings.devices or 1
    if not there or (settings.devices or 1) > there:
        raise SettingError(
            f"device={settings.device}, devices={settings.devices}: there are {there} CUDA devices."
        )
    return "gpu", settings.devices or there


def _train_loader(settings: TrainSettings, examples: Examples, trainer: Trainer) -> Any:
    from torch.utils.data import DataLoader

    batches = StepBatches(
        settings.batch_size,
        trainer.global_rank,
        trainer.world_size,
        first=lambda: trainer.global_step * settings.accumulate,
    )
    return DataLoader(
        examples,  # type: ignore[arg-type]  # has what a map-style dataset needs
        batch_sampler=batches,
        num_workers=settings.workers,
        collate_fn=collate,
        persistent_workers=settings.workers > 0,
        pin_memory=trainer.strategy.root_device.type == "cuda",
    )


def _validation_loader(settings: TrainSettings, examples: Examples, trainer: Trainer) -> Any:
    from torch.utils.data import DataLoader

    numbers = range(trainer.global_rank, settings.validation_items, trainer.world_size)
    size = settings.batch_size
    batches = [list(numbers[k : k + size]) for k in range(0, len(numbers), size)]
    return DataLoader(
        examples,  # type: ignore[arg-type]  # has what a map-style dataset needs
        batch_sampler=batches,
        num_workers=settings.workers,
        collate_fn=collate,
    )


def _best_scores(folder: Path) -> dict[str, float]:
    """Scores at the step of the best checkpoint."""
    from sepbench.harness.training.keeping import BEST

    best = folder / CHECKPOINTS / BEST
    if not best.is_file():
        return {}
    step = _step_of(best)
    scores = _validations(folder).get(step, {})
    return {"step": float(step), **scores} if scores else {}


def _last_scores(folder: Path) -> dict[str, float]:
    """Scores of the last validation that a folder knows of."""
    found = _validations(folder)
    return found[max(found)] if found else {}


def _validations(folder: Path) -> dict[int, dict[str, float]]:
    """Step -> the scores of its validation."""
    from sepbench.harness.training.curve import read_curve

    file = folder / CURVE_FILE
    found: dict[int, dict[str, float]] = {}
    for step, part, name, value in read_curve(file) if file.is_file() else ():
        if part == "validation":
            found.setdefault(int(step), {})[name] = float(value)
    return found


@contextmanager
def _deterministic() -> Iterator[None]:
    """The same numbers in the same order: kernels that do not depend on what runs beside them."""
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    deterministic: Any = torch.utils.deterministic  # its stub is empty
    fills = deterministic.fill_uninitialized_memory
    torch.backends.cudnn.benchmark = False
    # Filling what is overwritten anyway takes a tenth of a step, and no operation here reads it.
    deterministic.fill_uninitialized_memory = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        deterministic.fill_uninitialized_memory = fills


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice of Lightning, which is about settings that are ours to make."""
    import logging

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch")]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
