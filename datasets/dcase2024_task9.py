"""DCASE 2024 Task 9, language-queried audio source separation: the synthetic validation set.

3,000 mixtures of 1,000 Freesound clips (10 s, 16 kHz), mixed on the fly. The published evaluator
reads `lass_synthetic_validation.csv` by position (source, noise, SNR, caption), skips its header
whatever that says, and appends `.wav` to both names; so does this. The noise is scaled to the
energy ratio, and a mixture that peaks above 1 is scaled to 0.9 with its target.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from sepbench.datasets.audiosep_lists import clip_names
from sepbench.datasets.inventory import found_or
from sepbench.datasets.manifest import csv_lines, lies_in, require_list, require_pool, require_root
from sepbench.datasets.pairs import mix_pair
from sepbench.harness.api import Clip, DatasetCard, ListCard, Scene, SceneRow, TargetRow
from sepbench.harness.audio import cut_to_common_length, read_audio, resolve_inside
from sepbench.harness.errors import ManifestError, MissingFileError, MissingRootError

TABLE = "lass_synthetic_validation.csv"
# The archive's folder, the root itself, or the archive's folder inside one of the same name.
FOLDERS = ("lass_validation", "", "lass_validation/lass_validation")
SNR_LIMIT_DB = 15
OTHER = "interference"

CARD = DatasetCard(
    name="dcase2024-task9",
    summary="3,000 mixtures of two Freesound clips at -15 to 15 dB, asked for by captions.",
    licence="each clip under its own Creative Commons licence (see the record)",
    lists=(
        ListCard(
            name="validation",
            revision="zenodo-10886481/1",
            mixing="energy ratio of the list in whole dB, peak above 1 scaled to 0.9",
            summary="The synthetic validation set.",
            expected_scenes=3000,
        ),
    ),
    protocols=("dcase24t9-16k",),
    pools=("clips",),
    where=f"doi.org/10.5281/zenodo.10886481: {TABLE} and lass_validation.zip, unpacked beside it.",
    citation="DCASE 2024 Challenge, Task 9: Language-Queried Audio Source Separation",
    sample_rate=16000,
    steps=(
        f"Download {TABLE} and lass_validation.zip from doi.org/10.5281/zenodo.10886481.",
        f"Put {TABLE} into a folder and unpack the archive beside it, into lass_validation.",
    ),
)


class Dcase2024Task9:
    """The validation list as scenes, its captioned clips as clips.

    Args:
        root: folder that holds the list and the folder `lass_validation`.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._scenes: tuple[SceneRow, ...] | None = None

    def default_protocol(self) -> str:
        """The corpus has one protocol.

        Raises:
            MissingRootError: no folder, or no list in it.
        """
        root = require_root(self.root, self.card)
        if not (root / TABLE).is_file():
            raise MissingRootError(
                f"Dataset dcase2024-task9: {root} holds no {TABLE}. "
                f"Where to get it: {self.card.where}"
            )
        return "dcase24t9-16k"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """All rows of the list, in its order.

        Raises:
            MissingRootError: no folder.
            MissingFileError: no list.
            ManifestError: a row has no four fields, or no whole SNR.
        """
        require_list(list_name, self.card)
        root = require_root(self.root, self.card)
        if self._scenes is None:
            self._scenes = tuple(_rows(root / TABLE))
        return self._scenes

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """Target and noise, mixed at the protocol's rate.

        Raises:
            AudioMismatchError: the clips differ in length or channels.
            DatasetError: a clip is missing, silent, or cannot be used.
        """
        root = require_root(self.root, self.card)
        names = [_find(root, row.details[key]) for key in ("target", "interference")]
        audios = [
            read_audio(resolve_inside(root, name), sample_rate=sample_rate, mono=mono)
            for name in names
        ]
        where = f"Dataset dcase2024-task9, scene {row.scene_id} ({' and '.join(names)})"
        first, second = cut_to_common_length(
            [audio.samples for audio in audios], sample_rate, where=where
        )
        target, interference, mixture = mix_pair(first, second, row.details["snr_db"], where=where)
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=mixture,
            sources={row.targets[0].name: target, OTHER: interference},
            files={name: audio.sha256 for name, audio in zip(names, audios, strict=True)},
        )

    def files(self, row: SceneRow) -> Sequence[str]:
        """Names of target and noise.

        Raises:
            MissingRootError: no folder.
        """
        root = require_root(self.root, self.card)
        names = [row.details[key] for key in ("target", "interference")]
        return tuple(found_or(f"{FOLDERS[0]}/{name}", _find, root, name) for name in names)

    def clips(self, pool: str) -> Sequence[Clip]:
        """Clips on disk, with the captions that the list asks for them; without labels.

        Raises:
            MissingRootError: no folder.
            ManifestError: the list cannot be understood.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        captions: dict[str, list[str]] = defaultdict(list)
        if (root / TABLE).is_file():
            for row in self.scenes("validation"):
                captions[row.details["target"]] += row.targets[0].texts
        folder = next((name for name in FOLDERS if any(clip_names(root / name, (".wav",)))), "")
        return tuple(
            Clip(
                clip_id=name.removesuffix(".wav"),
                path=root / folder / name,
                captions=tuple(dict.fromkeys(captions[name])),
                origin=name.removesuffix(".wav"),
            )
            for name in clip_names(root / folder, (".wav",))
        )


def _find(root: Path, name: str) -> str:
    for folder in FOLDERS:
        found = f"{folder}/{name}" if folder else name
        if lies_in(root, found):
            return found
    raise MissingFileError(
        f"Dataset dcase2024-task9: {name} is missing under {root / FOLDERS[0]}. Unpack "
        "lass_validation.zip there."
    )


def _rows(path: Path) -> Iterator[SceneRow]:
    if not path.is_file():
        raise MissingFileError(f"{path} is missing. Where to get it: {CARD.where}")
    lines = csv_lines(path)
    next(lines, None)
    for number, (line, fields) in enumerate(lines):
        yield _row(number, fields, f"{path}, line {line}")


def _row(number: int, fields: Sequence[str], where: str) -> SceneRow:
    if len(fields) != 4:
        raise ManifestError(
            f"{where}: {len(fields)} fields; expected source, noise, SNR, caption. Restore it."
        )
    source, noise, ratio, caption = fields
    snr_db = _whole(ratio)
    if snr_db is None or abs(snr_db) > SNR_LIMIT_DB:
        raise ManifestError(
            f"{where}: the SNR is '{ratio}'; expected whole dB from -{SNR_LIMIT_DB} to "
            f"{SNR_LIMIT_DB}. Restore it."
        )
    return SceneRow(
        scene_id=f"{number:04d}",
        targets=(
            TargetRow(
                name="target", texts=(caption,), cluster=source, attributes={"snr_db": snr_db}
            ),
        ),
        origins=(source, noise),
        details={"target": f"{source}.wav", "interference": f"{noise}.wav", "snr_db": snr_db},
    )


def _whole(text: str) -> int | None:
    try:
        number = float(text)  # written by pandas, a whole number may read "3.0"
    except ValueError:
        return None
    return int(number) if number.is_integer() else None
