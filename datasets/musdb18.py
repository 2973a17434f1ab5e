"""MUSDB18 (Rafii, Liutkus, Stöter, Mimilakis, Bittner, 2017): songs and their four stems.

Two releases of the same 150 songs, which are different data: STEMS (`*.stem.mp4`, five AAC streams,
band-limited to about 16 kHz, the mixture coded by itself and so not the sum of the stems) and HQ (a
folder a song with five WAV files, the mixture their sum up to rounding). SiSEC 2018 and what is
compared with it used STEMS. Each release has lists of its own, so their scores never mix.

Streams are decoded to float: AAC exceeds full scale, and a decoder that goes through 16 bits clips.
Song names have blanks, apostrophes and " - " in them and are kept whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sepbench.datasets.manifest import require_list, require_pool, require_root
from sepbench.datasets.unpacked import bases
from sepbench.harness.api import Clip, DatasetCard, ListCard, Samples, Scene, SceneRow, TargetRow
from sepbench.harness.audio import cut_to_common_length, read_audio, resolve_inside
from sepbench.harness.errors import ManifestError, MissingRootError

STEMS = ("drums", "bass", "other", "vocals")  # in the order of the streams after the mixture
MIXTURE = "mixture"
STEMS_SUFFIX = ".stem.mp4"
HQ_SUFFIXES = (".wav", ".flac")
SONGS = {"train": 100, "test": 50}
PROMPTS = {"other": "other instruments"}  # the bare word asks for nothing

CARD = DatasetCard(
    name="musdb18",
    summary="150 songs with vocals, drums, bass and other; 50 of them for testing.",
    licence="academic use; each song under its own licence, listed on the dataset's page",
    lists=(
        *(
            ListCard(
                name=split,
                revision="stems/1",
                mixing="the corpus's own mixture stream",
                summary=f"The {split} songs of the STEMS release.",
                expected_scenes=count,
            )
            for split, count in SONGS.items()
        ),
        *(
            ListCard(
                name=f"{split}-hq",
                revision="hq/1",
                mixing="the corpus's own mixture file",
                summary=f"The {split} songs of the HQ release.",
                expected_scenes=count,
            )
            for split, count in SONGS.items()
        ),
    ),
    protocols=(
        "sisec18",
        "sisec18-hq",
        "sisec18-pairs",
        "musdb18",
        "musdb18-hq",
        "stsed-musdb",
        "uss-musdb",
    ),
    pools=("train-stems",),
    where="doi.org/10.5281/zenodo.1117372 (STEMS) or doi.org/10.5281/zenodo.3338373 (HQ), by "
    "request; unpack so that train/ and test/ lie in one folder.",
    citation="Z. Rafii, A. Liutkus, F.-R. Stöter, S. I. Mimilakis, R. Bittner, The MUSDB18 corpus "
    "for music separation, 2017",
    sample_rate=44100,
    steps=(
        "Ask for access at doi.org/10.5281/zenodo.1117372 (STEMS, which SiSEC 2018 used) or "
        "doi.org/10.5281/zenodo.3338373 (HQ).",
        "Unpack the archive so that train and test lie in one folder.",
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Song:
    """A song on disk.

    Attributes:
        name: as the corpus names it, "Artist - Title".
        files: source name -> (file relative to the root, stream in it).
    """

    name: str
    files: dict[str, tuple[str, int]]


class Musdb18:
    """The songs of either release as scenes, the training stems as clips.

    Args:
        root: folder that holds `train` and `test`, or one above it.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root

    def default_protocol(self) -> str:
        """SiSEC 2018's rules, on the release that is there; STEMS first.

        Raises:
            MissingRootError: no folder, or no song in it.
        """
        root = require_root(self.root, self.card)
        for hq, protocol in ((False, "sisec18"), (True, "sisec18-hq")):
            if any(_songs(root, split, hq=hq) for split in SONGS):
                return protocol
        raise MissingRootError(
            f"Dataset musdb18: {root} holds neither *.stem.mp4 files nor folders of WAV files "
            f"below train and test. Where to get them: {self.card.where}"
        )

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """One row a song, in the order of their names, with all four stems as targets.

        Raises:
            MissingRootError: no folder, or no song of this list in it.
            ManifestError: a song lacks a file.
        """
        require_list(list_name, self.card)
        root = require_root(self.root, self.card)
        split, _, release = list_name.partition("-")
        rows = [_row(song) for song in _songs(root, split, hq=release == "hq")]
        if not rows:
            kind = "folders of WAV files" if release else f"{STEMS_SUFFIX} files"
            raise MissingRootError(
                f"Dataset musdb18: {root / split} holds no {kind}. "
                f"Where to get them: {self.card.where}"
            )
        return rows

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """Mixture and stems of one song.

        Raises:
            DatasetError: a file is missing or cannot be used.
        """
        root = require_root(self.root, self.card)
        signals: dict[str, Samples] = {}
        files: dict[str, str] = {}
        for source, (name, stream) in row.details["files"].items():
            audio = read_audio(
                resolve_inside(root, name), sample_rate=sample_rate, mono=mono, stream=stream
            )
            signals[source], files[name] = audio.samples, audio.sha256
        cut = cut_to_common_length(list(signals.values()), sample_rate, where=row.scene_id)
        mixture, *stems = cut
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=mixture,
            sources=dict(zip(list(signals)[1:], stems, strict=True)),
            files=files,
        )

    def files(self, row: SceneRow) -> Sequence[str]:
        """Names of a song's files: one of STEMS, five of HQ."""
        return tuple(dict.fromkeys(name for name, _ in row.details["files"].values()))

    def clips(self, pool: str) -> Sequence[Clip]:
        """Whole stems of the training songs of the release that is there, STEMS first.

        Raises:
            MissingRootError: no folder.
            ManifestError: a song lacks a file.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        songs = _songs(root, "train", hq=False) or _songs(root, "train", hq=True)
        return tuple(
            Clip(
                clip_id=f"{song.name}/{stem}",
                path=root / song.files[stem][0],
                stream=song.files[stem][1],
                labels=(stem,),
                fold="train",
                origin=song.name,
            )
            for song in songs
            for stem in STEMS
        )


def _songs(root: Path, split: str, *, hq: bool) -> tuple[_Song, ...]:
    """The songs of one release, from the root or from the folder in it that holds them.

    Raises:
        ManifestError: a song lacks a file, or two folders hold songs of this release.
    """
    found = {base: songs for base in bases(root) if (songs := tuple(_below(root, base, split, hq)))}
    if len(found) > 1:
        folders = " and ".join(str(root / base / split) for base in found)
        raise ManifestError(
            f"Dataset musdb18: {folders} both hold songs. Point the root to one of them."
        )
    return next(iter(found.values()), ())


def _below(root: Path, base: str, split: str, hq: bool) -> Iterator[_Song]:
    folder = root / base / split
    if not folder.is_dir():
        return
    # Archives packed on a Mac bring "._name" files and a folder "__MACOSX".
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    for path in entries:
        if hq and path.is_dir():
            yield _hq_song(path, f"{base}{split}")
        elif not hq and path.name.lower().endswith(STEMS_SUFFIX):
            name = f"{base}{split}/{path.name}"
            streams = {source: (name, k) for k, source in enumerate((MIXTURE, *STEMS))}
            yield _Song(name=path.name[: -len(STEMS_SUFFIX)], files=streams)


def _hq_song(folder: Path, below: str) -> _Song:
    files: dict[str, tuple[str, int]] = {}
    for source in (MIXTURE, *STEMS):
        found = [source + s for s in HQ_SUFFIXES if (folder / (source + s)).is_file()]
        if not found:
            raise ManifestError(
                f"Dataset musdb18: {folder} has no {source}.wav. Restore the file, or remove the "
                "folder if it is no song."
            )
        files[source] = (f"{below}/{folder.name}/{found[0]}", 0)
    return _Song(name=folder.name, files=files)


def _row(song: _Song) -> SceneRow:
    return SceneRow(
        scene_id=song.name,
        targets=tuple(
            TargetRow(
                name=stem,
                label=stem,
                texts=(PROMPTS.get(stem, stem),),
                cluster=song.name,
                attributes={"stem": stem},
            )
            for stem in STEMS
        ),
        origins=(song.name,),
        details={"files": {source: list(where) for source, where in song.files.items()}},
    )
