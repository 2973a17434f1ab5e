"""Embedding a corpus: in batches, once, and with every failure named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from sepbench.harness.api import Clip
from sepbench.harness.errors import BaselineError, BaselineLoadError, QueryError
from sepbench.harness.probing.embed import Source, embed_clips


class Listener:
    """Gives mean and length of what it hears, and remembers how it was called."""

    def __init__(self) -> None:
        self.loads = 0
        self.batches: list[int] = []

    def load(self) -> None:
        self.loads += 1

    def encode(self, clips: Sequence[torch.Tensor]) -> torch.Tensor:
        self.batches.append(len(clips))
        if any(not clip.any() for clip in clips):
            raise QueryError("nothing sounds")
        return torch.stack([torch.tensor([clip.mean(), float(len(clip))]) for clip in clips])


def source(listener: Any, *, version: str = "1", dimension: int = 2) -> Source:
    return Source(
        name="listener",
        sample_rate=8000,
        dimension=dimension,
        identity={"version": version, "crop": "whole"},
        load=listener.load,
        encode=listener.encode,
    )


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    for k in range(5):
        soundfile.write(tmp_path / f"{k}.wav", np.full((100 + k, 2), 0.1 * (k + 1)), 8000, "FLOAT")
    return [Clip(clip_id=str(k), path=tmp_path / f"{k}.wav") for k in range(5)]


def test_clips_are_embedded_in_batches_and_in_order(clips: list[Clip], tmp_path: Path) -> None:
    listener, done = Listener(), list[int]()

    found = embed_clips(
        source(listener), clips, cache=tmp_path / "cache", batch_size=2, report=done.append
    )

    np.testing.assert_allclose(found.vectors[:, 0], [0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(found.vectors[:, 1], [100, 101, 102, 103, 104])
    assert listener.batches == [2, 2, 1]
    assert done == [0, 2, 4, 5]


def test_clips_are_mixed_down_and_resampled_to_the_encoders_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.tile([0.2, 0.4], (1600, 1)), 16000, "FLOAT")

    found = embed_clips(
        source(Listener()), [Clip(clip_id="a", path=tmp_path / "a.wav")], cache=tmp_path / "cache"
    )

    assert found.vectors[0, 1] == 800
    assert found.vectors[0, 0] == pytest.approx(0.3, rel=0.01)


def test_what_is_in_the_cache_needs_no_weights(clips: list[Clip], tmp_path: Path) -> None:
    first = embed_clips(source(Listener()), clips, cache=tmp_path / "cache")
    clips[0].path.rename(tmp_path / "other name.wav")
    moved = [Clip(clip_id="0", path=tmp_path / "other name.wav"), *clips[1:]]
    again = Listener()

    second = embed_clips(source(again), moved, cache=tmp_path / "cache")

    np.testing.assert_array_equal(second.vectors, first.vectors)
    assert (again.loads, again.batches) == (0, [])


def test_another_encoder_or_other_audio_is_embedded_again(
    clips: list[Clip], tmp_path: Path
) -> None:
    embed_clips(source(Listener()), clips, cache=tmp_path / "cache")
    soundfile.write(clips[0].path, np.full(50, 0.9), 8000, "FLOAT")
    same, other = Listener(), Listener()

    changed = embed_clips(source(same), clips, cache=tmp_path / "cache")
    embed_clips(source(other, version="2"), clips, cache=tmp_path / "cache")

    assert changed.vectors[0, 1] == 50
    assert same.batches == [1]
    assert other.batches == [5]


def test_a_damaged_cache_file_is_made_again(clips: list[Clip], tmp_path: Path) -> None:
    first = embed_clips(source(Listener()), clips, cache=tmp_path / "cache")
    next((tmp_path / "cache").rglob("*.npy")).write_bytes(b"\x93NUMPY")
    again = Listener()

    second = embed_clips(source(again), clips, cache=tmp_path / "cache")

    np.testing.assert_array_equal(second.vectors, first.vectors)
    assert again.batches == [1]


def test_a_clip_that_the_encoder_refuses_costs_itself_only(
    clips: list[Clip], tmp_path: Path
) -> None:
    soundfile.write(clips[1].path, np.zeros(50), 8000, "FLOAT")

    found = embed_clips(source(Listener()), clips, cache=tmp_path / "cache", batch_size=3)

    assert found.refused == {1: "nothing sounds"}
    assert np.isnan(found.vectors[1]).all()
    assert np.isfinite(found.vectors[[0, 2, 3, 4]]).all()


def test_a_file_that_cannot_be_used_costs_itself_only(clips: list[Clip], tmp_path: Path) -> None:
    clips[2].path.write_bytes(b"no audio")
    clips[3].path.unlink()

    found = embed_clips(source(Listener()), clips, cache=tmp_path / "cache")

    assert "not readable as audio" in found.unreadable[2]
    assert "No such file" in found.unreadable[3]
    assert np.isfinite(found.vectors[[0, 1, 4]]).all()


class Raising(Listener):
    def encode(self, clips: Sequence[torch.Tensor]) -> torch.Tensor:
        raise RuntimeError("shapes do not fit")


class Endless(Listener):
    def encode(self, clips: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.full((len(clips), 2), float("inf"))


class Single(Listener):
    def encode(self, clips: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.zeros(1, 2)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (Raising(), "'listener' failed on 5 clips: RuntimeError: shapes do not fit"),
        (Endless(), "'listener' gave an embedding with NaN or infinite"),
        (Single(), r"'listener' gave embeddings of shape \(1, 2\); expected \(5, 2\)"),
    ],
)
def test_a_broken_encoder_is_named(
    clips: list[Clip], tmp_path: Path, broken: Listener, words: str
) -> None:
    with pytest.raises(BaselineError, match=words):
        embed_clips(source(broken), clips, cache=tmp_path / "cache")

    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_an_encoder_that_cannot_load_is_named(clips: list[Clip], tmp_path: Path) -> None:
    class Unloadable(Listener):
        def load(self) -> None:
            raise ValueError("no such device")

    with pytest.raises(BaselineLoadError, match="'listener' cannot load: ValueError: no such"):
        embed_clips(source(Unloadable()), clips, cache=tmp_path / "cache")
