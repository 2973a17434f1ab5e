"""Clotho (Drossos et al., ICASSP 2020) as AudioSep evaluates on it: 5,225 mixtures of three clips.

1,045 clips of the evaluation split with five captions each; every caption is a row with two
interfering clips of its own. In nine rows the target is one of its own interfering clips; they
stay, marked, because the published mean has them. Captions are asked as they stand in the list,
outer blanks of four of them included.

The list names the column `noise_wav1` twice, and names of files hold commas and blanks. It quotes
Clotho's captions, whose licence does not let us ship it: the user's copy is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sepbench.datasets.audiosep_lists import (
    MIXING,
    PACKAGE,
    REVISION,
    ListFile,
    find_list,
    load_premixed,
    premixed_names,
    read_rows,
    refuse_other_revision,
    require_mixtures,
    row_number,
)
from sepbench.datasets.manifest import (
    read_table,
    refuse_duplicates,
    require_list,
    require_pool,
    require_root,
)
from sepbench.harness.api import (
    Clip,
    DatasetCard,
    ListCard,
    RemoteFile,
    Scene,
    SceneRow,
    TargetRow,
)
from sepbench.harness.audio import resolve_inside
from sepbench.harness.errors import MissingFileError

LIST = ListFile(
    name="clotho_eval.csv",
    header=("idx", "caption", "src_wav", "noise_wav1", "noise_wav1"),
    digests="clotho_audiosep_digests.csv",
)
SPLITS = ("development", "validation", "evaluation")
CAPTIONS = tuple(f"caption_{number}" for number in range(1, 6))
# Pools leave out the evaluation split: its clips are the targets.
POOL_SPLITS = ("development", "validation")

CARD = DatasetCard(
    name="clotho",
    summary="5,225 mixtures of three clips, asked for by captions.",
    licence="captions: Tampere University licence, non-commercial with attribution; clips: each "
    "its own Creative Commons licence",
    lists=(
        ListCard(
            name="audiosep",
            revision=f"{REVISION}/1",
            mixing=MIXING,
            summary="AudioSep's mixtures as distributed.",
            expected_scenes=5225,
        ),
    ),
    protocols=("clotho-audiosep",),
    pools=("clips",),
    where=f"the evaluation data named in the README of {PACKAGE} (folder clotho), and beside it "
    f"{LIST.name} from its folder evaluation/metadata; clips: doi.org/10.5281/zenodo.3490683.",
    citation="K. Drossos et al., Clotho, ICASSP 2020; X. Liu et al., Separate Anything You "
    "Describe, 2023",
    sample_rate=32000,
    steps=(
        f"Follow the link to the evaluation data in the README of {PACKAGE} and download the "
        "folder clotho (segment-*.wav and mixture-*.wav).",
        f"Put {LIST.name} into the same folder: `bench data prepare clotho --yes` fetches it.",
        "For example queries, unpack the development and validation archives of "
        "doi.org/10.5281/zenodo.3490683 into folders of these names, with their "
        "clotho_captions_*.csv beside them.",
    ),
    remote=(
        RemoteFile(
            name=LIST.name,
            url=f"https://{PACKAGE}/raw/944583f/evaluation/metadata/{LIST.name}",
            size=780289,
            sha256="e56084e442bc6afa05e845ca5aa3cea079bc15fa644bf4b19db9d95e4d5fd6d4",
            licence="captions: Tampere University licence, non-commercial with attribution",
        ),
    ),
)


class Clotho:
    """AudioSep's mixtures as scenes, captioned clips of the other splits as clips.

    Args:
        root: folder of the mixtures, or one above it in AudioSep's layout.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._scenes: tuple[SceneRow, ...] | None = None

    def default_protocol(self) -> str:
        """The corpus has one protocol.

        Raises:
            MissingRootError: no folder, or no mixtures in it.
        """
        require_mixtures(require_root(self.root, self.card), self.card)
        return "clotho-audiosep"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """All rows of the user's list, in its order.

        Raises:
            MissingRootError: no folder.
            MissingFileError: no list.
            ManifestError: a row is not the published one.
        """
        require_list(list_name, self.card)
        root = require_root(self.root, self.card)
        if self._scenes is None:
            self._scenes = tuple(_rows(find_list(root, LIST, self.card.name)))
        return self._scenes

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
        """Development and validation clips on disk, with five captions each, without labels.

        Raises:
            MissingRootError: no folder.
            ManifestError: a table of captions cannot be understood.
            UnsafePathError: it names a file outside the root.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        clips = tuple(clip for split in POOL_SPLITS for clip in _clips(root, split))
        refuse_duplicates((clip.clip_id for clip in clips), root, "clip")
        return clips


def _rows(path: Path) -> Iterator[SceneRow]:
    rows = read_rows(path, LIST)
    numbers = [row_number(fields[0], path) for fields in rows]
    refuse_other_revision(rows, numbers, path, LIST)
    for number, (_, caption, target, *others) in zip(numbers, rows, strict=True):
        yield SceneRow(
            scene_id=f"{number:04d}",
            targets=(
                TargetRow(
                    name="target",
                    texts=(caption,),
                    cluster=target,
                    attributes={"target_among_interference": target in others},
                ),
            ),
            origins=tuple(dict.fromkeys((target, *others))),
            details={
                "index": number,
                "target": target,
                "interference": others,
            },
        )


def _clips(root: Path, split: str) -> Iterator[Clip]:
    table = root / f"clotho_captions_{split}.csv"
    if not table.is_file():
        return
    for row in read_table(table, ("file_name", *CAPTIONS)):
        name = row["file_name"]
        try:
            path = resolve_inside(root, f"{split}/{name}")
        except MissingFileError:  # pools hold what is on disk
            continue
        yield Clip(
            clip_id=f"{split}/{name}",
            path=path,
            captions=tuple(row[column] for column in CAPTIONS),
            fold=split,
            origin=name,
        )
