"""An actor that ends, as the driver sees it; Ray itself is not started."""

from __future__ import annotations

from collections import Counter, deque
from types import SimpleNamespace
from typing import Any

import pytest

from sepbench.harness.engines.custody import whole
from sepbench.harness.engines.processes import STARTS
from sepbench.harness.engines.ray_cluster import Places
from sepbench.harness.engines.ray_flight import RayFlight
from sepbench.harness.engines.ray_lane import RayLane, _Call
from sepbench.harness.engines.ray_scoring import RayScoring
from sepbench.harness.engines.schedule import Feed
from sepbench.harness.records import CellFacts, Failure
from sepbench.harness.settings import EngineSettings
from sepbench.harness.stages.requests import ModelSpec

ray = pytest.importorskip("ray")

SPEC = ModelSpec(label="m", name="m", target="m:C", settings={})
PLACES = Places(actors=1, scorers=1, options={}, device="cpu", threads=1, store_bytes=1 << 30)
NO_MEMORY = "Memory on the node was 5.9GB / 6.0GB; Ray killed this worker."


class Nodes:
    """All that were there still are, but those named."""

    lost = 0

    def __init__(self, *gone: str) -> None:
        self._gone = gone

    def has(self, node_id: str) -> bool:
        return node_id not in self._gone


def flight(*kept: bool) -> RayFlight:
    items = [
        SimpleNamespace(
            item_id=k, estimate="kept.wav" if here else None, metrics=("sdr",), scored=True
        )
        for k, here in enumerate(kept)
    ]
    protocol = SimpleNamespace(sample_rate=8000, dataset="kit")
    job: Any = SimpleNamespace(cell_id=1, joint=False, protocol=protocol, keep=None)
    return RayFlight.begin(job, SimpleNamespace(items=items), "cell")  # type: ignore[arg-type] # enough of one


def lane_with(monkeypatch: pytest.MonkeyPatch, error: Exception, nodes: Any) -> RayLane:
    """A lane whose actor is there; whatever it answers, this error is what comes."""

    def get(ref: Any) -> Any:
        raise error

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "kill", lambda actor, no_restart: None)
    lane = RayLane(0, PLACES, EngineSettings(), nodes, sink=None)  # type: ignore[arg-type] # asked nothing
    lane.use(Feed(SPEC, deque()))
    begin(lane)
    return lane


def begin(lane: RayLane, *, loaded: bool = False) -> None:
    """An actor has its place, and perhaps its model."""
    lane._actor, lane._node = object(), "node"
    lane._loading_ref = None if loaded else "loading"
    lane.facts = CellFacts(device="cpu", precision="float32") if loaded else None


def work(lane: RayLane, *flights: RayFlight) -> None:
    """It works on these."""
    begin(lane, loaded=True)
    lane._custody.take([whole(each) for each in flights])
    lane._calls.append(_Call("answer", []))


def died() -> Exception:
    from ray.exceptions import ActorDiedError

    return ActorDiedError()


def no_memory() -> Exception:
    from ray.exceptions import OutOfMemoryError

    return OutOfMemoryError(NO_MEMORY)


def test_an_actor_killed_for_its_memory_has_its_batch_taken_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lane, scenes = lane_with(monkeypatch, no_memory(), Nodes()), [flight(False), flight(False)]
    work(lane, *scenes)

    done = lane.on_ready()

    assert (done, lane.failed) == ([], None)
    assert lane._custody.broken_up
    assert lane.flights == scenes


def test_an_item_that_takes_all_memory_twice_fails_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    lane, scene = lane_with(monkeypatch, no_memory(), Nodes()), flight(False)
    work(lane, scene)
    lane.on_ready()
    piece = lane._custody.next_alone()
    assert piece is not None
    begin(lane, loaded=True)
    lane._custody.take([piece])
    lane._calls.append(_Call("answer", []))

    done = lane.on_ready()

    assert done == [scene]
    failure = scene.pairs[0].failure
    assert failure is not None
    assert failure.error_type == "ProcessDiedError"
    assert "was killed as its node ran out of memory on this item" in failure.error


@pytest.mark.parametrize("error", [no_memory, died])
def test_an_actor_that_ends_while_loading_is_tried_again_before_the_model_is_given_up(
    monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    lane = lane_with(monkeypatch, error(), Nodes())

    given_up = []
    for _ in range(STARTS):
        begin(lane)
        lane.on_ready()
        given_up.append(lane.failed is not None)

    assert given_up == [False] * (STARTS - 1) + [True]
    assert lane.failed is not None
    assert "while loading" in lane.failed.error


def test_a_node_lost_while_items_go_one_by_one_gives_their_scene_back_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lane, scene = lane_with(monkeypatch, died(), Nodes()), flight(False, False, False)
    work(lane, scene)
    lane.on_ready()
    piece = lane._custody.next_alone()
    assert piece is not None
    begin(lane, loaded=True)
    lane._custody.take([piece])
    lane._calls.append(_Call("answer", []))
    lane._nodes = Nodes("node")  # type: ignore[assignment] # enough of them

    done = lane.on_ready()

    assert done == []
    assert lane.feed is not None
    assert list(lane.feed.ready) == [scene]
    assert (scene.waiting, scene.lost) == ([0, 1, 2], ["its node went away"])


# --- scoring ------------------------------------------------------------------------------


def test_what_is_kept_of_a_scene_is_scored_when_its_model_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[tuple[list[RayFlight], bool]] = []
    monkeypatch.setattr(
        RayScoring, "_begin", lambda self, flights, *, reads: begun.append((flights, reads))
    )
    scoring = RayScoring(EngineSettings(), PLACES, Nodes(), sink=None)  # type: ignore[arg-type] # asked nothing
    partly, nothing = flight(True, False), flight(False)
    for scene in (partly, nothing):
        scene.abandon()
    scoring.add([partly, nothing])

    landed = scoring.dispatch()

    assert begun == [([partly], True)]  # its estimate is read first
    assert [(scene, outcomes) for scene, outcomes in landed] == [(nothing, [])]
    assert partly.scorable == [0]
    assert partly.lane_deaths == Counter()


def test_a_kept_estimate_that_cannot_be_read_is_not_asked_for_again() -> None:
    scoring = RayScoring(EngineSettings(), PLACES, Nodes(), sink=None)  # type: ignore[arg-type] # asked nothing
    scene = flight(True, False)
    scene.abandon()
    scene.pairs[0].failure = Failure(error_type="AudioFileError", error="no audio")

    assert not scoring._unread(scene)
