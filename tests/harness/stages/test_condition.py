from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sepbench.harness.api import BaselineCard, Example, Query
from sepbench.harness.audio import write_wav
from sepbench.harness.identity import file_sha256
from sepbench.harness.stages.condition import ConditionCache

DOG, RAIN = Query(text="a dog"), Query(text="rain")


class Recorder:
    """Remembers what it was asked; `bad` texts raise."""

    card = BaselineCard(name="recorder", query_kinds=("text", "audio"), sample_rate=8000)

    def __init__(self, *, bad: Sequence[str] = (), short: bool = False) -> None:
        self.asked: list[list[Query]] = []
        self.bad, self.short = bad, short

    def load(self, device: str) -> None: ...

    def condition(self, queries: Sequence[Query]) -> Sequence[Any]:
        self.asked.append(list(queries))
        if any(query.text in self.bad for query in queries):
            raise RuntimeError("what is that?")
        return [query.words for query in queries][int(self.short) :]

    def separate(self, mixture: Any, condition: Any) -> Any:
        return mixture


def test_each_unique_query_is_computed_once() -> None:
    model = Recorder()
    cache = ConditionCache(model)

    first = cache.get([DOG, RAIN, DOG])
    second = cache.get([RAIN])

    assert [made.condition for made in first] == ["a dog", "rain", "a dog"]
    assert second[0].condition == "rain"
    assert model.asked == [[DOG, RAIN]]


def test_the_time_is_carried_by_the_item_that_caused_the_work() -> None:
    cache = ConditionCache(Recorder())

    first, again = cache.get([DOG, DOG])

    assert first.seconds > 0
    assert again.seconds == 0
    assert cache.get([DOG])[0].seconds == 0


def test_a_failing_query_harms_no_other() -> None:
    cache = ConditionCache(Recorder(bad=["a dog"]))

    dog, rain = cache.get([DOG, RAIN])

    assert rain.condition == "rain"
    assert rain.failure is None
    assert dog.failure is not None
    assert dog.failure.error_type == "RuntimeError"
    assert dog.failure.error == "what is that?"
    assert "Traceback" in dog.failure.traceback


def test_a_failure_is_not_cached() -> None:
    model = Recorder(bad=["a dog"])
    cache = ConditionCache(model)
    cache.get([DOG, RAIN])

    model.bad = ()

    assert cache.get([DOG])[0].condition == "a dog"
    assert cache.get([RAIN])[0].condition == "rain"


def test_a_wrong_number_of_conditions_is_named() -> None:
    made = ConditionCache(Recorder(short=True)).get([DOG])[0]

    assert made.failure is not None
    assert made.failure.error_type == "QueryError"
    assert made.failure.error == "recorder.condition returned 0 conditions for 1 queries."
    assert made.failure.traceback == ""


def test_the_least_recently_used_condition_is_dropped_first() -> None:
    model = Recorder()
    cache = ConditionCache(model, capacity=2)
    cache.get([DOG, RAIN])
    cache.get([DOG])
    cache.get([Query(text="wind")])  # rain has to go

    cache.get([DOG])
    cache.get([RAIN])

    assert model.asked[1:] == [[Query(text="wind")], [RAIN]]


def test_more_queries_than_the_cache_holds_are_all_answered() -> None:
    cache = ConditionCache(Recorder(), capacity=1)

    made = cache.get([DOG, RAIN])

    assert [one.condition for one in made] == ["a dog", "rain"]


def test_examples_come_at_the_models_rate_in_mono_with_their_digest(tmp_path: Path) -> None:
    path = tmp_path / "dog.wav"
    write_wav(path, np.full((2, 1600), 0.25, dtype=np.float32), 16000)
    model = Recorder()

    made = ConditionCache(model).get([Query(examples=(Example(clip_id="dog-1", path=path),))])

    example = model.asked[0][0].examples[0]
    assert example.waveform is not None
    assert tuple(example.waveform.shape) == (1, 800)
    assert example.sample_rate == 8000
    assert made[0].example_files == {"dog-1": file_sha256(path)}


def test_examples_that_carry_their_audio_are_left_alone() -> None:
    model = Recorder()
    example = Example(clip_id="dog-1", waveform=object(), sha256="known")

    made = ConditionCache(model).get([Query(examples=(example,))])

    assert model.asked[0][0].examples == (example,)
    assert made[0].example_files == {"dog-1": "known"}


@pytest.mark.parametrize(
    ("path", "error_type", "words"),
    [
        (None, "QueryError", "Example 'dog-1' has neither audio nor a path"),
        (Path("gone.wav"), "MissingFileError", "gone.wav"),
    ],
)
def test_an_unreadable_example_fails_its_own_query(
    path: Path | None, error_type: str, words: str
) -> None:
    query = Query(examples=(Example(clip_id="dog-1", path=path),))

    bad, good = ConditionCache(Recorder()).get([query, DOG])

    assert good.condition == "a dog"
    assert bad.failure is not None
    assert bad.failure.error_type == error_type
    assert words in bad.failure.error
