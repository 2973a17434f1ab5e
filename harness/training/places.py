"""Where a detector finds the sound of each clip's class; remembered in the training's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sepbench.harness.api.training import Placing
from sepbench.harness.training.examples import Examples, whole_clips

PLACES_FILE = "placed.json"
LONGEST_SECONDS = 10.0  # of a clip in which a class is looked for
CLIPS_AT_ONCE = 8

Places = dict[tuple[str, int], int]  # (clip id, class) -> first sample


def find_places(
    claimed: Mapping[str, Any],
    examples: Mapping[str, Examples],
    placing: Placing,
    folder: Path,
) -> dict[str, Places]:
    """Where the clips are cut, by part. What was found is kept, also of a search that is stopped.

    Args:
        claimed: what the training's folder was claimed with; another network or other data look
            anew.
        examples: part -> its examples.
        placing: the detector's rule.
        folder: of the training.
    """
    made_with = {
        **{key: claimed["settings"][key] for key in ("trainee", "data", "network")},
        **{key: claimed[key] for key in ("files", "clips")},
    }
    file = folder / PLACES_FILE
    known = _read(file, made_with)
    found = {part: known.get(part, {}) for part in examples}
    before = _count(found)
    try:
        for part, each in examples.items():
            _look(each, placing, found[part])
    finally:
        if _count(found) != before:
            _write(file, made_with, found)
    return found


def _look(examples: Examples, placing: Placing, found: Places) -> None:
    """Add what is not there yet."""
    import torch

    waiting: dict[int, list[tuple[tuple[str, int], Any]]] = {}

    def flush(length: int) -> None:
        rows = waiting.pop(length)
        sounds = torch.stack([torch.from_numpy(samples) for _, samples in rows])
        begins = placing(sounds, torch.tensor([key[1] for key, _ in rows]))
        found.update((key, begin) for (key, _), begin in zip(rows, begins, strict=True))

    for item, tag, samples in whole_clips(examples, LONGEST_SECONDS, without=found):
        key = (item.clip.clip_id, tag)
        if len(samples) <= examples.data.segment:
            continue  # nothing to choose
        rows = waiting.setdefault(len(samples), [])
        rows.append((key, samples.copy()))
        if len(rows) == CLIPS_AT_ONCE:
            flush(len(samples))
    for length in list(waiting):
        flush(length)


def _count(found: Mapping[str, Places]) -> int:
    return sum(map(len, found.values()))


def _read(file: Path, made_with: Mapping[str, Any]) -> dict[str, Places]:
    """What was found with the same network and data; nothing where that is not there or damaged."""
    try:
        held = json.loads(file.read_text("utf-8"))
        if held["made_with"] != made_with:
            return {}
        return {
            part: {(clip_id, tag): at for clip_id, tag, at in each}
            for part, each in held["found"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(file: Path, made_with: Mapping[str, Any], found: Mapping[str, Places]) -> None:
    rows = {part: [[*key, at] for key, at in each.items()] for part, each in found.items()}
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"made_with": made_with, "found": rows}), "utf-8")
    draft.replace(file)
