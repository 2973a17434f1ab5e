"""CLIPSep's test on VGGSound (Dong et al., ICLR 2023): hand-checked clips with others laid over.

The list of the 100 clips, `test-good.csv`, is read from the user's copy: four columns without a
header, of which the first (a path whose stem names the clip) and the last (the label) count. Whom
each meets is drawn by the published code from the rest of VGGSound with a generator whose draws
depend on versions, so the pairs here are our own: drawn by a seed from the test split of
`vggsound.csv`, each clip once, never of the same label or the same video.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from sepbench.datasets.manifest import csv_lines, refuse_duplicates
from sepbench.harness.api import Samples, SceneRow, TargetRow
from sepbench.harness.errors import ManifestError, MissingFileError
from sepbench.harness.mixing import draw_number, pad_to_length

TARGETS = "test-good.csv"
SEED = "sepbench clipsep 1"
SAMPLES, RATE = 65535, 16000  # 4.1 s, as the published networks take
OTHER = "interference"
_FOLDERS = ("", "clipsep", "data/vggsound", "vggsound")


def find_targets(root: Path) -> Path | None:
    """The user's copy of the list, where there is one."""
    paths = (root / folder / TARGETS for folder in _FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def clipsep_rows(root: Path, others: Sequence[tuple[str, str]]) -> Iterator[SceneRow]:
    """One row a target, in the list's order.

    Args:
        root: below which the list lies.
        others: name and label of every clip of VGGSound's test split.

    Raises:
        MissingFileError: no list.
        ManifestError: a line that cannot be understood, a clip named again, or nobody left to
            meet one.
    """
    path = find_targets(root)
    if path is None:
        raise MissingFileError(
            f"Dataset vggsound: {TARGETS} is missing under {root}. It may not be shipped with this "
            "package; get it from github.com/sony/CLIPSep, folder data/vggsound, commit 22b6f91."
        )
    targets = list(_read(path))
    refuse_duplicates((name for name, _ in targets), path, "clip")
    taken = {_video(name) for name, _ in targets}
    free = sorted(
        ((name, label) for name, label in others if _video(name) not in taken),
        key=lambda clip: draw_number(SEED, clip[0]),
    )
    for number, (name, label) in enumerate(targets):
        found = next((clip for clip in free if clip[1] != label), None)
        if found is None:
            raise ManifestError(
                f"{path}: no clip of vggsound.csv's test split is left to be mixed with {name}. "
                "Put the complete table beside the list."
            )
        free.remove(found)
        yield _row(number, (name, label), found)


def excerpt(samples: Samples, sample_rate: int) -> Samples:
    """The middle 65,535 samples at 16 kHz of a clip, (C, N); a shorter one is padded at its end."""
    length = round(SAMPLES * sample_rate / RATE)
    start = max(0, (samples.shape[1] - length) // 2)
    return pad_to_length(samples[:, start:], length)


def _read(path: Path) -> Iterator[tuple[str, str]]:
    for number, fields in csv_lines(path):
        name = PurePosixPath(fields[0].strip()).stem
        if len(fields) != 4 or not _video(name):
            raise ManifestError(
                f"{path}, line {number}, is not 'audio path, frame folder, frame count, label' "
                "with a clip named {id}_{start}. Restore the file."
            )
        yield name, fields[3].strip()


def _video(name: str) -> str:
    """The video of a clip `{id}_{start}`; "" for any other name."""
    video, _, start = name.rpartition("_")
    return video if start.isdecimal() else ""


def _row(number: int, target: tuple[str, str], other: tuple[str, str]) -> SceneRow:
    name, label = target
    return SceneRow(
        scene_id=f"{number:04d}",
        targets=(
            TargetRow(
                name=label,
                label=label,
                texts=(label,),
                cluster=name,
                attributes={"interference": other[1]},
            ),
        ),
        origins=(_video(name), _video(other[0])),
        details={"clip": name, "with": other[0]},
    )
