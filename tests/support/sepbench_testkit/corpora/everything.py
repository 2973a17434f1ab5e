"""A tiny copy of every corpus below one folder, under the names that `SEPBENCH_DATA` expects.

python -m sepbench_testkit.corpora FOLDER
SEPBENCH_DATA=FOLDER bench data status
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sepbench_testkit.corpora import (
    audiocaps,
    audiosep,
    audioset_eval,
    dcase2024_task9,
    esc50,
    folder,
    musdb18,
    vggsound,
    voicebank_demand,
)


def _audiocaps(root: Path) -> Path:
    audiocaps.write_audiocaps(root)
    audiocaps.write_lassnet(root)
    return audiosep.write_audiocaps(root)


def _musdb18(root: Path) -> Path:
    musdb18.write_stems(root, "test")
    return musdb18.write_stems(root, "train")


def _vggsound(root: Path) -> Path:
    audiosep.write_vggsound(root)
    return vggsound.write_clipsep(root)


# The demo corpus ships whole.
CORPORA: Mapping[str, Callable[[Path], Path]] = {
    "audiocaps": _audiocaps,
    "audioset": audiosep.write_audioset,
    "audioset-eval": audioset_eval.write_audioset_eval,
    "clotho": audiosep.write_clotho,
    "dcase2024-task9": dcase2024_task9.write_dcase2024_task9,
    "esc50": esc50.write_esc50,
    "folder": folder.write_folder,
    "musdb18": _musdb18,
    "music": audiosep.write_music,
    "vggsound": _vggsound,
    "voicebank-demand": voicebank_demand.write_voicebank,
}


def write_everything(parent: Path) -> Path:
    """Each corpus in a folder of its name."""
    for name, write in CORPORA.items():
        write(parent / name)
    return parent
