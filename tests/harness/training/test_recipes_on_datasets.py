"""Each kind of dataset that a recipe can be trained on: what is learnt, from which of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.corpora.audiocaps import write_clip, write_table
from sepbench_testkit.corpora.audiosep import write_tone

from sepbench.baselines.small.files import SizedFile, read_sized
from sepbench.datasets.audioset import class_names
from sepbench.harness.errors import UsageError
from sepbench.harness.run import training
from sepbench.harness.run.smoke import SMOKE
from sepbench.harness.run.training import TrainingReport, run_training
from sepbench.harness.training.clips import TrainingClip
from sepbench.harness.training.curve import read_curve
from sepbench.harness.training.settings import resolve_training, with_changes

# Tiny and short; which clips count stays the recipe's.
SIZES: dict[str, Any] = {
    **{key: value for key, value in SMOKE.items() if not key.startswith(("data.", "dataset"))},
    "max_steps": 2,
    "batch_size": 2,
    "validation_items": 2,
    "data.seconds": 0.5,
    "data.min_seconds": 0.1,
    "network.widths": [4, 8],
    "network.n_fft": 128,
    "network.condition": 16,
}
WORDS = {"network.text": "words", "network.text_width": 16, "network.text_layers": 1}


@dataclass
class Learnt:
    """What a training drew from, and what it wrote.

    Attributes:
        clips: part -> the clips that its examples are drawn from.
    """

    report: TrainingReport
    folder: Path
    clips: dict[str, Sequence[TrainingClip]] = field(default_factory=dict)

    def ids(self, part: str) -> set[str]:
        return {item.clip.clip_id for item in self.clips[part]}

    def texts(self, part: str) -> set[str]:
        return {text for item in self.clips[part] for text in item.texts}

    def written(self, network: str) -> SizedFile:
        (file,) = self.report.files
        return read_sized(file, network)


def learn(
    recipe: str, dataset: str, root: Path, folder: Path, changes: Mapping[str, Any] | None = None
) -> Learnt:
    """`bench train RECIPE -d DATASET --root DATASET=ROOT` for two steps."""
    settings = resolve_training(
        recipe, datasets=[dataset], overrides=[f"datasets.{dataset}.root={root}"]
    )
    settings = with_changes(settings, {**SIZES, **(changes or {})})
    clips = {}
    train = training.train

    def watched(*given: Any, **named: Any) -> Any:
        for part in ("train", "validation"):
            clips[part] = named[f"{part}_examples"].clips
        return train(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", watched)
        report = run_training(settings, folder)
    assert report.trained.steps == 2
    assert [row[1] for row in read_curve(folder / "curve.csv")].count("train") == 2
    assert (report.train_clips, report.validation_clips) == tuple(map(len, clips.values()))
    return Learnt(report, folder, clips)


@pytest.fixture(scope="module")
def audiocaps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of all three splits: captions of three clips to train on, of two to choose by."""
    root = tmp_path_factory.mktemp("audiocaps")
    captions = {
        "train": {"train_dog_1": ["A dog barks"], "train_rain1": ["Rain falls"]}
        | {"train_bell1": ["A bell rings"], "train_gone1": ["Nobody can hear this"]},
        "val": {"val_sheep_1": ["Sheep bleat", "A flock"], "val_train_1": ["A train passes"]},
        "test": {"test_horn_1": ["A horn is blown"]},
    }
    for split, clips in captions.items():
        rows = [(clip, caption) for clip, texts in clips.items() for caption in texts]
        table = [(f"{split}{number}", clip, 30, text) for number, (clip, text) in enumerate(rows)]
        write_table(root / "dataset" / f"{split}.csv", table)
        for seed, clip in enumerate(clips):
            if "gone" not in clip:  # as many of YouTube's are
                write_clip(root / split / f"Y{clip}.wav", seed=seed)
    return root


def test_lassnet_learns_the_captions_of_audiocaps_train_split_and_is_chosen_on_val(
    audiocaps: Path, tmp_path: Path
) -> None:
    learnt = learn("lassnet", "audiocaps", audiocaps, tmp_path, WORDS)

    assert learnt.ids("train") == {"train_dog_1", "train_rain1", "train_bell1"}
    assert learnt.ids("validation") == {"val_sheep_1", "val_train_1"}
    assert learnt.texts("validation") == {"Sheep bleat", "A flock", "A train passes"}
    assert learnt.written("lassnet").names == (
        *("a", "barks", "bell", "dog", "falls", "rain", "rings"),
    )


def test_audiocaps_without_its_val_split_names_the_splits_there_are(
    audiocaps: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"data\.validation_folds of .* of test, train, val"):
        learn("lassnet", "audiocaps", audiocaps, tmp_path, {"data.validation_folds": ["dev"]})


def test_unet_tag_learns_the_classes_of_the_audioset_clips_that_are_there(tmp_path: Path) -> None:
    root, ids = tmp_path / "audioset", list(class_names())
    classes = {
        "a_speaks_12": (0, 4),
        "b_whisper_1": (15,),
        "c_applause1": (63,),
        "d_cat______": (81,),
    }
    rows = [
        f'{clip}, 0.000, 10.000, "{",".join(ids[k] for k in numbers)}"'
        for clip, numbers in {**classes, "e_gone_dog1": (74,)}.items()
    ]
    root.mkdir()
    (root / "balanced_train_segments.csv").write_text("# YTID, …\n" * 3 + "\n".join(rows) + "\n")
    for seed, clip in enumerate(classes):
        write_tone(_made(root / "balanced_train" / f"Y{clip}.wav"), seed)

    learnt = learn("unet-tag", "audioset", root, tmp_path / "made", {"data.validation_share": 0.5})

    names = list(class_names().values())
    assert learnt.ids("train") | learnt.ids("validation") == classes.keys()
    assert not learnt.ids("train") & learnt.ids("validation")
    assert learnt.written("unet-tag").names == tuple(sorted(names[k] for k in (0, 4, 15, 63, 81)))
    tags = {item.clip.clip_id: len(item.tags) for part in learnt.clips.values() for item in part}
    assert tags["a_speaks_12"] == 2


