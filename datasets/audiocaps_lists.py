"""The three lists over AudioCaps: AudioSep's mixtures, LASS-Net's pairs, and our own pairs.

AudioSep's and LASS-Net's lists are read from the user's copy and held to the published rows; ours
ships. Captions of ours and of LASS-Net's come from the corpus's own tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from sepbench.datasets.audiocaps_files import WHERE, CaptionedClip
from sepbench.datasets.audiocaps_pairs import DrawnPair
from sepbench.datasets.audiosep_lists import (
    LISTS,
    ListFile,
    find_list,
    holds,
    premixed_names,
    read_rows,
    refuse_other_revision,
    row_number,
)
from sepbench.datasets.manifest import read_table
from sepbench.harness.api import Attribute, SceneRow, TargetRow
from sepbench.harness.errors import ManifestError, MissingFileError

SEEDED = "audiocaps_test_seeded.csv"
PREMIXED = ListFile(
    name="audiocaps_eval.csv",
    header=("idx", "caption", "labels", "src_wav", "noise_wav"),
    digests="audiocaps_audiosep_digests.csv",
)
LASSNET = ListFile(
    name="evaluation_indexes.csv",
    header=("target_wav", " noise_wav"),
    digests="audiocaps_lassnet_digests.csv",
    where="github.com/liuxubo717/LASS, folder dataset, commit 8979776",
)
LASSNET_PEAK_RATIO_DB = 0.0
TARGET = "target"


@cache
def drawn_pairs() -> tuple[DrawnPair, ...]:
    """Our own list as shipped."""
    rows = read_table(LISTS / SEEDED, ("target", "interference", "snr_db", "label", "labels"))
    return tuple(
        DrawnPair(
            target=row["target"],
            interference=row["interference"],
            snr_db=int(row["snr_db"]),
            label=row["label"],
            labels=tuple(row["labels"].split("; ")),
        )
        for row in rows
    )


@cache
def clip_labels() -> Mapping[str, tuple[str, ...]]:
    """AudioSet labels of every test clip."""
    return {pair.target: pair.labels for pair in drawn_pairs()}


@cache
def naming_labels() -> Mapping[str, str]:
    """The label that names each test clip best."""
    return {pair.target: pair.label for pair in drawn_pairs()}


def premixed_rows(root: Path) -> Iterator[SceneRow]:
    """AudioSep's rows: a caption, with a mixture of its own, each.

    Raises:
        MissingFileError: the list is not there.
        ManifestError: a row is not the published one.
    """
    path = find_list(root, PREMIXED, "audiocaps")
    rows = read_rows(path, PREMIXED)
    numbers = [row_number(fields[0], path) for fields in rows]
    refuse_other_revision(rows, numbers, path, PREMIXED)
    for number, (_, caption, labels, target_file, other_file) in zip(numbers, rows, strict=True):
        # "Y" + id + ".wav"
        target, other = (name[1:].removesuffix(".wav") for name in (target_file, other_file))
        yield _row(
            number,
            target,
            other,
            texts=(caption,),
            attributes={"labels": labels, "same_clip": target == other},
            details={"index": number},
        )


def premixed_targets(root: Path) -> Mapping[str, str]:
    """Target clip -> the first of its finished files that is on disk, relative to the root.

    Nothing where neither mixtures nor their list are there.

    Raises:
        ManifestError: a row of the list is not the published one.
    """
    if not holds(root, "audiocaps", "segment-*.wav"):
        return {}
    found: dict[str, str] = {}
    try:
        rows = list(premixed_rows(root))
    except MissingFileError:  # without the list no file has a name
        return {}
    for row in rows:
        name, _ = premixed_names(root, "audiocaps", row)
        if row.details["target"] not in found and (root / name).is_file():
            found[row.details["target"]] = name
    return found


def lassnet_rows(root: Path, clips: Mapping[str, CaptionedClip]) -> Iterator[SceneRow]:
    """LASS-Net's rows, the target's first caption in lower case without its full stop.

    Args:
        root: below which the list lies.
        clips: of all splits, version 1.

    Raises:
        MissingFileError: the list is not there.
        ManifestError: a row is not the published one, or a target has no caption.
    """
    path = find_list(root, LASSNET, "audiocaps")
    rows = read_rows(path, LASSNET)
    refuse_other_revision(rows, range(len(rows)), path, LASSNET)
    _require_captions((target for target, _ in rows), clips, "train.csv, val.csv and test.csv")
    for number, (target, other) in enumerate(rows):
        clip = clips[target]
        yield _row(
            number,
            target,
            other,
            texts=(clip.captions[0].strip().lower().removesuffix("."),),
            attributes={"audiocaps_split": clip.split},
            details={"peak_ratio_db": LASSNET_PEAK_RATIO_DB},
        )


def seeded_rows(clips: Mapping[str, CaptionedClip]) -> Iterator[SceneRow]:
    """Our rows: every test clip once as target, all its captions as queries.

    Args:
        clips: of the test split.

    Raises:
        ManifestError: a clip of the list has no caption.
    """
    _require_captions((pair.target for pair in drawn_pairs()), clips, "test.csv")
    for number, pair in enumerate(drawn_pairs()):
        yield _row(
            number,
            pair.target,
            pair.interference,
            texts=clips[pair.target].captions,
            attributes={"snr_db": pair.snr_db},
            details={"snr_db": pair.snr_db},
        )


def _row(
    number: int,
    target: str,
    other: str,
    *,
    texts: tuple[str, ...],
    attributes: Mapping[str, Attribute],
    details: Mapping[str, str | int | float],
) -> SceneRow:
    return SceneRow(
        scene_id=f"{number:04d}",
        targets=(
            TargetRow(
                name=TARGET,
                label=naming_labels().get(target),
                texts=texts,
                cluster=target,
                attributes=attributes,
            ),
        ),
        origins=tuple(dict.fromkeys((target, other))),
        details={"target": target, "interference": other, **details},
    )


def _require_captions(
    targets: Iterator[str], clips: Mapping[str, CaptionedClip], tables: str
) -> None:
    missing = [target for target in dict.fromkeys(targets) if target not in clips]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise ManifestError(
            f"Dataset audiocaps: {len(missing)} targets of the list have no caption ({shown}). "
            f"Put {tables} of the right version beside the audio, from {WHERE}."
        )
