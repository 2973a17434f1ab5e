"""AudioCaps (Kim et al., NAACL 2019): ten-second AudioSet clips with captions written by people.

Understood are the official tables (version 1 or 2.0) with a folder of clips under any of the
common names, AudioSep's evaluation folder of finished mixtures, and both together below one root.
The audio is not distributed; it is asked for by a form or fetched from YouTube.

LASS-Net's list takes 195 of its 200 targets from the *train* split, so a model trained on AudioCaps
has heard them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sepbench.datasets.audiocaps_files import (
    SPLITS,
    WHERE,
    CaptionedClip,
    ClipFiles,
    find_table,
    read_clips,
)
from sepbench.datasets.audiocaps_lists import (
    LASSNET,
    PREMIXED,
    TARGET,
    clip_labels,
    lassnet_rows,
    premixed_rows,
    premixed_targets,
    seeded_rows,
)
from sepbench.datasets.audiocaps_mini import mini_rows
from sepbench.datasets.audiosep_lists import (
    MIXING,
    OTHER,
    PACKAGE,
    REVISION,
    holds,
    load_premixed,
    premixed_names,
)
from sepbench.datasets.inventory import found_or
from sepbench.datasets.manifest import require_list, require_pool, require_root
from sepbench.datasets.pairs import mix_pair
from sepbench.harness.api import Clip, DatasetCard, ListCard, RemoteFile, Scene, SceneRow
from sepbench.harness.audio import read_audio, resolve_inside
from sepbench.harness.errors import DatasetError, ManifestError, MissingFileError, MissingRootError
from sepbench.harness.mixing import mix_at_peak_ratio, pad_to_length

# Clips are cut from videos to this length; downloads miss it by a few frames.
CLIP_SECONDS = 10.0
SEEDED_MIXING = "two 10-s clips at the list's energy ratio, peak above 1 scaled to 0.9"

_ACADEMIC = "captions: academic use"
_TABLES = "https://github.com/cdjkim/audiocaps/raw/d004db3"
REMOTE = (
    RemoteFile(
        name="dataset/test.csv",
        url=f"{_TABLES}/dataset/test.csv",
        size=402246,
        sha256="b91c4b7ded2f4f6e7db5b9c4983dc1e1dca3d556f505b61e3fd65cac7e1c638a",
        licence=_ACADEMIC,
    ),
    RemoteFile(
        name="dataset2.0/test.csv",
        url=f"{_TABLES}/dataset2.0/test.csv",
        size=397498,
        sha256="365c8a8a71c9070a8d5dba5dd44f3a781f906632a49cb82b38bebaaa8f3c5ccb",
        licence=_ACADEMIC,
    ),
    RemoteFile(
        name=PREMIXED.name,
        url=f"https://{PACKAGE}/raw/944583f/evaluation/metadata/{PREMIXED.name}",
        size=635210,
        sha256="c8e99f43b25e5f50ff878c17c3d32fb8e308f731c1b3c63ab9734ef8a81609c0",
        licence=_ACADEMIC,
    ),
    RemoteFile(
        name=LASSNET.name,
        url="https://github.com/liuxubo717/LASS/raw/8979776fec4b41d02811fafbc4e2e3e3f2b247f1/"
        f"dataset/{LASSNET.name}",
        size=25023,
        sha256="38c6e714c00d214897f9ee9dbc7526878ed184808ec9f4dd9250a864983a7902",
        licence="none stated",
    ),
)

CARD = DatasetCard(
    name="audiocaps",
    summary="Captioned clips of everyday sounds; mixtures of two asked for by a caption.",
    licence="captions: academic use; the sound belongs to the videos' uploaders",
    lists=(
        ListCard(
            name="audiosep-premixed",
            revision=f"{REVISION}/1",
            mixing=MIXING,
            summary="AudioSep's 4,820 mixtures as distributed, one for each caption.",
            expected_scenes=4820,
        ),
        ListCard(
            name="lassnet",
            revision="lass-8979776/1",
            mixing="two 10-s clips, each peaking at 1 (a peak ratio of 0 dB), all scaled so that "
            "the loudest of target, interference and mixture peaks at 1",
            summary="LASS-Net's 1,000 pairs, 200 targets × 5, mixed here by its rule.",
            expected_scenes=1000,
        ),
        ListCard(
            name="test-seeded",
            revision="sepbench/1",
            mixing=SEEDED_MIXING,
            summary="Our own 975 pairs of official test clips; captions of version 1.",
            expected_scenes=975,
        ),
        ListCard(
            name="test-seeded-v2",
            revision="sepbench/1",
            mixing=SEEDED_MIXING,
            summary="The same pairs with the captions of version 2.0.",
            expected_scenes=975,
        ),
        ListCard(
            name="mini",
            revision="sepbench/1",
            mixing=SEEDED_MIXING,
            summary="Some of the same pairs, each asked by label, caption and your annotation.",
        ),
    ),
    protocols=(
        "audiocaps-audiosep",
        "audiocaps-default",
        "audiocaps-default-v2",
        "audiocaps-mini",
        "lassnet",
    ),
    pools=("clips",),
    where=f"captions: {WHERE}; clips: the form named there, or YouTube; finished mixtures: the "
    f"evaluation data named in the README of {PACKAGE}, with audiocaps_eval.csv from its folder "
    "evaluation/metadata.",
    citation="C. D. Kim, B. Kim, H. Lee, G. Kim, AudioCaps: Generating Captions for Audios in The "
    "Wild, NAACL-HLT 2019",
    sample_rate=32000,
    steps=(
        "Ask the corpus's authors for the clips by the form named in the README of "
        "github.com/cdjkim/audiocaps, and put them into train, val and test (or the root) as "
        "Y{id}.wav, {id}.wav or the like.",
        "`bench data prepare audiocaps --yes` fetches the tables of test captions, AudioSep's and "
        "LASS-Net's lists; LASS-Net's list also needs dataset/train.csv and dataset/val.csv of "
        "the corpus's repository.",
        f"For AudioSep's mixtures, follow the link to the evaluation data in the README of "
        f"{PACKAGE} and download the folder audiocaps into the root.",
    ),
    remote=REMOTE,
)


class AudioCaps:
    """Lists of mixtures as scenes, captioned clips as clips.

    Args:
        root: folder with the tables and clips, with AudioSep's mixtures, or with both.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._scenes: dict[str, tuple[SceneRow, ...]] = {}
        self._captions: dict[tuple[str, int], Mapping[str, CaptionedClip]] = {}
        self._known: dict[str, CaptionedClip] | None = None
        self._files: ClipFiles | None = None

    def default_protocol(self) -> str:
        """AudioSep's mixtures where they are, else our own pairs of test clips.

        Raises:
            MissingRootError: no folder, or neither mixtures nor a table of test captions in it.
        """
        root = require_root(self.root, self.card)
        if holds(root, self.card.name):
            return "audiocaps-audiosep"
        for version, protocol in ((1, "audiocaps-default"), (2, "audiocaps-default-v2")):
            if find_table(root, "test", version) is not None:
                return protocol
        raise MissingRootError(
            f"Dataset audiocaps: {root} holds neither AudioSep's mixtures (mixture-*.wav) nor "
            f"test.csv. Where to get them: {self.card.where}"
        )

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """Every row of a list, whichever clips are on disk.

        Raises:
            MissingRootError: no folder.
            MissingFileError: the user's copy of the list, or its captions, are not there.
            ManifestError: the list is not the published one, or a target has no caption.
        """
        require_list(list_name, self.card)
        root = require_root(self.root, self.card)
        if list_name not in self._scenes:
            match list_name:
                case "audiosep-premixed":
                    rows = premixed_rows(root)
                case "lassnet":
                    rows = lassnet_rows(root, self._clips_of(SPLITS, 1))
                case "mini":
                    rows = mini_rows(root, self._clips_of(("test",), 1))
                case _:
                    version = _version(list_name)
                    if find_table(root, "test", version) is None:
                        raise MissingFileError(
                            f"Dataset audiocaps: test.csv of version {version} is missing under "
                            f"{root}. Get it from {WHERE}."
                        )
                    rows = seeded_rows(self._clips_of(("test",), version))
            self._scenes[list_name] = tuple(rows)
        return self._scenes[list_name]

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """One scene: mixed here, or as AudioSep mixed it.

        Raises:
            DatasetError: a file is missing or cannot be used.
        """
        root = require_root(self.root, self.card)
        if "index" in row.details:
            return load_premixed(root, self.card.name, row, sample_rate, mono=mono)
        names = [self._find(row.details[key]) for key in ("target", "interference")]
        audios = [
            read_audio(resolve_inside(root, name), sample_rate=sample_rate, mono=mono)
            for name in names
        ]
        length = round(CLIP_SECONDS * sample_rate)
        first, second = (pad_to_length(audio.samples, length) for audio in audios)
        where = f"Dataset audiocaps, scene {row.scene_id} ({' and '.join(names)})"
        if "peak_ratio_db" in row.details:
            try:
                target, other, mixture = mix_at_peak_ratio(
                    first, second, row.details["peak_ratio_db"]
                )
            except DatasetError as error:
                raise type(error)(f"{where}: {error} Replace that file.") from error
        else:
            target, other, mixture = mix_pair(first, second, row.details["snr_db"], where=where)
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=mixture,
            sources={TARGET: target, OTHER: other},
            files={name: audio.sha256 for name, audio in zip(names, audios, strict=True)},
        )

    def files(self, row: SceneRow) -> Sequence[str]:
        """Names of a scene's two files.

        Raises:
            MissingRootError: no folder.
            ManifestError: a clip lies there twice.
        """
        if "index" in row.details:
            root = require_root(self.root, self.card)
            return premixed_names(root, self.card.name, row)
        clips = [row.details[key] for key in ("target", "interference")]
        return tuple(found_or(f"Y{clip}.wav", self._find, clip) for clip in clips)

    def clips(self, pool: str) -> Sequence[Clip]:
        """Clips of all splits on disk; those of the test split have AudioSet labels.

        Where AudioSep's finished mixtures lie there, their targets are clips too: most people who
        have the mixtures have no other copy of them.

        Raises:
            MissingRootError: no folder.
            ManifestError: a table cannot be understood, or a clip lies there twice.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        segments = premixed_targets(root)
        return tuple(
            Clip(
                clip_id=clip.clip_id,
                path=root / name,
                labels=clip_labels().get(clip.clip_id, ()),
                captions=clip.captions,
                fold=clip.split,
                origin=clip.clip_id,
            )
            for clip in self._known_clips().values()
            if (name := self._search(clip) or segments.get(clip.clip_id)) is not None
        )

    def _clips_of(self, splits: Sequence[str], version: int) -> Mapping[str, CaptionedClip]:
        """The table's clips of some splits, read once.

        Raises:
            ManifestError: a clip is in two splits.
        """
        root = require_root(self.root, self.card)
        found: dict[str, CaptionedClip] = {}
        for split in splits:
            if (split, version) not in self._captions:
                clips = read_clips(root, split, version)
                self._captions[split, version] = {clip.clip_id: clip for clip in clips}
            both = found.keys() & self._captions[split, version].keys()
            if both:
                raise ManifestError(
                    f"Dataset audiocaps: the clip {min(both)} is in {split}.csv and in another "
                    f"table under {root}. Restore the tables from {WHERE}."
                )
            found |= self._captions[split, version]
        return found

    def _known_clips(self) -> Mapping[str, CaptionedClip]:
        """What the tables and our own list know of clips, version 1 before 2.0."""
        if self._known is None:
            unnamed = (
                CaptionedClip(
                    clip_id=clip_id, split="test", start=None, captions=(), caption_ids=()
                )
                for clip_id in clip_labels()
            )
            self._known = {clip.clip_id: clip for clip in unnamed}
            for version in (2, 1):
                self._known |= self._clips_of(SPLITS, version)
        return self._known

    def _find(self, clip_id: str) -> str:
        clip = self._known_clips().get(clip_id)
        if clip is None:
            return self._file_table().find(clip_id, start=None, caption_ids=())
        return self._file_table().find(clip_id, start=clip.start, caption_ids=clip.caption_ids)

    def _search(self, clip: CaptionedClip) -> str | None:
        return self._file_table().search(
            clip.clip_id, start=clip.start, caption_ids=clip.caption_ids
        )

    def _file_table(self) -> ClipFiles:
        if self._files is None:
            self._files = ClipFiles(require_root(self.root, self.card))
        return self._files


def _version(list_name: str) -> int:
    return 2 if list_name.endswith("-v2") else 1
