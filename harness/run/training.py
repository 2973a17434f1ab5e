"""`bench train`: a recipe by name, on datasets by name, into a folder."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.harness.api import Clip
from sepbench.harness.api.training import Recipe, RecipeFacts
from sepbench.harness.errors import (
    CheckpointError,
    DatasetError,
    MissingExtraError,
    PluginError,
    SettingError,
    UsageError,
    near_matches,
)
from sepbench.harness.run.catalogs import RECIPES
from sepbench.harness.run.corpora import open_dataset
from sepbench.harness.run.provenance import provenance
from sepbench.harness.training.claiming import claim
from sepbench.harness.training.clips import TrainingClips, choose_clips
from sepbench.harness.training.examples import Examples, placed
from sepbench.harness.training.loop import Trained, check_devices, train
from sepbench.harness.training.places import find_places
from sepbench.harness.training.scoring import CHOSEN_BY
from sepbench.harness.training.settings import TrainSettings, recipe_names, resolve_training

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

FACTS_FILE = "training.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingReport:
    """What `bench train` has done.

    Attributes:
        files: the weights, in the layout that adapters take.
        trained: steps, time and scores.
        train_clips: how many were learnt from.
        validation_clips: how many were held out.
    """

    files: tuple[Path, ...]
    trained: Trained
    train_clips: int
    validation_clips: int


def run_training(
    settings: TrainSettings,
    folder: Path,
    *,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> TrainingReport:
    """Train, or go on with, what a folder holds; write the weights and what was done.

    Args:
        settings: as `resolve_training` gives them.
        folder: of this training.
        progress: told the step and the loss.

    Raises:
        MissingExtraError: Lightning or TensorBoard is not installed.
        UsageError: settings that cannot be, or a folder of another training.
        DatasetError: clips that are missing or not usable.
        BaselineLoadError: a frozen part whose weights are missing or do not fit.
    """
    import torch

    for package in ("lightning", "tensorboard"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("bench train", package, "train")
    check_devices(settings)
    recipe = open_recipe(settings)
    clips = choose_clips(open_clips(settings), settings.data, settings.seed)
    if settings.data.order == "balanced" and not clips.classes:
        raise SettingError(
            "data.order=balanced goes through the classes, and the clips have none. Give "
            "data.order=shuffled, or a dataset with labels."
        )
    vectors = _vectors(settings, clips)
    claimed = claim(folder, settings, clips)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        trainee = recipe.network(_facts(settings, clips, vectors))
    examples = {
        part: Examples(
            clips=chosen,
            classes=len(clips.classes),
            data=settings.data,
            mixing=settings.mixing,
            seed=settings.seed,
            part=part,
            vectors=vectors,
            begins={},
        )
        for part, chosen in (("train", clips.train), ("validation", clips.validation))
    }
    for each in examples.values():
        each.refuse_lonely()
    placing = recipe.placing(trainee)
    if placing is not None:
        begins = find_places(claimed, examples, placing, folder)
        examples = {part: placed(each, begins[part]) for part, each in examples.items()}
    trained = train(
        settings,
        trainee,
        task=recipe.task,
        chosen_by=CHOSEN_BY[recipe.task],
        train_examples=examples["train"],
        validation_examples=examples["validation"],
        folder=folder,
        progress=progress,
    )
    # Several processes have trained together, and hold the same weights: one writes them.
    files = _write(settings, recipe, trainee, clips, trained, folder) if trained.first else []
    return TrainingReport(
        files=tuple(files),
        trained=trained,
        train_clips=len(clips.train),
        validation_clips=len(clips.validation),
    )


def recipe_lines() -> list[str]:
    """A line for each recipe that ships: its name and what it trains."""
    names = recipe_names()
    width = max(map(len, names))
    return [f"{name:<{width}}  {resolve_training(name).summary}" for name in names]


def open_recipe(settings: TrainSettings) -> Recipe:
    """The recipe with its settings.

    Raises:
        UnknownNameError, PluginError: as the registry.
        SettingError: it has no such setting, or one is missing.
    """
    made = RECIPES.load(settings.trainee)
    if not callable(made):
        raise PluginError(f"Recipe '{settings.trainee}' names {made!r}; expected a class.")
    parameters = inspect.signature(made).parameters
    for key in settings.network:
        if key not in parameters:
            raise SettingError(
                f"Recipe '{settings.trainee}' has no setting network.{key}."
                f"{near_matches(key, parameters)}"
            )
    needed = [name for name, each in parameters.items() if each.default is each.empty]
    for name in needed:
        if name not in settings.network:
            raise SettingError(f"Recipe '{settings.trainee}' needs network.{name}=VALUE.")
    recipe: Recipe = made(**settings.network)
    return recipe


def open_clips(settings: TrainSettings) -> list[Clip]:
    """The labelled clips of all datasets; with several, their names begin with the dataset's.

    Raises:
        UsageError: no dataset is named, or one has no clips.
    """
    if not settings.datasets:
        raise UsageError("Name a dataset to train on: -d NAME.")
    found: list[Clip] = []
    for name in settings.datasets:
        dataset = open_dataset(name, settings.dataset_settings.get(name))
        pools = dataset.card.pools
        pool = settings.data.pool or next(iter(pools), "")
        clips = dataset.clips(pool) if pools else []
        if not clips:
            raise UsageError(
                f"Dataset {name} has no labelled clips"
                f"{f' in its pool {pool}' if pool else ''} to train on."
            )
        several = len(settings.datasets) > 1
        found += [
            replace(clip, clip_id=f"{name}/{clip.clip_id}") if several else clip for clip in clips
        ]
    return found


def read_vectors(file: str | None) -> dict[str, npt.NDArray[np.float32]]:
    """Clip id -> (D,) float32; empty without a file.

    Raises:
        CheckpointError: no safetensors file, or one that holds something else than vectors of
            finite numbers.
    """
    if file is None:
        return {}
    from safetensors import SafetensorError
    from safetensors.torch import load_file  # numpy knows no bfloat16

    try:
        held = load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"data.vectors={file} is no safetensors file: {error}.") from error
    found = {name: value.float() for name, value in held.items()}
    if len({value.shape for value in found.values()}) != 1 or next(iter(found.values())).ndim != 1:
        raise CheckpointError(
            f"data.vectors={file}: expected one vector for each clip, all of one length."
        )
    for name, value in found.items():
        if not value.isfinite().all():
            raise CheckpointError(
                f"data.vectors={file}: the vector of {name} holds NaN or infinite numbers. Make "
                "that one anew, or take it out of the file and give data.without=[…] with its clip."
            )
    return {name: value.numpy() for name, value in found.items()}


def _vectors(settings: TrainSettings, clips: TrainingClips) -> dict[str, npt.NDArray[np.float32]]:
    """The file's embeddings of all clips; none where there is no file.

    Raises:
        SettingError: a file, and a recipe that asks with nothing of it.
        DatasetError: it lacks some clips: told before the training, not when one is drawn.
    """
    if not settings.network.get("vector_ratio"):
        if settings.data.vectors is not None:
            raise SettingError(
                f"data.vectors={settings.data.vectors}: no example would be asked with an "
                "embedding of that file. Give network.text_ratio below 1 and network.vector_ratio "
                "above 0 (audiosep), or leave it out."
            )
        return {}
    vectors = read_vectors(settings.data.vectors)
    ids = [item.clip.clip_id for item in (*clips.train, *clips.validation)]
    missing = [clip_id for clip_id in ids if clip_id not in vectors]
    if vectors and missing:
        raise DatasetError(
            f"data.vectors={settings.data.vectors} has no embedding of {len(missing)} of "
            f"{len(ids)} clips, {missing[0]} among them. Give one for each, or leave those clips "
            "out with data.without=[…]."
        )
    return vectors


def _facts(
    settings: TrainSettings, clips: TrainingClips, vectors: Mapping[str, Any]
) -> RecipeFacts:
    return RecipeFacts(
        classes=clips.classes,
        labelled=all(item.tags for item in (*clips.train, *clips.validation)),
        texts=clips.texts,
        vector=len(next(iter(vectors.values()), ())),
        sample_rate=settings.data.sample_rate,
        segment=settings.data.segment,
    )


def _write(
    settings: TrainSettings,
    recipe: Recipe,
    trainee: nn.Module,
    clips: TrainingClips,
    trained: Trained,
    folder: Path,
) -> list[Path]:
    """The weights, and beside them what was done."""
    numbers = {
        "recipe": settings.recipe,
        "seed": settings.seed,
        "steps": trained.steps,
        "hours": round(trained.seconds / 3600, 3),
        "device": trained.device,
        "devices": trained.devices,
        "datasets": list(settings.datasets),
        "train_clips": len(clips.train),
        "validation_clips": len(clips.validation),
        "best": {name: round(value, 4) for name, value in trained.best.items()},
    }
    files = recipe.write(trainee, folder, numbers)
    if not trained.moved and (folder / FACTS_FILE).is_file():
        return files  # written anew from the same checkpoint: the record is of who has trained it
    record = {
        **numbers,
        "threads": trained.threads,
        "scores": asdict(trained)["scores"],
        "made_with": provenance(),
    }
    text = json.dumps(record, indent=2, ensure_ascii=False)
    (folder / FACTS_FILE).write_text(text + "\n", "utf-8")
    return files
