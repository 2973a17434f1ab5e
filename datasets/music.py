"""MUSIC (Zhao et al., ECCV 2018) as AudioSep evaluates on it: 5,004 mixtures of two instruments.

556 ten-second segments of 46 solo videos, nine interfering segments each, named by instrument.
Instruments are very unevenly represented (violin 1,260 mixtures, flute 117), so the published
number is the mean of ten means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from sepbench.datasets.audiosep_lists import (
    LISTS,
    MIXING,
    PACKAGE,
    REVISION,
    ListFile,
    clip_names,
    load_premixed,
    premixed_names,
    read_rows,
    require_mixtures,
)
from sepbench.datasets.manifest import require_list, require_pool, require_root
from sepbench.harness.api import Clip, DatasetCard, ListCard, Scene, SceneRow, TargetRow
from sepbench.harness.errors import ManifestError

LIST = ListFile(name="music_audiosep.csv", header=("idx", "caption", "src_wav", "noise_wav"))
SEGMENT = re.compile(r"Y(.{11})_(\d+)\.wav")  # video and number of the ten-second segment
SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".mp4")
# Folders of instruments, as the corpus's own download script and later copies lay them out.
SOLO_FOLDERS = ("", "solo", "audio", "solo/audio")

CARD = DatasetCard(
    name="music",
    summary="5,004 mixtures of two instruments from solo videos, ten instruments.",
    licence="lists MIT (AudioSep); the sound belongs to the videos' uploaders",
    lists=(
        ListCard(
            name="audiosep",
            revision=f"{REVISION}/1",
            mixing=MIXING,
            summary="AudioSep's mixtures as distributed.",
            expected_scenes=5004,
        ),
    ),
    protocols=("music-audiosep",),
    pools=("solos",),
    where=f"the evaluation data named in the README of {PACKAGE} (folder music).",
    citation="H. Zhao et al., The Sound of Pixels, ECCV 2018; X. Liu et al., Separate Anything "
    "You Describe, 2023",
    sample_rate=32000,
    steps=(
        f"Follow the link to the evaluation data in the README of {PACKAGE} and download the "
        "folder music.",
        "For example queries, put solo recordings into folders named by instrument (solo/cello).",
    ),
)


class Music:
    """AudioSep's mixtures as scenes, solo recordings as clips.

    Args:
        root: folder of the mixtures, or one above it in AudioSep's layout.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root

    def default_protocol(self) -> str:
        """The corpus has one protocol.

        Raises:
            MissingRootError: no folder, or no mixtures in it.
        """
        require_mixtures(require_root(self.root, self.card), self.card)
        return "music-audiosep"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """All rows of the list, whichever files are on disk.

        Raises:
            MissingRootError: no folder.
        """
        require_list(list_name, self.card)
        require_root(self.root, self.card)
        return _rows()

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """One finished mixture.

        Raises:
            DatasetError: a file is missing or cannot be used.
        """
        root = require_root(self.root, self.card)
        return load_premixed(root, self.card.name, row, sample_rate, mono=mono)

    def files(self, row: SceneRow) -> Sequence[str]:
        """Names of target and mixture.

        Raises:
            MissingRootError: no folder.
        """
        return premixed_names(require_root(self.root, self.card), self.card.name, row)

    def clips(self, pool: str) -> Sequence[Clip]:
        """Solo recordings in folders named by instrument, blanks or underscores in the name.

        Raises:
            MissingRootError: no folder.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        labels = sorted({row.targets[0].label or "" for row in _rows()})
        return tuple(
            Clip(
                clip_id=f"{label}/{Path(name).stem}",
                path=root / folder / written / name,
                labels=(label,),
                origin=_video(name),
            )
            for folder in SOLO_FOLDERS
            for label in labels
            for written in dict.fromkeys((label, label.replace(" ", "_")))
            for name in clip_names(root / folder / written, SUFFIXES)
        )


def _video(name: str) -> str:
    """YouTube id in `{id}.wav`, `Y{id}.wav` or either with `_{segment}`."""
    found = re.match(r"Y?(.{11})(?:_\d+)?\.\w+$", name)
    return found.group(1) if found else Path(name).stem


@cache
def _rows() -> tuple[SceneRow, ...]:
    return tuple(_read())


def _read() -> Iterator[SceneRow]:
    path = LISTS / LIST.name
    for index, label, target, interference in read_rows(path, LIST):
        videos = []
        for name in (target, interference):
            match = SEGMENT.fullmatch(name)
            if match is None:
                raise ManifestError(f"{path}: '{name}' is no segment's name. Restore the file.")
            videos.append(match.group(1))
        yield SceneRow(
            scene_id=f"{int(index):04d}",
            targets=(
                TargetRow(
                    name=label,
                    label=label,
                    texts=(label,),
                    cluster=videos[0],
                ),
            ),
            origins=tuple(videos),
            details={
                "index": int(index),
                "target": target,
                "interference": interference,
            },
        )
