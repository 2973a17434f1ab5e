"""Whose a training's folder is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sepbench.harness.api import Clip
from sepbench.harness.errors import SettingError, UsageError
from sepbench.harness.run.smoke import run_smoke, smoke_settings
from sepbench.harness.run.training import run_training
from sepbench.harness.training.claiming import claim
from sepbench.harness.training.clips import TrainingClip, TrainingClips
from sepbench.harness.training.settings import with_changes

SETTINGS = smoke_settings("unet-tag")


def clip(name: str, tag: int, text: str, folder: str = "here") -> TrainingClip:
    return TrainingClip(
        clip=Clip(clip_id=name, path=Path(folder) / f"{name}.wav", labels=("dog",)),
        tags=(tag,),
        texts=(text,),
    )


CLIPS = TrainingClips(
    classes=("dog", "rain"),
    train=(clip("a", 0, "a dog barks"), clip("b", 1, "rain falls")),
    validation=(clip("c", 0, "a dog barks"),),
)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder with a checkpoint to go on from."""
    claim(tmp_path, SETTINGS, CLIPS)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    return tmp_path


def test_the_same_clips_at_another_place_are_the_same_training(begun: Path) -> None:
    moved = tuple(
        clip(each.clip.clip_id, each.tags[0], each.texts[0], "there") for each in CLIPS.train
    )
    settings = (begun / "settings.json").read_bytes()

    claim(begun, SETTINGS, replace(CLIPS, train=moved))

    assert (begun / "settings.json").read_bytes() == settings


@pytest.mark.parametrize(
    "other",
    [
        replace(CLIPS, classes=("cat", "rain")),
        replace(CLIPS, train=(CLIPS.train[0], clip("b", 1, "it rains"))),
        replace(CLIPS, train=(CLIPS.train[0], clip("d", 1, "rain falls"))),
        replace(CLIPS, train=(CLIPS.train[0], clip("b", 0, "rain falls"))),
        replace(CLIPS, train=(*CLIPS.train, *CLIPS.validation), validation=()),
    ],
    ids=["class", "text", "clip", "label", "part"],
)
def test_other_clips_labels_or_texts_are_another_training(
    begun: Path, other: TrainingClips
) -> None:
    settings = (begun / "settings.json").read_bytes()

    with pytest.raises(UsageError, match="the clips, their labels or their texts have changed"):
        claim(begun, SETTINGS, other)

    assert (begun / "settings.json").read_bytes() == settings


@pytest.mark.parametrize("text", ["", "{", "[]", '{"settings": 3}'])
def test_checkpoints_with_damaged_settings_belong_to_nobody(begun: Path, text: str) -> None:
    (begun / "settings.json").write_text(text)

    with pytest.raises(UsageError, match=r"settings\.json is missing or damaged"):
        claim(begun, SETTINGS, CLIPS)


def test_a_refused_training_leaves_the_places_of_the_one_that_is_there(tmp_path: Path) -> None:
    before = run_smoke("stsed-sed", folder=tmp_path / "detector")
    settings = with_changes(
        smoke_settings("stsed"), {"network.detector_checkpoint": str(before.files[0])}
    )
    run_training(settings, tmp_path / "made")
    places = (tmp_path / "made" / "placed.json").read_bytes()

    with pytest.raises(UsageError, match=r"other settings \(.*seed"):
        run_training(with_changes(settings, {"seed": 2}), tmp_path / "made")

    assert (tmp_path / "made" / "placed.json").read_bytes() == places


def test_a_device_that_cannot_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="precision=fp16 needs a CUDA device"):
        run_training(with_changes(SETTINGS, {"precision": "fp16"}), tmp_path / "made")

    assert not (tmp_path / "made").exists()


def test_embeddings_that_nothing_is_asked_with_are_refused(tmp_path: Path) -> None:
    settings = with_changes(SETTINGS, {"data.vectors": "frames.safetensors"})

    with pytest.raises(SettingError, match=r"network\.vector_ratio above 0"):
        run_training(settings, tmp_path)