ESC10 = {"0": "dog", "1": "rooster", "10": "rain"}
LEFT_OUT = ("1-40730-A", "2-96460-A")  # by the recipe, for their licence


@pytest.fixture(scope="module")
def esc50(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of three classes of ESC-10 in each fold, one of a class that it has not."""
    root = tmp_path_factory.mktemp("esc50")
    names = [
        f"{fold}-{fold}{take}0{number}-A-{number}.wav"
        for fold in range(1, 6)
        for number in ESC10
        for take in range(2)
    ]
    names += ["1-99-A-40.wav", *(f"{name}-1.wav" for name in LEFT_OUT)]
    names.append("2-30010-B-10.wav")  # a recording that fold 3 has too
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for seed, name in enumerate(names):
        fold, source, take, number = name.removesuffix(".wav").split("-")
        label = {**ESC10, "40": "helicopter_of_ours"}[number]
        lines.append(f"{name},{fold},{number},{label},True,{source},{take}")
        write_tone(_made(root / "audio" / name), seed)
    _made(root / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    return root


def test_the_small_recipes_learn_folds_1_and_2_of_esc10_and_are_chosen_on_3(
    esc50: Path, tmp_path: Path
) -> None:
    learnt = learn("unet-tag-small", "esc50", esc50, tmp_path)

    folds = {part: {item.clip.fold for item in clips} for part, clips in learnt.clips.items()}
    assert folds == {"train": {"1", "2"}, "validation": {"3"}}
    assert (len(learnt.ids("train")), len(learnt.ids("validation"))) == (2 * 6, 6)
    assert not learnt.ids("train") & set(LEFT_OUT)
    assert learnt.written("unet-tag").names == tuple(sorted(ESC10.values()))
    record = learnt.written("unet-tag").facts
    assert (record["datasets"], record["train_clips"]) == (["esc50"], 12)


def test_a_recording_of_the_held_out_fold_is_learnt_in_no_other(
    esc50: Path, tmp_path: Path
) -> None:
    learnt = learn(
        "lassnet-small", "esc50", esc50, tmp_path, {**WORDS, "network.word_dropout": 0.0}
    )

    assert (esc50 / "audio" / "2-30010-B-10.wav").is_file()
    assert "3-30010-A" in learnt.ids("validation")
    assert "30010" not in {item.clip.origin for item in learnt.clips["train"]}
    assert {"dog", "rooster", "rain"} <= set(learnt.written("lassnet").names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six sounds of three labels, the first asked by two texts and the last by its label alone."""
    root = tmp_path_factory.mktemp("folder")
    queries = ["a dog barks", "rain falls", "a cat meows", "barking", "drizzle", ""]
    labels = ["dog", "rain", "cat"] * 2
    lines = ["target,query,label,source:other", "sound-0.wav,woof,dog,sound-1.wav"]
    for number, (query, label) in enumerate(zip(queries, labels, strict=True)):
        write_tone(root / f"sound-{number}.wav", number)
        lines.append(f"sound-{number}.wav,{query},{label},sound-{(number + 1) % 6}.wav")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def test_lassnet_learns_the_queries_of_a_folders_manifest(folder: Path, tmp_path: Path) -> None:
    drawn = {"data.train_folds": [], "data.validation_folds": [], "data.validation_share": 0.4}

    learnt = learn("lassnet", "folder", folder, tmp_path, {**WORDS, **drawn})

    every = learnt.ids("train") | learnt.ids("validation")
    texts = {item.clip.clip_id: set(item.texts) for part in learnt.clips.values() for item in part}
    words = {word for text in learnt.texts("train") for word in text.split()}
    assert every == {f"sound-{number}.wav" for number in range(6)}
    assert not learnt.ids("train") & learnt.ids("validation")
    assert texts["sound-0.wav"] == {"woof", "a dog barks"}
    assert texts["sound-5.wav"] == {"cat"}
    assert learnt.written("lassnet").names == tuple(sorted(words))


def test_a_folder_has_no_splits_to_name(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.train_folds .*or \[\] to draw a share"):
        learn("lassnet", "folder", folder, tmp_path, WORDS)


def test_unet_tag_learns_the_labels_of_a_folder_and_of_esc50_together(
    folder: Path, esc50: Path, tmp_path: Path
) -> None:
    settings = resolve_training(
        "unet-tag",
        datasets=["folder", "esc50"],
        overrides=[f"datasets.folder.root={folder}", f"datasets.esc50.root={esc50}"],
    )
    changes = {**SIZES, "data.labels": ["dog", "cat"], "data.validation_share": 0.4}

    report = run_training(with_changes(settings, changes), tmp_path)

    assert read_sized(report.files[0], "unet-tag").names == ("cat", "dog")
    assert report.train_clips + report.validation_clips == 4 + 10  # of the folder, of ESC-50


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
