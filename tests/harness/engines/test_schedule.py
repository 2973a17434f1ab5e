"""Which model a free lane takes, and which scene is read next: decided without any process."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sepbench.harness.engines.schedule import BATCHES_AHEAD, Feed, Schedule
from sepbench.harness.records import CellFacts, Failure
from sepbench.harness.stages.requests import ModelSpec

BROKEN = Failure(error_type="BaselineLoadError", error="no weights")


class Notes:
    """A sink that remembers what it was told."""

    def __init__(self) -> None:
        self.failed: list[tuple[int, str]] = []
        self.loaded: list[tuple[int, float | None]] = []

    def cell_failed(self, cell_id: int, failure: Failure) -> None:
        self.failed.append((cell_id, failure.error))

    def cell_loaded(self, cell_id: int, facts: CellFacts) -> None:
        self.loaded.append((cell_id, facts.flops_per_second))


def spec(label: str, batch_size: int | None = 2) -> ModelSpec:
    return ModelSpec(label=label, name=label, target="m:C", settings={}, batch_size=batch_size)


def job(cell_id: int, model: str, scenes: int, batch_size: int | None = 2) -> Any:
    works: Iterator[str] = iter([f"{model}-{cell_id}-{number}" for number in range(scenes)])
    return SimpleNamespace(
        cell_id=cell_id, model=spec(model, batch_size), scenes=works, num_scenes=scenes
    )


def flight(samples: int = 100, pairs: int = 1, cell_id: int = 1) -> Any:
    mixture = SimpleNamespace(shape=(1, samples))
    return SimpleNamespace(
        loaded=SimpleNamespace(mixture=mixture),
        waiting=list(range(pairs)),
        job=SimpleNamespace(cell_id=cell_id),
    )


def schedule_of(*jobs: Any, sink: Any = None, **more: Any) -> Schedule:
    return Schedule(jobs, sink or Notes(), **more)


def drawn(schedule: Schedule) -> list[str]:
    """Everything that is to be read now."""
    found = []
    while (following := schedule.next_scene()) is not None:
        found.append(str(following[2]))
    return found


def test_the_cells_of_one_model_are_one_feed_wherever_they_stand() -> None:
    schedule = schedule_of(job(1, "a", 3), job(2, "b", 1), job(3, "a", 2))

    assert [(f.spec.label, f.left, len(f.jobs)) for f in schedule.feeds] == [
        ("a", 5, 2),
        ("b", 1, 1),
    ]


# --- lanes --------------------------------------------------------------------------------


def test_free_lanes_take_models_that_no_lane_has_first() -> None:
    schedule = schedule_of(job(1, "a", 9), job(2, "b", 9), job(3, "c", 9))
    taken = []

    for _ in range(3):
        feed = schedule.choose()
        assert feed is not None
        feed.lanes += 1
        taken.append(feed.spec.label)

    assert taken == ["a", "b", "c"]


def test_the_only_model_left_is_shared_while_every_lane_gets_something() -> None:
    many, few = schedule_of(job(1, "a", 4)), schedule_of(job(1, "a", 3))
    many.feeds[0].lanes = few.feeds[0].lanes = 1

    assert many.choose() is many.feeds[0]
    assert few.choose() is None


@pytest.mark.parametrize(("load_seconds", "shared"), [(1.0, True), (30.0, False)])
def test_a_model_is_loaded_again_only_where_that_takes_less_time_than_it_saves(
    load_seconds: float, shared: bool
) -> None:
    schedule = schedule_of(job(1, "a", 100))
    (feed,) = schedule.feeds
    feed.lanes, feed.scene_seconds, feed.load_seconds = 1, 0.1, load_seconds

    assert (schedule.choose() is feed) == shared


def test_the_longest_queue_for_each_lane_is_shared_first() -> None:
    schedule = schedule_of(job(1, "a", 10), job(2, "b", 90), job(3, "c", 100))
    for feed, lanes in zip(schedule.feeds, (1, 1, 4), strict=True):
        feed.lanes = lanes

    chosen = schedule.choose()

    assert chosen is schedule.feeds[1]


def test_a_model_that_does_not_work_in_a_lane_is_left_to_the_others() -> None:
    schedule = schedule_of(job(1, "a", 3), job(2, "b", 3))

    assert schedule.choose([schedule.feeds[0]]) is schedule.feeds[1]
    assert schedule.choose(schedule.feeds) is None


# --- reading ------------------------------------------------------------------------------


def test_scenes_are_read_ahead_of_the_lanes_and_no_further() -> None:
    schedule = schedule_of(job(1, "a", 100), job(2, "b", 100))
    schedule.feeds[0].lanes = 1

    assert drawn(schedule) == [f"a-1-{number}" for number in range(2 * BATCHES_AHEAD)]


def test_the_next_model_is_read_when_all_in_lanes_are_drawn() -> None:
    schedule = schedule_of(job(1, "a", 1), job(2, "b", 1), job(3, "c", 1))
    schedule.feeds[0].lanes = 1

    assert drawn(schedule) == ["a-1-0", "b-2-0", "c-3-0"]


def test_the_lane_nearest_to_waiting_is_read_for_first() -> None:
    schedule = schedule_of(job(1, "a", 9), job(2, "b", 9))
    one, other = schedule.feeds
    one.lanes = other.lanes = 1
    one.ready.extend([flight(), flight()])

    following = schedule.next_scene()

    assert following is not None
    assert following[0] is other


def test_a_run_that_stops_reads_nothing_more_and_gives_back_what_waits() -> None:
    schedule = schedule_of(job(1, "a", 9))
    waiting = flight()
    schedule.feeds[0].ready.append(waiting)

    dropped = schedule.stop()

    assert dropped == [waiting]
    assert schedule.next_scene() is None
    assert schedule.done


# --- batches ------------------------------------------------------------------------------


def feed_with(*flights: Any, wanted: int = 4) -> Feed:
    (feed,) = schedule_of(job(1, "a", 0, wanted)).feeds
    feed.ready.extend(flights)
    return feed


def test_a_batch_holds_scenes_of_one_length_up_to_the_wanted_pairs() -> None:
    flights = [flight(100), flight(50), flight(100, pairs=2), flight(100), flight(100)]
    feed = feed_with(*flights)

    batch = feed.batch()

    assert batch == [flights[0], flights[2], flights[3]]
    assert list(feed.ready) == [flights[1], flights[4]]


def test_the_last_scenes_are_shared_among_lanes_that_wait() -> None:
    feed = feed_with(*[flight() for _ in range(4)])
    assert feed.draw() is None

    assert len(feed.batch(idle_lanes=2)) == 2


def test_a_batch_size_left_open_begins_small() -> None:
    (feed,) = schedule_of(job(1, "a", 5, None)).feeds

    assert feed.wanted == 2


# --- giving up ----------------------------------------------------------------------------


def test_a_model_given_up_fails_its_cells_with_work_left_once_and_no_other() -> None:
    notes = Notes()
    schedule = schedule_of(job(1, "a", 1), job(2, "a", 2), job(3, "b", 2), sink=notes)
    feed = schedule.feeds[0]
    assert feed.draw() is not None
    feed.ready.append(flight(cell_id=1))

    dropped = schedule.give_up(feed, BROKEN)
    schedule.tell_given_up(feed, dropped[0].job)

    assert notes.failed == [(1, "no weights"), (2, "no weights")]
    assert feed.done
    assert not schedule.feeds[1].done


def test_facts_are_told_once_a_cell_and_again_when_more_is_known() -> None:
    notes = Notes()
    schedule = schedule_of(job(1, "a", 2), sink=notes)
    first, other_lane = (CellFacts(device=d, precision="float32") for d in ("cuda:0", "cuda:1"))
    counted = CellFacts(device="cuda:0", precision="float32", flops_per_second=5.0)

    for facts in (first, other_lane, counted, other_lane, None):
        schedule.tell_facts([flight()], facts)

    assert notes.loaded == [(1, None), (1, None), (1, 5.0)]
