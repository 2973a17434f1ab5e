"""Takes finished trainings of the small baselines into the package.

    python docs/small_weights.py train-results --esc10 FOLDER [--again FOLDER]

FOLDER of `--esc10` holds its recordings with `meta.csv` (author, licence and page of each).
Copies the four separators' weights to `baselines/small/weights`, writes beside them who made the
recordings that they learned from and were chosen by, and takes curves, records and settings of all
six trainings to `docs/curves`; of repeated ones (`--again`), to `docs/curves/again`.
`python docs/small_baselines.py` scores what is then in the package.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from sepbench.baselines.small.places import FOLDER
from sepbench.harness.api import Clip
from sepbench.harness.run.training import open_clips
from sepbench.harness.training.clips import TrainingClip, choose_clips
from sepbench.harness.training.settings import resolve_training

CURVES = Path(__file__).parent / "curves"
SEPARATORS = {
    "lassnet-small": "lassnet",
    "unet-tag-small": "unet_tag",
    "audiosep-small": "audiosep",
    "stsed-small": "stsed",
}
# What two of them are conditioned on, and the prefix of its tensors in their files.
FIRST = {
    "audiosep-small": ("contrastive-small/contrastive.safetensors", "encoder."),
    "stsed-small": ("stsed-sed-small/detector.safetensors", "detector."),
}
LICENCES = ("CC0", "CC-BY")
MOST_BYTES = 4 * 2**20
COLUMNS = ("clip", "class", "fold", "use", "author", "licence", "source_page")


def main() -> None:
    """Check, then copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path, help="what `bench train` has written, all six")
    parser.add_argument("--esc10", type=Path, required=True)
    parser.add_argument("--again", type=Path, help="the same or another seed, some or all of them")
    choice = parser.parse_args()
    attributions = list(attribution_rows(choice.esc10))
    weights = {
        name: choice.trained / recipe / f"{name}.safetensors" for recipe, name in SEPARATORS.items()
    }
    for file in weights.values():
        if file.stat().st_size > MOST_BYTES:
            raise SystemExit(f"{file} has {file.stat().st_size} bytes, more than {MOST_BYTES}.")
    for recipe, (file, prefix) in FIRST.items():
        refuse_another(weights[SEPARATORS[recipe]], choice.trained / file, prefix)
    FOLDER.mkdir(exist_ok=True)
    for name, file in weights.items():
        shutil.copyfile(file, FOLDER / f"{name}.safetensors")
    with (FOLDER / "attribution.csv").open("w", encoding="utf-8", newline="") as opened:
        table = csv.DictWriter(opened, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(attributions)
    for recipe in (*SEPARATORS, *(file.split("/")[0] for file, _ in FIRST.values())):
        take_record(choice.trained / recipe, CURVES)
    if choice.again is not None:
        for file in sorted(choice.again.glob("*/training.json")):
            take_record(file.parent, CURVES / "again")


def take_record(folder: Path, target: Path) -> None:
    """Copy a training's curve, its record and its settings, without what says where it ran."""
    target.mkdir(exist_ok=True)
    shutil.copyfile(folder / "curve.csv", target / f"{folder.name}.csv")
    record = json.loads((folder / "training.json").read_text("utf-8"))
    for key in ("command", "platform"):
        record["made_with"].pop(key, None)
    settings = json.loads((folder / "settings.json").read_text("utf-8"))["settings"]
    for key, value in settings["network"].items():
        if key.endswith("_checkpoint") and value is not None:
            settings["network"][key] = Path(value).name
    record["settings"] = settings
    text = json.dumps(record, indent=2) + "\n"
    (target / f"{folder.name}.json").write_text(text, "utf-8")


def refuse_another(separator: Path, first: Path, prefix: str) -> None:
    """What a separator's file holds of its first stage has to be the training that is shown.

    Raises:
        SystemExit: it is another one.
    """
    inside = load_file(separator)
    for name, value in load_file(first).items():
        found = inside.get(prefix + name)
        if found is None or not np.array_equal(found, value):
            raise SystemExit(f"{separator} was trained on another {first.name}: {name} differs.")


def attribution_rows(esc10: Path) -> Iterator[dict[str, str]]:
    """A row for each clip that the recipes use.

    Raises:
        SystemExit: a clip under another licence.
    """
    with (esc10 / "meta.csv").open(encoding="utf-8", newline="") as opened:
        meta = {Path(row["filename"]).stem: row for row in csv.DictReader(opened)}
    for use, clip in used_clips(esc10):
        row = meta[clip.clip_id]
        if row["license"] not in LICENCES:
            raise SystemExit(f"{clip.clip_id} is under {row['license']}: leave it out.")
        yield {
            "clip": clip.clip_id,
            "class": clip.labels[0],
            "fold": str(clip.fold),
            "use": use,
            "author": row["freesound_author"],
            "licence": row["license"],
            "source_page": row["freesound_url"],
        }


def used_clips(esc10: Path) -> Iterator[tuple[str, Clip]]:
    """Which clips the recipes learn from, and which choose; the same for all of them."""
    settings = resolve_training("lassnet-small", overrides=[f"datasets.esc50.root={esc10}"])
    clips = choose_clips(open_clips(settings), settings.data, settings.seed)
    parts: dict[str, tuple[TrainingClip, ...]] = {
        "training": clips.train,
        "choice": clips.validation,
    }
    for use, part in parts.items():
        for each in sorted(part, key=lambda each: each.clip.clip_id):
            yield use, each.clip


if __name__ == "__main__":
    main()
