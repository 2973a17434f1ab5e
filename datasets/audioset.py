"""AudioSet (Gemmeke et al., ICASSP 2017) as AudioSep evaluates on it: 527 classes × 10 mixtures.

The evaluator lists the folders `class_id={k}/` and takes the first ten pairs of each in sorted
order, so this does too. AudioSep's download holds ten pairs a class, at
`class_id={k},index={n},source.wav` and `...,mixture.wav`. The set that the Universal Source
Separation project shares has the same names, 100 pairs a class: its first ten are other mixtures,
so they are a list of their own, which published numbers are never compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from sepbench.datasets.audiosep_lists import (
    LISTS,
    MIXING,
    PACKAGE,
    REVISION,
    folder_of,
    load_pair,
    require_mixtures,
)
from sepbench.datasets.manifest import (
    csv_lines,
    lies_in,
    read_table,
    refuse_duplicates,
    require_list,
    require_pool,
    require_root,
)
from sepbench.harness.api import Clip, DatasetCard, ListCard, Scene, SceneRow, TargetRow
from sepbench.harness.audio import resolve_inside
from sepbench.harness.errors import ManifestError

CLASSES_FILE = "audioset_classes.csv"
PAIRS_PER_CLASS = 10
PATTERN = "class_id=*/*,mixture.wav"
SOURCE, MIXTURE = ",source.wav", ",mixture.wav"
# Scenes do not say which videos they were made of, so examples come from the training split alone.
POOL_SPLIT = "balanced_train"
SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a")

CARD = DatasetCard(
    name="audioset",
    summary="5,270 mixtures of two sounds, ten for each of 527 classes.",
    licence="annotations CC BY 4.0; lists MIT (AudioSep); the sound belongs to the uploaders",
    lists=(
        ListCard(
            name="audiosep",
            revision=f"{REVISION}/1",
            mixing=MIXING,
            summary="AudioSep's mixtures as distributed, ten a class.",
            expected_scenes=5270,
        ),
        ListCard(
            name="first-ten",
            revision="1",
            mixing="finished mixtures of a set with AudioSep's names; gains not public",
            summary="The first ten pairs a class of any such set, in sorted order.",
            expected_scenes=5270,
        ),
    ),
    protocols=("audioset-audiosep",),
    pools=("train-clips",),
    where=f"the evaluation data named in the README of {PACKAGE} (folder audioset).",
    citation="J. F. Gemmeke et al., Audio Set, ICASSP 2017; X. Liu et al., Separate Anything You "
    "Describe, 2023",
    sample_rate=32000,
    steps=(
        f"Follow the link to the evaluation data in the README of {PACKAGE} and download the "
        "folder audioset, with its 527 folders class_id=….",
        "For example queries, put balanced_train_segments.csv and clips named Y{id}.wav into the "
        "root, or the clips into balanced_train.",
    ),
)


class AudioSet:
    """AudioSep's mixtures as scenes, clips of the balanced training split as clips.

    Args:
        root: folder that holds the `class_id=…` folders, or one above it in AudioSep's layout.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root

    def default_protocol(self) -> str:
        """The corpus has one protocol.

        Raises:
            MissingRootError: no folder, or no mixtures in it.
        """
        require_mixtures(require_root(self.root, self.card), self.card, PATTERN)
        return "audioset-audiosep"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """Ten rows a class; what is not on disk is named as AudioSep's download names it.

        Raises:
            MissingRootError: no folder.
            ManifestError: list `audiosep`, and a class has more than ten pairs.
        """
        require_list(list_name, self.card)
        root = require_root(self.root, self.card)
        rows: list[SceneRow] = []
        for number, label in enumerate(class_names().values()):
            folder = _class_folder(root, number)
            found = _pairs(root / folder)
            if list_name == "audiosep" and len(found) > PAIRS_PER_CLASS:
                raise ManifestError(
                    f"Dataset audioset: {root / folder} holds {len(found)} pairs; AudioSep's "
                    f"download has {PAIRS_PER_CLASS} a class, so this is another set. Point the "
                    "root to AudioSep's, or score the list 'first-ten' in a protocol of your own."
                )
            named = [f"class_id={number},index={index:03d}" for index in range(PAIRS_PER_CLASS)]
            pairs = sorted({*found, *named[len(found) :]}) if len(found) < len(named) else found
            for index, pair in enumerate(pairs[:PAIRS_PER_CLASS]):
                rows.append(_row(number, label, index, pair))
        return rows

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """One finished mixture.

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
        name = f"class_id={row.details['class']}/{row.details['pair']}"
        folder = folder_of(root, self.card.name, name + MIXTURE)
        return folder + name + SOURCE, folder + name + MIXTURE

    def clips(self, pool: str) -> Sequence[Clip]:
        """Clips on disk as `Y{id}` in the root or in a folder of the split's name.

        Raises:
            MissingRootError: no folder.
            ManifestError: `balanced_train_segments.csv` cannot be understood.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        table = root / f"{POOL_SPLIT}_segments.csv"
        if not table.is_file():
            return ()
        clips = tuple(_clips(root, table))
        refuse_duplicates((clip.clip_id for clip in clips), table, "clip")
        return clips


