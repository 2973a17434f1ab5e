"""The same AudioCaps mixtures asked in three wordings: a label, a caption, somebody's own words.

The AudioSep paper asks a small set so; its third wording, annotations written anew by people who
heard the mixture, was never published. So the annotations are the user's: `audiocaps_mini.csv` in
the root (or in `metadata`) with a header and

    youtube_id  a clip of AudioCaps' test split, each once (required)
    annotation  the text that somebody wrote for it (required)
    label       default: the AudioSet label that names the clip best
    caption     default: the clip's first caption in version 1

Mixtures are those of our own list `test-seeded`; each gives three scenes that differ in the text
alone, told apart by the attribute `wording`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sepbench.datasets.audiocaps_files import WHERE, CaptionedClip
from sepbench.datasets.audiocaps_lists import TARGET, drawn_pairs
from sepbench.datasets.manifest import read_numbered, refuse_duplicates
from sepbench.harness.api import SceneRow, TargetRow
from sepbench.harness.errors import ManifestError, MissingFileError

TABLE = "audiocaps_mini.csv"
COLUMNS = ("youtube_id", "annotation")
WORDINGS = ("label", "caption", "annotation")
_FOLDERS = ("", "metadata")


def find_annotations(root: Path) -> Path | None:
    """The user's table of annotations, where there is one."""
    paths = (root / folder / TABLE for folder in _FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def mini_rows(root: Path, clips: Mapping[str, CaptionedClip]) -> Iterator[SceneRow]:
    """Three rows for each line of the table, in its order.

    Args:
        root: below which the table lies.
        clips: of the test split, version 1; may be empty where the table gives every caption.

    Raises:
        MissingFileError: no table; says which columns it has.
        ManifestError: a line that names no test clip, names one again, or lacks a text.
    """
    path = find_annotations(root)
    if path is None:
        raise MissingFileError(
            f"Dataset audiocaps: {TABLE} is missing under {root}. Nobody published these "
            "annotations, so they are yours: write the file with the columns youtube_id (a clip "
            "of the test split) and annotation (what to ask for it); label and caption may be "
            "given too."
        )
    rows = read_numbered(path, COLUMNS)
    refuse_duplicates((row["youtube_id"].strip() for _, row in rows), path, "youtube_id")
    if not rows:
        raise ManifestError(f"{path} has no rows.")
    numbers = {pair.target: number for number, pair in enumerate(drawn_pairs())}
    for line, row in rows:
        fields = {key: value.strip() for key, value in row.items()}
        clip_id = fields["youtube_id"]
        if clip_id not in numbers:
            raise ManifestError(
                f"{path}, line {line}: '{clip_id}' is no clip of AudioCaps' test split. Give the "
                "eleven characters of its YouTube id."
            )
        texts = _texts(fields, clips.get(clip_id), f"{path}, line {line}")
        yield from _scenes(numbers[clip_id], texts)


def _texts(
    fields: Mapping[str, str], clip: CaptionedClip | None, where: str
) -> dict[str, str | None]:
    """Wording -> what the table says; the label's default is found with the pair."""
    caption = fields.get("caption") or (clip.captions[0].strip() if clip else None)
    if not caption:
        raise ManifestError(
            f"{where}: no caption. Fill the column 'caption', or put test.csv of version 1 beside "
            f"the audio, from {WHERE}."
        )
    if not fields["annotation"]:
        raise ManifestError(f"{where}: no annotation. Fill the column, or remove the line.")
    return {
        "label": fields.get("label") or None,
        "caption": caption,
        "annotation": fields["annotation"],
    }


def _scenes(number: int, texts: Mapping[str, str | None]) -> Iterator[SceneRow]:
    pair = drawn_pairs()[number]
    for wording in WORDINGS:
        yield SceneRow(
            scene_id=f"{number:04d}-{wording}",
            targets=(
                TargetRow(
                    name=TARGET,
                    label=pair.label,
                    texts=(texts[wording] or pair.label,),
                    cluster=pair.target,
                    attributes={"wording": wording, "snr_db": pair.snr_db},
                ),
            ),
            origins=(pair.target, pair.interference),
            details={
                "target": pair.target,
                "interference": pair.interference,
                "snr_db": pair.snr_db,
            },
        )
