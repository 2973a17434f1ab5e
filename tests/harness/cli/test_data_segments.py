"""`bench data prepare --detector`: segments of AudioSet's evaluation split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sepbench_testkit.corpora.audioset_eval import CLIPS, write_audioset_eval

from sepbench.datasets.audioset_eval import AudioSetEval
from sepbench.harness.api import EncoderCard
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import QueryError
from sepbench.harness.run import probing

Bench = Callable[..., Any]
CLASSES = AudioSetEval().segment_classes


class Middle:
    """Hears every class from 0.5 s on; its classes are in an order of their own."""

    card = EncoderCard(name="middle", kind="audio", dimension=1, sample_rate=32_000)
    class_names = CLASSES[::-1]
    asked: list[tuple[int, int]] = []  # noqa: RUF012 - emptied by the fixture

    def load(self, device: str) -> None:
        """Nothing to load."""

    def encode_audio(self, clips: Any) -> torch.Tensor:
        return torch.zeros(len(clips), 1)

    def clipwise(self, clips: Any) -> torch.Tensor:
        return torch.zeros(len(clips), len(self.class_names))

    def locate(self, clip: torch.Tensor, class_index: int) -> Any:
        self.asked.append((len(clip), class_index))
        return SimpleNamespace(start=0.5, end=2.5, framewise=torch.zeros(10))


class Picky(Middle):
    def locate(self, clip: torch.Tensor, class_index: int) -> Any:
        if self.class_names[class_index] == "Dog":
            raise QueryError("it barks")
        return super().locate(clip, class_index)


class Few(Middle):
    class_names = CLASSES[:500]


class Slow(Middle):
    card = EncoderCard(name="slow", kind="audio", dimension=1, sample_rate=16_000)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = {f"kit:{each.__name__}": each for each in (Middle, Picky, Few, Slow)}
    monkeypatch.setattr(probing, "import_target", lambda name, what: made[name])
    monkeypatch.setattr(Middle, "asked", [])
    return write_audioset_eval(tmp_path / "audioset")


def cut(bench: Bench, root: Path, detector: str, name: str = "audioset-eval") -> Any:
    return bench("data", "prepare", name, "--root", f"{name}={root}", "--detector", detector)


def test_segments_are_cut_once_where_the_detector_hears_their_class(
    bench: Bench, root: Path
) -> None:
    first = cut(bench, root, "kit:Middle")
    asked = list(Middle.asked)
    again = cut(bench, root, "kit:Middle")

    there = sorted((root / "segments").iterdir())
    numbers = [int(path.stem.rpartition("-")[2]) for path in there]
    assert (first.code, again.code) == (0, 0), first.err
    assert f"cut        {len(there)} segments are there" in first.out
    assert Middle.asked == asked
    assert sorted(len(CLASSES) - 1 - index for _, index in asked) == sorted(numbers)
    whole = read_audio(root / "eval" / f"Y{there[0].stem[:-4]}.wav", sample_rate=32_000).samples
    np.testing.assert_array_equal(read_audio(there[0]).samples, whole[:, 16_000:80_000])
    (manifest,) = root.glob(".sepbench-manifest.json")
    assert f"segments/{there[0].name}" in json.dumps(json.loads(manifest.read_text()))


def test_clips_that_cannot_be_used_are_named_and_the_others_cut(bench: Bench, root: Path) -> None:
    whole = next(path for path in (root / "eval").iterdir() if "cApplause" in path.name)
    whole.write_bytes(b"no audio")

    done = cut(bench, root, "kit:Picky")

    names = {path.stem[:-4] for path in (root / "segments").iterdir()}
    assert done.code == 1
    assert "REFUSED" in done.out
    assert "cApplause-67" in done.out
    assert names
    assert names <= set(CLIPS) - {"cApplause-67"}


@pytest.mark.parametrize(
    ("detector", "words"),
    [
        ("logmel-stats", "tells no such events"),
        ("kit:Few", "lacks 27 classes of audioset-eval"),
        ("kit:Slow", "hears at 16000 Hz"),
        ("htsatt", "Unknown query encoder 'htsatt'"),
    ],
)
def test_encoders_that_cannot_cut_are_refused(
    detector: str, words: str, bench: Bench, root: Path
) -> None:
    done = cut(bench, root, detector)

    assert done.code != 0
    assert words in done.out + done.err
    assert not (root / "segments").exists()


def test_without_clips_nothing_is_cut(bench: Bench, root: Path) -> None:
    write_audioset_eval(root, without=tuple(CLIPS))
    for path in (root / "eval").iterdir():
        path.unlink()

    done = cut(bench, root, "kit:Middle")

    assert done.code == 1
    assert "missing    no segment was cut" in done.out


def test_a_dataset_without_segments_says_so(bench: Bench, root: Path) -> None:
    done = cut(bench, root, "kit:Middle", "folder")

    assert done.code == 1
    assert "Dataset folder has no segments to cut" in done.out
