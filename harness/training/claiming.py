"""Whose a training's folder is: one training's, from its settings down to the clips it learns."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sepbench.harness.errors import UsageError
from sepbench.harness.training.clips import TrainingClips
from sepbench.harness.training.settings import TrainSettings

SETTINGS_FILE = "settings.json"
CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"


def clips_digest(clips: TrainingClips) -> str:
    """Changes with the clips, their parts, classes and texts; not with where they lie."""
    rows = [
        [part, item.clip.clip_id, [clips.classes[tag] for tag in item.tags], list(item.texts)]
        for part, items in (("train", clips.train), ("validation", clips.validation))
        for item in items
    ]
    text = json.dumps([clips.classes, rows], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def claim(folder: Path, settings: TrainSettings, clips: TrainingClips) -> Mapping[str, Any]:
    """Refuse to go on with another training than a folder was begun with; else write its settings.

    Returns:
        What was written: recipe, settings, digests of their files and of the clips.

    Raises:
        UsageError: says what differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / SETTINGS_FILE
    now = {
        "recipe": settings.recipe,
        "settings": json.loads(json.dumps(settings.identity)),
        "files": dict(settings.file_digests),
        "clips": clips_digest(clips),
    }
    before = _read(file)
    checkpoints = folder / CHECKPOINTS
    if (checkpoints / LAST).is_file():
        if before is None:
            raise UsageError(
                f"{file} is missing or damaged, so nobody knows whether the checkpoints beside it "
                "are of this training. Name another folder with -o."
            )
        other = _differences(before, now)
        if other:
            raise UsageError(
                f"{folder} holds a training with other settings ({', '.join(other)}). Go on with "
                "the same ones, or name another folder with -o."
            )
    elif (
        checkpoints.is_dir()
        and any(checkpoints.iterdir())
        and (before is None or _differences(before, now))
    ):
        raise UsageError(f"{folder} holds checkpoints of something else. Name another with -o.")
    draft = file.with_suffix(f".{os.getpid()}")  # several processes may claim it together
    draft.write_text(json.dumps(now, indent=2) + "\n", "utf-8")
    draft.replace(file)
    return now


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not as it was, in words."""
    held, asked = before["settings"], now["settings"]
    other = [name for name in sorted({*held, *asked}) if held.get(name) != asked.get(name)]
    read, digests = before.get("files", {}), now["files"]
    other += [
        f"the file of {key} has changed"
        for key in sorted({*read} & {*digests})
        if read[key] != digests[key]
    ]
    if before.get("clips", now["clips"]) != now["clips"]:
        other.append("the clips, their labels or their texts have changed")
    return other


def _read(file: Path) -> dict[str, Any] | None:
    """What a folder was begun with; None where that is missing or damaged."""
    try:
        held = json.loads(file.read_text("utf-8"))
        return held if isinstance(held["settings"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
