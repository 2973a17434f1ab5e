"""AudioCaps on disk: its caption tables in both versions, and clips under the names people use.

Version 2.0 (2025) has the clips of version 1 in test and val, most captions lower-cased, some
rewritten, and almost twice the training clips. A table says nowhere which version it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sepbench.datasets.manifest import read_table, refuse_duplicates
from sepbench.harness.errors import ManifestError, MissingFileError

SPLITS = ("train", "val", "test")
COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
TRAIN_ROWS_V1 = 49838
WHERE = "github.com/cdjkim/audiocaps, folders dataset (version 1) and dataset2.0 (version 2.0)"
_VERSION_FOLDERS = {1: ("dataset", "v1"), 2: ("dataset2.0", "v2")}

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a")
VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv")  # as downloaded; they do not count beside audio
_AUDIO_FOLDERS = tuple(
    f"{outer}/{inner}".strip("/")
    for outer in ("", "audio", "wav", "waveforms", "clips")
    for inner in ("", *SPLITS)
)
# Ids have eleven characters and may hold or begin with "-", "_" and "Y".
_NAME = re.compile(r"(?P<id>.{11})|Y(?P<y_id>.{11})|Y?(?P<start_id>.{11})_(?P<start>\d+)(?:_\d+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionedClip:
    """One clip of the caption tables.

    Attributes:
        clip_id: of YouTube.
        start: second of the video at which the clip begins; None where no table says.
        captions: one in train, five in val and test, in the table's order.
        caption_ids: AudioCaps' number of each caption.
    """

    clip_id: str
    split: str
    start: int | None
    captions: tuple[str, ...]
    caption_ids: tuple[str, ...]


def find_table(root: Path, split: str, version: int) -> Path | None:
    """The caption table of a split in one version: in a folder of that version, or in the root."""
    for folder in _VERSION_FOLDERS[version]:
        if (root / folder / f"{split}.csv").is_file():
            return root / folder / f"{split}.csv"
    path = root / f"{split}.csv"
    return path if path.is_file() and _root_version(root) == version else None


def read_clips(root: Path, split: str, version: int) -> tuple[CaptionedClip, ...]:
    """The clips of a split's table in their order; none where the table is not there.

    Raises:
        ManifestError: the table cannot be understood, or contradicts itself.
    """
    path = find_table(root, split, version)
    if path is None:
        return ()
    rows = read_table(path, COLUMNS)
    refuse_duplicates((row["audiocap_id"] for row in rows), path, "audiocap_id")
    grouped: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        grouped[row["youtube_id"]].append(row)
    return tuple(_clip(clip_id, split, group, path) for clip_id, group in grouped.items())


def _clip(clip_id: str, split: str, rows: Sequence[Mapping[str, str]], path: Path) -> CaptionedClip:
    starts = {row["start_time"] for row in rows}
    (start,) = starts if len(starts) == 1 else ("",)
    if not start.isdecimal():
        raise ManifestError(
            f"{path}: the clip {clip_id} has the start {' and '.join(sorted(starts))}; expected "
            "one, in whole seconds. Restore the file."
        )
    return CaptionedClip(
        clip_id=clip_id,
        split=split,
        start=int(start),
        captions=tuple(row["caption"] for row in rows),
        caption_ids=tuple(row["audiocap_id"] for row in rows),
    )


def _root_version(root: Path) -> int:
    """Which version the tables in the root itself are.

    Captions of version 1 begin with a capital; of version 2.0's, 4,670 of 4,875 have none.
    """
    for split in ("test", "val"):
        if (root / f"{split}.csv").is_file():
            rows = read_table(root / f"{split}.csv", COLUMNS)
            lower = sum(row["caption"] == row["caption"].lower() for row in rows)
            return 2 if lower > len(rows) / 2 else 1
    return 2 if len(read_table(root / "train.csv", COLUMNS)) > TRAIN_ROWS_V1 else 1


class ClipFiles:
    """Audio files below a root by the clip that their names mean.

    Understood, in the root or in train, val and test: `Y{id}`, `{id}`, `{id}_{start}`,
    `Y{id}_{start ms}_{end ms}` and `{audiocap_id}`, as WAV, FLAC, OGG, OPUS, MP3 or M4A, or as the
    video (MP4, WebM, MKV) where there is no such file of it.

    Args:
        root: searched once, when the first clip is asked for.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        # Clip id, or number of a caption -> (start as written, name relative to the root).
        self._files: dict[str, list[tuple[int | None, str]]] | None = None

    def find(self, clip_id: str, *, start: int | None, caption_ids: Iterable[str]) -> str:
        """Name of a clip's file, relative to the root.

        Args:
            clip_id: of YouTube.
            start: a file whose name says another start is another clip; None takes any.
            caption_ids: numbers that may name the file; of several such files the first counts.

        Raises:
            MissingFileError: there is none.
            ManifestError: there are two.
        """
        found = self.search(clip_id, start=start, caption_ids=caption_ids)
        if found is None:
            raise MissingFileError(
                f"Dataset audiocaps: the clip {clip_id} is missing under {self._root} (as "
                f"Y{clip_id}.wav, {clip_id}.wav or the like, there or in train, val, test). Clips "
                "vanish from YouTube; ask the corpus's authors for the audio."
            )
        return found

    def search(self, clip_id: str, *, start: int | None, caption_ids: Iterable[str]) -> str | None:
        """As `find`, None for a clip that is not there."""
        files = self._index()
        names = [
            name
            for written, name in files.get(clip_id, ())
            if start is None or written in (None, start, start * 1000)
        ]
        if len(names) > 1:
            raise ManifestError(
                f"Dataset audiocaps: the clip {clip_id} lies under {self._root} more than once: "
                f"{', '.join(names)}. Keep one of them."
            )
        by_number = (name for number in caption_ids for _, name in files.get(number, ()))
        return names[0] if names else next(by_number, None)

    def _index(self) -> dict[str, list[tuple[int | None, str]]]:
        if self._files is None:
            self._files = defaultdict(list)
            for key, start, name in _named_files(self._root, SUFFIXES):
                self._files[key].append((start, name))
            heard = set(self._files)
            for key, start, name in _named_files(self._root, VIDEO_SUFFIXES):
                if key not in heard:
                    self._files[key].append((start, name))
        return self._files


def _named_files(root: Path, suffixes: Sequence[str]) -> Iterator[tuple[str, int | None, str]]:
    for folder in _AUDIO_FOLDERS:
        if not (root / folder).is_dir():
            continue
        for path in sorted((root / folder).iterdir()):
            if path.suffix.lower() not in suffixes:
                continue
            name = f"{folder}/{path.name}".removeprefix("/")
            if path.stem.isdecimal() and len(path.stem) < 11:
                yield path.stem, None, name
            elif match := _NAME.fullmatch(path.stem):
                key = match["id"] or match["y_id"] or match["start_id"]
                yield key, int(match["start"]) if match["start"] else None, name
