"""What the driver knows of a scene in a cluster: its books, without any cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sepbench.harness.engines.ray_flight import RayFlight
from sepbench.harness.engines.ray_worker import SceneAnswer
from sepbench.harness.errors import ChangedFileError
from sepbench.harness.records import Failure
from sepbench.harness.stages.requests import PairResult

UNREADABLE = Failure(error_type="AudioFileError", error="no audio")


class Files:
    """A sink that knows these files, or refuses what it is shown."""

    def __init__(self, *, changed: bool = False) -> None:
        self._changed = changed

    def check_files(self, dataset: str, files: dict[str, str]) -> None:
        if self._changed:
            raise ChangedFileError("mix.wav changed")


def flight(*kept: bool) -> RayFlight:
    """A scene of so many items, those marked with a kept estimate."""
    items = [
        SimpleNamespace(item_id=k, estimate="kept.wav" if here else None, metrics=("sdr",))
        for k, here in enumerate(kept)
    ]
    protocol = SimpleNamespace(sample_rate=8000, dataset="kit")
    job: Any = SimpleNamespace(cell_id=1, joint=False, protocol=protocol, keep=None)
    work: Any = SimpleNamespace(items=items)
    return RayFlight.begin(job, work, "cell")


def answer(**more: Any) -> SceneAnswer:
    given: dict[str, Any] = {"files": {}, "item_failures": {}, "shape": (2, 16000), **more}
    return SceneAnswer(sample_rate=8000, nbytes=100, **given)


def test_only_items_without_a_kept_estimate_wait_for_a_model() -> None:
    scene = flight(True, False, False)

    assert scene.waiting == [1, 2]
    assert scene.ask(scene.waiting).cell == ["cell"]


def test_a_scene_that_was_read_has_its_length_and_no_audio() -> None:
    scene = flight(False)

    pairs = scene.take(answer(pairs=(PairResult(),)), "audio", "part", Files())  # type: ignore[arg-type] # enough of a sink

    assert [pair.failure for pair in pairs] == [None]
    assert scene.loaded.mixture.shape == (2, 16000)
    assert scene.loaded.mixture.base is not None
    assert scene.loaded.mixture.strides == (0, 0)
    assert (scene.objects, scene.nbytes) == (["audio", "part"], 100)


@pytest.mark.parametrize(
    ("said", "changed", "error"),
    [({"failure": UNREADABLE}, False, "no audio"), ({}, True, "mix.wav changed")],
)
def test_a_scene_that_cannot_be_used_fails_all_its_items(
    said: dict[str, Any], changed: bool, error: str
) -> None:
    scene = flight(True, False)
    sink: Any = Files(changed=changed)

    pairs = scene.take(answer(pairs=(PairResult(),), **said), None, {}, sink)

    assert [pair.failure and pair.failure.error for pair in pairs] == [error]
    assert scene.pairs[0].failure is not None
    assert scene.pairs[0].failure.error == error


def test_a_scene_that_is_lost_starts_over_and_fails_with_each_reason_in_the_end() -> None:
    scene = flight(False, False)
    scene.waiting, scene.audio = [1], "audio"

    first = scene.lose("its node went away", 1)
    again = list(scene.waiting)
    second = scene.lose("it went away too", 1)

    assert (first, again, second) == (True, [0, 1], False)
    assert (scene.audio, scene.parts, scene.waiting) == (None, [], [])
    failure = scene.pairs[1].failure
    assert failure is not None
    assert failure.error_type == "ProcessDiedError"
    assert failure.error == (
        "Lost 2 times on its way through the cluster (engine.ray.retries=1): its node went away; "
        "it went away too."
    )
