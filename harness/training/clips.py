"""The clips that a training draws from: chosen, split, numbered, with the texts that ask for them.

Held-out clips share no original recording with those that are trained on.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sepbench.harness.api import Clip
from sepbench.harness.errors import ManifestError, UsageError
from sepbench.harness.mixing import draw_number
from sepbench.harness.training.settings import DataSettings

CAPTION_COLUMNS = ("label", "caption")
_TABLES = "sepbench.harness.training"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingClip:
    """A clip as a recipe draws it.

    Attributes:
        tags: numbers of its classes, ascending; none where the corpus has captions only.
        texts: what it may be asked with; never empty.
    """

    clip: Clip
    tags: tuple[int, ...]
    texts: tuple[str, ...]

    @property
    def origin(self) -> str:
        """The original recording."""
        return self.clip.origin or self.clip.clip_id


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingClips:
    """All clips of a training.

    Attributes:
        classes: names, sorted; tags are numbers in it.
        train: clips to learn from.
        validation: held out.
    """

    classes: tuple[str, ...]
    train: tuple[TrainingClip, ...]
    validation: tuple[TrainingClip, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text that may be asked in training, sorted."""
        return tuple(sorted({text for clip in self.train for text in clip.texts}))


def choose_clips(clips: Sequence[Clip], settings: DataSettings, seed: int) -> TrainingClips:
    """Split and number the clips of a corpus.

    Args:
        clips: all there are.
        settings: which of them count.
        seed: of the split where no folds are named.

    Raises:
        UsageError: nothing is left to train on or to validate with; says what there is.
        ManifestError: the table of captions cannot be read or lacks a class, or a clip has no text.
    """
    wanted = set(settings.labels)
    unknown = set(settings.without) - {clip.clip_id for clip in clips}
    if unknown:
        raise UsageError(
            f"data.without names '{min(unknown)}', and there is no such clip. Name the ids of "
            "clips, or [] to leave out none."
        )
    kept = [
        clip
        for clip in clips
        if clip.clip_id not in settings.without and (not wanted or wanted & set(clip.labels))
    ]
    if not kept:
        known = sorted({label for clip in clips for label in clip.labels})
        raise UsageError(
            f"No clip has one of the labels asked for (data.labels={','.join(settings.labels)}). "
            f"There are {len(clips)} clips{_listed(known)}."
        )
    held = {clip.origin or clip.clip_id for clip in kept if _is_held_out(clip, settings, seed)}
    train = [
        clip
        for clip in kept
        if (clip.origin or clip.clip_id) not in held
        and (not settings.train_folds or (clip.fold or "") in settings.train_folds)
    ]
    validation = [
        clip
        for clip in kept
        if (clip.origin or clip.clip_id) in held
        and (not settings.validation_folds or (clip.fold or "") in settings.validation_folds)
    ]
    for which, found in (("train", train), ("validation", validation)):
        if len({clip.origin or clip.clip_id for clip in found}) < 2:
            folds = sorted({clip.fold or "" for clip in kept} - {""})
            raise UsageError(
                f"Fewer than two recordings are left for data.{which}_folds of {len(kept)} clips"
                f"{_listed(folds)}. Name folds that are there, or [] to draw a share."
            )
    classes = tuple(sorted({name for clip in [*train, *validation] for name in clip.labels}))
    captions = read_captions(settings.captions) if settings.captions else {}
    made = [
        [_training_clip(clip, classes, captions, settings) for clip in part]
        for part in (train, validation)
    ]
    return TrainingClips(classes=classes, train=tuple(made[0]), validation=tuple(made[1]))


def read_captions(name: str) -> dict[str, tuple[str, ...]]:
    """Label -> captions, of a CSV file or of a table that ships with the package.

    Args:
        name: "esc10", or the path of a file with the columns label and caption.

    Raises:
        ManifestError: no such file, other columns, or an empty field.
    """
    shipped = files(_TABLES).joinpath(f"captions/{name}.csv")
    if shipped.is_file():
        text = shipped.read_text("utf-8")
    else:
        try:
            text = Path(name).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"data.captions={name} cannot be read: {error}.") from error
    rows = csv.DictReader(text.splitlines())
    if not set(CAPTION_COLUMNS) <= set(rows.fieldnames or ()):
        raise ManifestError(f"data.captions={name}: its first line must name label and caption.")
    found: dict[str, list[str]] = defaultdict(list)
    for line, row in enumerate(rows, start=2):
        label, caption = ((row[column] or "").strip() for column in CAPTION_COLUMNS)
        if not (label and caption):
            raise ManifestError(f"data.captions={name}, line {line}: an empty field.")
        found[label].append(caption)
    return {label: tuple(captions) for label, captions in found.items()}


def _training_clip(
    clip: Clip,
    classes: Sequence[str],
    captions: Mapping[str, Sequence[str]],
    settings: DataSettings,
) -> TrainingClip:
    labels = clip.labels
    texts: list[str] = list(clip.captions) if settings.own_captions else []
    if not texts and captions:
        missing = [label for label in labels if label not in captions]
        if missing:
            raise ManifestError(
                f"data.captions={settings.captions} has no caption for '{missing[0]}', the class "
                f"of {clip.clip_id}."
            )
        texts = [caption for label in labels for caption in captions[label]]
    if settings.label_text or not texts:
        texts += [label.replace("_", " ") for label in labels]
    if not texts:
        raise ManifestError(f"Clip {clip.clip_id} has neither a caption nor a label to ask for it.")
    return TrainingClip(
        clip=clip,
        tags=tuple(sorted(classes.index(label) for label in labels)),
        texts=tuple(dict.fromkeys(texts)),
    )


def _is_held_out(clip: Clip, settings: DataSettings, seed: int) -> bool:
    if settings.validation_folds:
        return (clip.fold or "") in settings.validation_folds
    if settings.train_folds and (clip.fold or "") not in settings.train_folds:
        return False
    share = draw_number(str(seed), "held out", clip.origin or clip.clip_id) / 2**64
    return share < settings.validation_share


def _listed(names: Iterable[str]) -> str:
    some = list(names)
    more = ", …" if len(some) > 12 else ""
    return f" of {', '.join(some[:12])}{more}" if some else ""
