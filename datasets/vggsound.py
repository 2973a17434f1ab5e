"""VGGSound (Chen et al., ICASSP 2020) as AudioSep evaluates on it ("VGGSound+"): 1,000 mixtures.

100 hand-checked target clips with ten interfering clips each. Names join both clips by "+++", may
begin with "-", and labels hold commas; in two rows both clips carry the same label. CLIPSep's test
over the corpus's own clips is in `vggsound_clipsep.py`.
"""

from __future__ import annotations

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
    folder_of,
    holds,
    load_pair,
    read_rows,
)
from sepbench.datasets.manifest import (
    csv_lines,
    lies_in,
    refuse_duplicates,
    require_list,
    require_pool,
    require_root,
)
from sepbench.datasets.vggsound_clipsep import OTHER, clipsep_rows, excerpt, find_targets
from sepbench.harness.api import Clip, DatasetCard, ListCard, Scene, SceneRow, TargetRow
from sepbench.harness.audio import read_audio, resolve_inside
from sepbench.harness.errors import (
    AudioMismatchError,
    ManifestError,
    MissingFileError,
    MissingRootError,
)

LIST = ListFile(
    name="vggsound_audiosep.csv",
    header=("file_id", "mix_wav", "s0_wav", "s0_text", "s1_wav", "s1_text"),
)
JOINT = "+++"  # between the two clips of a name, each an id, "_" and the start in six digits
TABLE = "vggsound.csv"  # id, start, label, split; no header
FOLDERS = ("", "audio", "train", "audio/train")
TEST_FOLDERS = ("", "audio", "test", "audio/test", "video", "data/vggsound/audio")
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
        ListCard(
            name="clipsep",
            revision="clipsep-22b6f91/1",
            mixing="the plain sum of the middle 65,535 samples at 16 kHz of two clips",
            summary="CLIPSep's 100 hand-checked clips, mixed here with other test clips.",
            expected_scenes=100,
        ),
    ),
    protocols=("vggsound-audiosep", "clipsep"),
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
        "For CLIPSep's test, put test-good.csv of github.com/sony/CLIPSep and vggsound.csv into "
        "the root, and the test clips into test.",
    ),
)


class VggSound:
    """AudioSep's mixtures and CLIPSep's pairs as scenes, clips of the training split as clips.

    Args:
        root: folder that holds `data/mix_wav` and `data/s0_wav`, or one above it in AudioSep's
            layout.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._clipsep: tuple[SceneRow, ...] | None = None
        self._tested: dict[str, str] | None = None

    def default_protocol(self) -> str:
        """AudioSep's mixtures where they are, else CLIPSep's list.

        Raises:
            MissingRootError: no folder, or neither in it.
        """
        root = require_root(self.root, self.card)
        if not any(holds(root, self.card.name, f"{inner}mix_wav/*.wav") for inner in ("data/", "")):
            if find_targets(root) is not None:
                return "clipsep"
            raise MissingRootError(
                f"Dataset vggsound: {root} holds no mixtures (data/mix_wav/*.wav). "
                f"Where to get them: {self.card.where}"
            )
        return "vggsound-audiosep"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """All rows of a list, whichever files are on disk.

        Raises:
            MissingRootError: no folder.
            MissingFileError: CLIPSep's list, or the table of its other clips, is not there.
            ManifestError: one of them cannot be understood.
        """
        require_list(list_name, self.card)
        root = require_root(self.root, self.card)
        if list_name == "audiosep":
            return _rows()
        if self._clipsep is None:
            table = root / TABLE
            if not table.is_file():
                raise MissingFileError(
                    f"Dataset vggsound: {TABLE} is missing under {root}; the clips that CLIPSep's "
                    "are mixed with come from it. Get it from the project's page."
                )
            others = [(name, label) for name, label, split in _table(table) if split == "test"]
            self._clipsep = tuple(clipsep_rows(root, others))
        return self._clipsep

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """One finished mixture, or two clips summed.

        Raises:
            DatasetError: a file is missing or cannot be used.
        """
        root = require_root(self.root, self.card)
        if "clip" in row.details:
            return self._summed(root, row, sample_rate, mono=mono)
        return load_pair(root, row, self.files(row), sample_rate, mono=mono)

    def files(self, row: SceneRow) -> tuple[str, str]:
        """Names of target and mixture, with or without the first `data`; or of CLIPSep's two clips.

        Raises:
            MissingRootError: no folder.
        """
        root = require_root(self.root, self.card)
        if "clip" in row.details:
            if self._tested is None:
                self._tested = {Path(n).stem: n for n in _clip_names(root, TEST_FOLDERS)}
            first, second = row.details["clip"], row.details["with"]
            return (
                self._tested.get(first, f"test/{first}.wav"),
                self._tested.get(second, f"test/{second}.wav"),
            )
        target, mixture = row.details["target"], row.details["mixture"]
        short = target.removeprefix("data/"), mixture.removeprefix("data/")
        names = (target, mixture)
        folder = folder_of(root, self.card.name, mixture)
        if not lies_in(root, folder + mixture):
            below = folder_of(root, self.card.name, short[1])
            if lies_in(root, below + short[1]):
                folder, names = below, short
        return folder + names[0], folder + names[1]

    def _summed(self, root: Path, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        names = self.files(row)
        audios = [
            read_audio(resolve_inside(root, name), sample_rate=sample_rate, mono=mono)
            for name in names
        ]
        target, other = (excerpt(audio.samples, sample_rate) for audio in audios)
        if target.shape != other.shape:
            raise AudioMismatchError(
                f"Dataset vggsound, scene {row.scene_id} ({' and '.join(names)}): "
                f"{target.shape[0]} and {other.shape[0]} channels. Score the list in mono."
            )
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=target + other,
            sources={row.targets[0].name: target, OTHER: other},
            files={name: audio.sha256 for name, audio in zip(names, audios, strict=True)},
        )

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


def _clip_names(root: Path, folders: Sequence[str]) -> Iterator[str]:
    """Names of audio files relative to the root."""
    for folder in folders:
        for name in clip_names(root / folder, SUFFIXES):
            yield f"{folder}/{name}".removeprefix("/")


def _train_clips(root: Path) -> Iterator[Clip]:
    files = {Path(name).stem: root / name for name in _clip_names(root, FOLDERS)}
    seen: list[str] = []
    for name, label, split in _table(root / TABLE):
        if split == "train" and name in files:
            seen.append(name)
            yield Clip(
                clip_id=name,
                path=files[name],
                labels=(label,),
                fold=split,
                origin=name.rpartition("_")[0],
            )
    refuse_duplicates(seen, root / TABLE, "clip")


def _table(path: Path) -> Iterator[tuple[str, str, str]]:
    """Name of a clip without suffix, its label, its split.

    Raises:
        ManifestError: a line is something else.
    """
    for number, fields in csv_lines(path):
        if len(fields) != 4 or not fields[1].isdecimal():
            raise ManifestError(
                f"{path}, line {number}, is not 'id,start,label,split'. Restore the file."
            )
        video, start, label, split = fields
        yield f"{video}_{int(start):06d}", label, split


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
