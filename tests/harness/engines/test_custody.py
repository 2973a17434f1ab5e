"""The books of a place that separates: what it holds goes back once, whatever it broke into."""

from __future__ import annotations

from collections import Counter, deque
from types import SimpleNamespace
from typing import Any

from sepbench.harness.engines.custody import Custody, Piece, whole
from sepbench.harness.engines.schedule import Feed
from sepbench.harness.settings import EngineSettings
from sepbench.harness.stages.requests import ModelSpec, PairResult


def feed() -> Feed:
    return Feed(ModelSpec(label="m", name="m", target="m:C", settings={}), deque())


def flight(items: int) -> Any:
    return SimpleNamespace(
        job=SimpleNamespace(joint=False),
        waiting=list(range(items)),
        pairs=[PairResult() for _ in range(items)],
        peak_memory=0,
        lane_deaths=Counter(),
    )


def broken(*flights: Any, into: Feed) -> Custody:
    """A place that broke with one batch of these, and has begun the first item by itself."""
    custody = Custody(EngineSettings())
    custody.take([whole(each) for each in flights])
    assert custody.broke("m", "ended", timed_out=False, feed=into) == []
    piece = custody.next_alone()
    assert piece is not None
    custody.take([piece])
    return custody


def test_a_scene_whose_items_go_one_by_one_goes_back_once() -> None:
    ready, scene, other = feed(), flight(3), flight(2)
    custody = broken(scene, other, into=ready)

    custody.give_back(ready)

    assert list(ready.ready) == [scene, other]
    assert not custody.working
    assert not custody.broken_up
    assert custody.flights == []


def test_what_goes_back_is_finished_by_another_place() -> None:
    ready, scene = feed(), flight(3)
    broken(scene, into=ready).give_back(ready)
    other = Custody(EngineSettings())

    other.take([whole(each) for each in ready.ready])
    results = [[PairResult()] * len(piece.indices) for piece in other.first]
    done, count = other.answered(results, 0)

    assert (done, count) == ([scene], 3)
    assert scene.waiting == []


def test_pieces_go_back_before_the_batches_that_came_after_them() -> None:
    ready, first, second = feed(), flight(1), flight(1)
    custody = Custody(EngineSettings())
    custody.take([Piece(first, (0,))])
    custody.take([Piece(second, (0,))])

    custody.give_back(ready)

    assert list(ready.ready) == [first, second]
