"""`files` of every adapter names what `load` reads, and what it would read were it there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.corpora import (
    audiocaps,
    audiosep,
    audioset_eval,
    dcase2024_task9,
    musdb18,
    vggsound,
)

from sepbench.datasets.audiocaps import AudioCaps
from sepbench.datasets.audioset import AudioSet
from sepbench.datasets.audioset_eval import AudioSetEval
from sepbench.datasets.catalog import CATALOG
from sepbench.datasets.clotho import Clotho
from sepbench.datasets.dcase2024_task9 import Dcase2024Task9
from sepbench.datasets.demo_set import DATA, Demo
from sepbench.datasets.esc50 import Esc50
from sepbench.datasets.folder import Folder
from sepbench.datasets.inventory import found_or
from sepbench.datasets.musdb18 import Musdb18
from sepbench.datasets.music import Music
from sepbench.datasets.vggsound import VggSound
from sepbench.datasets.voicebank_demand import VoiceBankDemand
from sepbench.harness.api import FileLister
from sepbench.harness.errors import MissingFileError

WriteTone = Callable[..., Path]


def write_esc50(root: Path, write_tone: WriteTone) -> Path:
    row = Esc50(root).scenes("rebuilt")[0]
    for key in ("target", "interference"):
        write_tone(root / "audio" / row.details[key])
    write_tone(root / "esc50" / "segment-0.wav")
    write_tone(root / "esc50" / "mixture-0.wav")
    return root


def write_voicebank(root: Path, write_tone: WriteTone) -> Path:
    for part in ("clean", "noisy"):
        write_tone(root / f"{part}_testset_wav_16k" / "p232_001.wav")
    return root


def write_folder(root: Path, write_tone: WriteTone) -> Path:
    for name in ("mix, 1.wav", "dog.wav", "rain.wav"):
        write_tone(root / name)
    text = 'mixture,target,query,source:rain\n"mix, 1.wav",dog.wav,a dog,rain.wav\n'
    (root / "manifest.csv").write_text(text, encoding="utf-8")
    return root


def write_audioset_eval(root: Path, write_tone: WriteTone) -> Path:
    audioset_eval.write_audioset_eval(root)
    AudioSetEval(root).cut_segments()
    return root


def plain(write: Callable[..., Path]) -> Callable[[Path, WriteTone], Path]:
    return lambda root, write_tone: write(root)


CORPORA: dict[str, tuple[Callable[[Path, WriteTone], Path], Any, str]] = {
    "audiocaps:audiosep-premixed": (
        plain(audiosep.write_audiocaps),
        AudioCaps,
        "audiosep-premixed",
    ),
    "audiocaps:test-seeded": (plain(audiocaps.write_audiocaps), AudioCaps, "test-seeded"),
    "audiocaps:lassnet": (plain(audiocaps.write_lassnet), AudioCaps, "lassnet"),
    "audioset": (plain(audiosep.write_audioset), AudioSet, "audiosep"),
    "audioset-eval": (write_audioset_eval, AudioSetEval, "mixture"),
    "clotho": (plain(audiosep.write_clotho), Clotho, "audiosep"),
    "dcase2024-task9": (
        plain(dcase2024_task9.write_dcase2024_task9),
        Dcase2024Task9,
        "validation",
    ),
    "demo": (lambda root, write_tone: DATA, Demo, "demo"),
    "esc50:rebuilt": (write_esc50, Esc50, "rebuilt"),
    "esc50:premixed": (write_esc50, Esc50, "premixed"),
    "folder": (write_folder, Folder, "manifest"),
    "musdb18:test": (lambda root, _: musdb18.write_stems(root, "test"), Musdb18, "test"),
    "musdb18:test-hq": (lambda root, _: musdb18.write_hq(root, "test"), Musdb18, "test-hq"),
    "music": (plain(audiosep.write_music), Music, "audiosep"),
    "vggsound": (plain(audiosep.write_vggsound), VggSound, "audiosep"),
    "vggsound:clipsep": (plain(vggsound.write_clipsep), VggSound, "clipsep"),
    "voicebank-demand": (write_voicebank, VoiceBankDemand, "test"),
}


def test_every_built_in_dataset_is_tried() -> None:
    assert {name.partition(":")[0] for name in CORPORA} == set(CATALOG)


@pytest.mark.parametrize("name", CORPORA)
def test_the_files_of_a_scene_are_those_that_are_read(
    name: str, tmp_path: Path, write_tone: WriteTone
) -> None:
    write, made, list_name = CORPORA[name]
    dataset = made(write(tmp_path, write_tone))
    row = dataset.scenes(list_name)[0]

    files = dataset.files(row)

    assert isinstance(dataset, FileLister)
    assert set(files) == set(dataset.load(row, 16000, mono=True).files)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("audiocaps:audiosep-premixed", r"evaluation/data/audiocaps/segment-4\.wav"),
        ("audiocaps:test-seeded", r"Y.{11}\.wav"),
        ("audioset", r"class_id=0/class_id=0,index=\d{3},source\.wav"),
        ("clotho", r"segment-1554\.wav"),
        ("dcase2024-task9", r"lass_validation/-2002\.wav"),
        ("esc50:rebuilt", r"audio/\d-\d+-[A-Z]-\d+\.wav"),
        ("esc50:premixed", r"esc50/segment-\d+\.wav"),
        ("music", r"data/music/segment-\d+\.wav"),
        ("vggsound", r"data/s0_wav/.+\.wav"),
    ],
)
def test_a_file_that_is_missing_is_named_as_it_is_expected(
    name: str, expected: str, tmp_path: Path, write_tone: WriteTone
) -> None:
    write, made, list_name = CORPORA[name]
    dataset = made(write(tmp_path, write_tone))
    row = dataset.scenes(list_name)[1]
    for file in dataset.files(row):
        (tmp_path / file).unlink(missing_ok=True)

    missing = made(tmp_path).files(row)[0]

    assert re.fullmatch(expected, missing)
    assert not (tmp_path / missing).exists()


def test_a_search_that_finds_nothing_gives_the_expected_name() -> None:
    def nowhere(name: str) -> str:
        raise MissingFileError(name)

    assert found_or("audio/a.wav", nowhere, "a.wav") == "audio/a.wav"
    assert found_or("audio/a.wav", str.upper, "a.wav") == "A.WAV"
