"""ESC-50 (Piczak, ACM MM 2015) and AudioSep's evaluation list over it.

Three layouts are understood: the official one (`audio/*.wav`, `meta/esc50.csv`); a flat folder
of ESC-10 clips, whose names lack the class suffix (`1-100032-A.ogg`, its own `meta.csv` when
present); and AudioSep's evaluation folder of finished mixtures (`segment-{idx}.wav` target,
`mixture-{idx}.wav`), as the root itself, as `esc50` below it, or further down in its package.

AudioSep's mixing gains are not public. The `rebuilt` lists name the same pairs of clips and mix
them at 0 dB on the fly, so their scores are never comparable with published ESC-50 rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sepbench.datasets.audiosep_lists import (
    MIXING,
    REVISION,
    holds,
    load_premixed,
    premixed_names,
)
from sepbench.datasets.esc50_files import clip_files, clips_of_table, corpus_base, find_clip
from sepbench.datasets.esc50_list import clip_labels, esc10_clips, read_list
from sepbench.datasets.inventory import found_or
from sepbench.datasets.manifest import refuse_duplicates, require_list, require_pool, require_root
from sepbench.datasets.pairs import mix_pair
from sepbench.harness.api import (
    Attribute,
    Clip,
    DatasetCard,
    ListCard,
    Scene,
    SceneRow,
    TargetRow,
)
from sepbench.harness.audio import read_audio, resolve_inside
from sepbench.harness.errors import MissingRootError
from sepbench.harness.mixing import pad_to_length

SNR_DB = 0.0

# Every ESC-50 clip is this long by construction (short sounds are zero-padded); the ogg copies
# of ESC-10 are not exactly so and are padded or cut to it before mixing.
CLIP_SECONDS = 5.0

CARD = DatasetCard(
    name="esc50",
    summary="Environmental sounds, 50 classes × 40 clips of 5 s; AudioSep's 2,000 mixtures of two.",
    licence="CC BY-NC; the ESC-10 part CC BY 3.0, each clip under its own Freesound licence",
    lists=(
        ListCard(
            name="rebuilt",
            revision=f"{REVISION}/1",
            mixing="two 5-s clips at 0 dB energy ratio, peak above 1 scaled to 0.9",
            summary="AudioSep's 2,000 pairs, mixed here; not comparable with published rows.",
            expected_scenes=2000,
        ),
        ListCard(
            name="esc10-rebuilt",
            revision=f"{REVISION}/1",
            mixing="two 5-s clips at 0 dB energy ratio, peak above 1 scaled to 0.9",
            summary="The 78 pairs whose clips are both in ESC-10.",
            expected_scenes=78,
        ),
        ListCard(
            name="premixed",
            revision=f"{REVISION}/1",
            mixing=MIXING,
            summary="AudioSep's 2,000 mixtures as distributed.",
            expected_scenes=2000,
        ),
    ),
    protocols=("esc50-premixed", "esc50-rebuilt", "esc10-rebuilt"),
    pools=("clips",),
    where=(
        "the clips from github.com/karolpiczak/ESC-50 (folder with audio/ and meta/), the "
        "finished mixtures from the evaluation data of github.com/Audio-AGI/AudioSep."
    ),
    citation="K. J. Piczak, ESC: Dataset for Environmental Sound Classification, ACM MM 2015",
    sample_rate=44100,
    steps=(
        "Download the repository github.com/karolpiczak/ESC-50 as a ZIP and unpack it; the root is "
        "the folder that holds audio and meta.",
        "For AudioSep's mixtures, follow the link to the evaluation data in the README of "
        "github.com/Audio-AGI/AudioSep and download the folder esc50 into the root.",
    ),
)


class Esc50:
    """ESC-50 clips and AudioSep's list of mixtures over them.

    Args:
        root: folder in one of the layouts above.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._scenes: dict[str, tuple[SceneRow, ...]] = {}

    def default_protocol(self) -> str:
        """Finished mixtures before all of ESC-50 before ESC-10, as found under the root.

        Raises:
            MissingRootError: no folder, or nothing of ESC-50 in it.
        """
        root = require_root(self.root, self.card)
        if holds(root, self.card.name):
            return "esc50-premixed"
        found = {name.key for _, name in clip_files(root)} & clip_labels().keys()
        if not found:
            raise MissingRootError(
                f"Dataset esc50: {root} holds neither clips (audio/*.wav, or *.ogg) nor AudioSep's "
                f"mixtures (mixture-*.wav). Where to get them: {self.card.where}"
            )
        return "esc10-rebuilt" if found <= esc10_clips() else "esc50-rebuilt"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """Every row of a list, whichever clips are on disk.

        Raises:
            MissingRootError: no folder.
            UnknownNameError: no such list.
        """
        require_list(list_name, self.card)
        require_root(self.root, self.card)
        if list_name not in self._scenes:
            self._scenes[list_name] = tuple(_rows(list_name))
        return self._scenes[list_name]

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """One scene: target and interference, mixed here or as AudioSep mixed them.

        The interference of a finished mixture is mixture − target, both at `sample_rate`.

        Raises:
            DatasetError: a file is missing or cannot be used.
        """
        root = require_root(self.root, self.card)
        if "index" in row.details:
            return load_premixed(root, self.card.name, row, sample_rate, mono=mono)
        names = [find_clip(root, row.details[key]) for key in ("target", "interference")]
        audios = [
            read_audio(resolve_inside(root, name), sample_rate=sample_rate, mono=mono)
            for name in names
        ]
        length = round(CLIP_SECONDS * sample_rate)
        target, interference, mixture = mix_pair(
            pad_to_length(audios[0].samples, length),
            pad_to_length(audios[1].samples, length),
            row.details["snr_db"],
            where=f"Dataset esc50, scene {row.scene_id} ({' and '.join(names)})",
        )
        files = {name: audio.sha256 for name, audio in zip(names, audios, strict=True)}
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=mixture,
            sources={row.targets[0].name: target, row.details["other_source"]: interference},
            files=files,
        )

    def files(self, row: SceneRow) -> Sequence[str]:
        """Names of a scene's two files.

        Raises:
            MissingRootError: no folder.
        """
        root = require_root(self.root, self.card)
        if "index" in row.details:
            return premixed_names(root, self.card.name, row)
        names = [row.details[key] for key in ("target", "interference")]
        return tuple(found_or(f"audio/{name}", find_clip, root, name) for name in names)

    def clips(self, pool: str) -> Sequence[Clip]:
        """All labelled clips on disk, by the corpus's own table or, without one, by their names.

        Raises:
            MissingRootError: no folder.
            ManifestError: the table cannot be understood.
            UnsafePathError: the table names a file outside the root.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        base = corpus_base(root)
        for table, folder in (("meta/esc50.csv", "audio"), ("meta.csv", "")):
            if (root / base / table).is_file():
                clips = tuple(clips_of_table(root, base + table, base + folder))
                break
        else:
            clips = tuple(_clips_by_name(root))
        refuse_duplicates((clip.clip_id for clip in clips), root, "clip")
        return clips


def _clips_by_name(root: Path) -> Iterator[Clip]:
    labels = clip_labels()
    for path, name in clip_files(root):
        if name.key in labels:
            yield Clip(
                clip_id=name.key,
                path=path,
                labels=(labels[name.key],),
                fold=name.fold,
                origin=name.src_file,
            )


def _rows(list_name: str) -> Iterator[SceneRow]:
    premixed = list_name == "premixed"
    for row in read_list():
        if list_name == "esc10-rebuilt" and not row.in_esc10:
            continue
        attributes: dict[str, Attribute] = {
            "label": row.label,
            "interference": row.interference_label,
            "fold": row.target.fold,
        }
        details: dict[str, str | int | float] = {
            "target": row.target_file,
            "interference": row.interference_file,
        }
        if premixed:
            details["index"] = row.index
        else:
            details["other_source"] = row.interference_label
            details["snr_db"] = attributes["snr_db"] = SNR_DB
        yield SceneRow(
            scene_id=f"{row.index:04d}",
            targets=(
                TargetRow(
                    name=row.label,
                    label=row.label,
                    texts=(row.caption,),
                    cluster=row.target.src_file,
                    attributes=attributes,
                ),
            ),
            origins=(row.target.src_file, row.interference.src_file),
            details=details,
        )
