from __future__ import annotations

import torch

from sepbench.baselines.encoders.remembered import RememberedClips, key_of
from sepbench.harness.api import Example


class Counter:
    """Encodes a clip as its mean; keeps how many it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, clips: list[torch.Tensor]) -> torch.Tensor:
        self.asked.append(len(clips))
        return torch.stack([clip.mean(0, keepdim=True) for clip in clips])


def clip(value: float) -> torch.Tensor:
    return torch.full((4,), float(value))


def test_a_clip_is_encoded_once_and_new_ones_together() -> None:
    memory, encode = RememberedClips(), Counter()

    first = memory.embed([(("a", 0), clip(1)), (("b", 0), clip(2)), (("a", 0), clip(1))], encode)
    again = memory.embed([(("b", 0), clip(2)), (("c", 0), clip(3))], encode)

    assert [float(each) for each in first] == [1, 2, 1]
    assert [float(each) for each in again] == [2, 3]
    assert encode.asked == [2, 1]


def test_streams_of_one_file_are_different_sounds() -> None:
    bass, vocals = (
        Example(clip_id=f"song/{stream}", sha256="same", stream=stream) for stream in (2, 4)
    )

    memory, encode = RememberedClips(), Counter()
    found = memory.embed([(key_of(bass), clip(1)), (key_of(vocals), clip(5))], encode)

    assert [float(each) for each in found] == [1, 5]


def test_what_has_no_file_is_not_remembered() -> None:
    memory, encode = RememberedClips(), Counter()
    unknown = key_of(Example(clip_id="from memory"))

    found = memory.embed([(unknown, clip(1)), (unknown, clip(2))], encode)
    memory.embed([(unknown, clip(1))], encode)

    assert unknown is None
    assert [float(each) for each in found] == [1, 2]
    assert encode.asked == [2, 1]


def test_the_least_recently_used_clips_are_dropped() -> None:
    memory, encode = RememberedClips(capacity=2), Counter()
    for name in "abac":
        memory.embed([((name, 0), clip(1))], encode)

    memory.embed([(("a", 0), clip(1))], encode)
    memory.embed([(("b", 0), clip(1))], encode)

    assert encode.asked == [1, 1, 1, 1]  # a, b, c, and b again; a was kept


def test_other_weights_begin_with_nothing() -> None:
    memory, encode = RememberedClips(), Counter()
    memory.embed([(("a", 0), clip(1))], encode)

    memory.clear()
    memory.embed([(("a", 0), clip(1))], encode)

    assert encode.asked == [1, 1]