@cache
def class_names() -> Mapping[str, str]:
    """AudioSet's id of a class -> its display name, in the order of their numbers."""
    rows = read_table(LISTS / CLASSES_FILE, ("index", "mid", "display_name"))
    return {row["mid"]: row["display_name"] for row in rows}


def _class_folder(root: Path, number: int) -> str:
    name = f"class_id={number}"
    for folder in ("", "audioset/", "data/audioset/", "evaluation/data/audioset/"):
        if (root / folder / name).is_dir():
            return folder + name
    return name


def _pairs(folder: Path) -> list[str]:
    """What both files of each pair begin with, in sorted order."""
    if not folder.is_dir():
        return []
    names = {path.name for path in folder.iterdir()}
    stems = {name.removesuffix(SOURCE) for name in names if name.endswith(SOURCE)}
    stems |= {name.removesuffix(MIXTURE) for name in names if name.endswith(MIXTURE)}
    return sorted(stem for stem in stems if not stem.startswith("._"))


def _row(number: int, label: str, index: int, pair: str) -> SceneRow:
    return SceneRow(
        scene_id=f"{number:03d}-{index:03d}",
        targets=(
            TargetRow(
                name=label,
                label=label,
                texts=(label,),
                cluster=pair,
            ),
        ),
        details={"class": number, "pair": pair},
    )


def _clips(root: Path, table: Path) -> Iterator[Clip]:
    for clip_id, labels in segment_rows(table):
        path = find_clip(root, POOL_SPLIT, clip_id)
        if path is not None:
            yield Clip(clip_id=clip_id, path=path, labels=labels, fold=POOL_SPLIT, origin=clip_id)


def find_clip(root: Path, split: str, clip_id: str) -> Path | None:
    """The recording of a clip, `Y{id}` in the root or in a folder of the split's name."""
    folders = (f"{split}/", f"{split}_segments/", "")
    candidates = (f"{folder}Y{clip_id}{suffix}" for folder in folders for suffix in SUFFIXES)
    found = next((name for name in candidates if lies_in(root, name)), None)
    return None if found is None else resolve_inside(root, found)


def segment_rows(table: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Id and labels of every clip of a split, from AudioSet's `…_segments.csv`.

    Raises:
        ManifestError: it cannot be understood.
    """
    names = class_names()
    for number, fields in csv_lines(table, blanks=True):
        if fields[0].startswith("#"):
            continue
        classes = fields[3].split(",") if len(fields) == 4 else []
        if not classes or not names.keys() >= set(classes):
            raise ManifestError(
                f"{table}, line {number}, is not 'id, start, end, \"classes\"' with AudioSet's "
                "classes. Restore the file."
            )
        yield fields[0], tuple(names[each] for each in classes)
