"""VGGSound (Chen et al., ICASSP 2020) as AudioSep evaluates on it ("VGGSound+"): 1,000 mixtures.

100 hand-checked target clips with ten interfering clips each. Names join both clips by "+++", may
begin with "-", and labels hold commas; in two rows both clips carry the same label.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from sepbench.datasets.audiosep_lists import (
    LISTS,
    MIXING,
    PACKAGE,
    REVISION,
    ListFile,
    folder_of,
    holds,
    load_pair,
    read_rows,
)
from sepbench.datasets.manifest import refuse_duplicates, require_list, require_pool, require_root
from sepbench.harness.api import Clip, DatasetCard, ListCard, Scene, SceneRow, TargetRow
from sepbench.harness.errors import ManifestError, MissingRootError

LIST = ListFile(
    name="vggsound_audiosep.csv",
    header=("file_id", "mix_wav", "s0_wav", "s0_text", "s1_wav", "s1_text"),
)
JOINT = "+++"  # between the two clips of a name, each an id, "_" and the start in six digits
TABLE = "vggsound.csv"  # id, start, label, split; no header
FOLDERS = ("", "audio", "train", "audio/train")
SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".mp4")

CARD = DatasetCard(
    name="vggsound",
    summary="1,000 mixtures of two sound clips, 100 targets × 10, named by class.",
    licence="annotations CC BY 4.0; lists MIT (AudioSep); the sound belongs to the uploaders",
    lists=(
        ListCard(
            name="audiosep",
            revision=f"{REVISION}/1",
            mixing=MIXING,
            summary="AudioSep's mixtures as distributed.",
            expected_scenes=1000,
        ),
    ),
    protocols=("vggsound-audiosep",),
    pools=("train-clips",),
    where=f"the evaluation data named in the README of {PACKAGE} (folder vggsound); labels of the "
    "clips: vggsound.csv from the project's page.",
    citation="H. Chen et al., VGGSound, ICASSP 2020; X. Liu et al., Separate Anything You "
    "Describe, 2023",
    sample_rate=32000,
    steps=(
        f"Follow the link to the evaluation data in the README of {PACKAGE} and download the "
        "folder vggsound (data/mix_wav and data/s0_wav).",
        "For example queries, put vggsound.csv from the project's page and the training clips, "
        "named {id}_{start, six digits}.wav, into train.",
    ),
)


class VggSound:
    """AudioSep's mixtures as scenes, clips of the training split as clips.

    Args:
        root: folder that holds `data/mix_wav` and `data/s0_wav`, or one above it in AudioSep's
            layout.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root

    def default_protocol(self) -> str:
        """The corpus has one protocol.

        Raises:
            MissingRootError: no folder, or no mixtures in it.
        """
        root = require_root(self.root, self.card)
        if not any(holds(root, self.card.name, f"{inner}mix_wav/*.wav") for inner in ("data/", "")):
            raise MissingRootError(
                f"Dataset vggsound: {root} holds no mixtures (data/mix_wav/*.wav). "
                f"Where to get them: {self.card.where}"
            )
        return "vggsound-audiosep"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """All rows of the list, whichever files are on disk.

        Raises:
            MissingRootError: no folder.
        """
        require_list(list_name, self.card)
        require_root(self.root, self.card)
        return _rows()

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """One finished mixture, found by its path in the list, with or without the first `data`.

        Raises:
            DatasetError: a file is missing or cannot be used.
        """
        root = require_root(self.root, self.card)
        return load_pair(root, row, self.files(row), sample_rate, mono=mono)

    def files(self, row: SceneRow) -> tuple[str, str]:
        """Names of target and mixture.

        Raises:
            MissingRootError: no folder.
        """
        root = require_root(self.root, self.card)
        target, mixture = row.details["target"], row.details["mixture"]
        short = target.removeprefix("data/"), mixture.removeprefix("data/")
        names = (target, mixture)
        folder = folder_of(root, self.card.name, mixture)
        if not (root / folder / mixture).is_file():
            below = folder_of(root, self.card.name, short[1])
            if (root / below / short[1]).is_file():
                folder, names = below, short
        return folder + names[0], folder + names[1]

    def clips(self, pool: str) -> Sequence[Clip]:
        """Clips of the training split that are on disk as `{id}_{start, six digits}`.

        Raises:
            MissingRootError: no folder.
            ManifestError: `vggsound.csv` cannot be understood.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        if not (root / TABLE).is_file():
            return ()
        return tuple(_train_clips(root))


def _train_clips(root: Path) -> Iterator[Clip]:
    files = {
        path.stem: path
        for folder in FOLDERS
        if (root / folder).is_dir()
        for path in sorted((root / folder).iterdir())
        if path.suffix.lower() in SUFFIXES
    }
    path = root / TABLE
    seen: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for fields in (reader := csv.reader(file, strict=True)):
                if len(fields) != 4 or not fields[1].isdecimal():
                    raise ManifestError(
                        f"{path}, line {reader.line_num}, is not 'id,start,label,split'. "
                        "Restore the file."
                    )
                video, start, label, split = fields
                name = f"{video}_{int(start):06d}"
                if split == "train" and name in files:
                    seen.append(name)
                    yield Clip(
                        clip_id=name,
                        path=files[name],
                        labels=(label,),
                        fold=split,
                        origin=video,
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(
            f"{path} cannot be read as a CSV table ({error}). Restore it."
        ) from error
    refuse_duplicates(seen, path, "clip")


@cache
def _rows() -> tuple[SceneRow, ...]:
    return tuple(_read())


def _read() -> Iterator[SceneRow]:
    for number, fields in enumerate(read_rows(LISTS / LIST.name, LIST)):
        pair, mixture, target, label, _, other_label = fields
        clips = pair.split(JOINT)
        yield SceneRow(
            scene_id=f"{number:04d}",
            targets=(
                TargetRow(
                    name=label,
                    label=label,
                    texts=(label,),
                    cluster=clips[0],
                    attributes={"interference": other_label},
                ),
            ),
            origins=tuple(clip.rpartition("_")[0] for clip in clips),
            details={"pair": pair, "target": target, "mixture": mixture},
        )
