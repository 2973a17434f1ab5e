from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sepbench.harness.api import Clip, QueryKind, QueryRule, SceneRow, TargetRow
from sepbench.harness.errors import NotApplicableError
from sepbench.harness.queries import AskedQuery, ExamplePool, choose_kind, queries_of, restore_query

DOG = TargetRow(name="target", label="dog")
ROW = SceneRow(scene_id="s", targets=(DOG,), origins=("mixed-1", "mixed-2"))


def clip(name: str, *, label: str = "dog", origin: str | None = None) -> Clip:
    origin = name if origin is None else origin
    return Clip(clip_id=name, path=Path(f"/{name}.wav"), labels=(label,), origin=origin)


def ask(
    target: TargetRow = DOG,
    *,
    kind: QueryKind,
    row: SceneRow = ROW,
    pool: ExamplePool | None = None,
    shots: int = 1,
    revision: str = "1",
    **rule: Any,
) -> list[AskedQuery]:
    return list(
        queries_of(
            row,
            target,
            kind=kind,
            rule=QueryRule(**rule),
            shots=shots,
            pool=pool,
            seed_parts=("data", "list", revision),
        )
    )


# --- which kind -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "supported", "chosen"),
    [
        (("text", "label", "audio"), ("audio", "text"), "text"),
        (("audio", "text"), ("text", "audio"), "audio"),
        (("text", "label", "audio"), ("audio",), "audio"),
        (("label",), ("text", "label"), "label"),
    ],
)
def test_the_first_kind_of_the_protocol_that_the_model_supports(
    kinds: tuple[QueryKind, ...], supported: tuple[QueryKind, ...], chosen: str
) -> None:
    assert choose_kind(QueryRule(kinds=kinds), supported, None) == chosen


def test_the_kind_that_was_asked_for_beats_the_order() -> None:
    assert choose_kind(QueryRule(), ("text", "audio"), "audio") == "audio"


def test_a_text_with_examples_is_asked_for_by_name_only() -> None:
    supported: tuple[QueryKind, ...] = ("text+audio", "audio")

    assert choose_kind(QueryRule(), supported, None) == "audio"
    assert choose_kind(QueryRule(), supported, "text+audio") == "text+audio"


@pytest.mark.parametrize("forced", [None, "audio"])
def test_a_model_without_queries_is_asked_nothing(forced: QueryKind | None) -> None:
    assert choose_kind(QueryRule(), (), forced) == "none"


@pytest.mark.parametrize(
    ("kinds", "supported", "forced", "words"),
    [
        (("text",), ("audio", "label"), None, "takes audio or label queries; the protocol has te"),
        (("text", "audio"), ("text",), "audio", "takes text queries, not audio"),
        (("text",), ("text", "audio"), "audio", "the protocol has no audio queries"),
        (("text",), ("text+audio",), "text+audio", r"the protocol has no text\+audio queries"),
        (("text", "audio"), ("audio",), "text+audio", r"takes audio queries, not text\+audio"),
    ],
)
def test_a_kind_that_cannot_be_is_said(kinds: Any, supported: Any, forced: Any, words: str) -> None:
    with pytest.raises(NotApplicableError, match=words):
        choose_kind(QueryRule(kinds=kinds), supported, forced)


# --- words ----------------------------------------------------------------------------------


def test_every_caption_is_a_query_of_its_own() -> None:
    target = TargetRow(name="t", label="dog", texts=("a dog barks", "barking"))

    assert ask(target, kind="text") == [
        AskedQuery(index=0, text="a dog barks"),
        AskedQuery(index=1, text="barking"),
    ]


def test_a_label_becomes_words_where_there_is_no_caption() -> None:
    target = TargetRow(name="t", label="sea_waves")

    assert ask(target, kind="text") == [AskedQuery(index=0, text="sea waves")]


def test_a_template_is_filled_with_the_label() -> None:
    target = TargetRow(name="t", label="sea_waves")

    (asked,) = ask(target, kind="text", template="the sound of {label}, {label} alone")

    assert asked.text == "the sound of sea waves, sea waves alone"


def test_captions_beat_the_template() -> None:
    target = TargetRow(name="t", label="dog", texts=("woof",))

    assert ask(target, kind="text", template="a {label}") == [AskedQuery(index=0, text="woof")]


def test_a_label_query_keeps_the_label_as_it_is() -> None:
    target = TargetRow(name="t", label="sea_waves", texts=("a", "b"))

    assert ask(target, kind="label") == [AskedQuery(index=0, label="sea_waves")]


@pytest.mark.parametrize("kind", ["text", "label"])
def test_a_target_without_words_is_not_applicable(kind: QueryKind) -> None:
    with pytest.raises(NotApplicableError, match=f"scene s, target t has no {kind}"):
        ask(TargetRow(name="t"), kind=kind)


def test_no_query_is_one_empty_record() -> None:
    (asked,) = ask(kind="none")

    assert asked.record() == {}


# --- examples -------------------------------------------------------------------------------

DOGS = [clip(f"dog-{number}") for number in range(10)]


def draw(clips: list[Clip], *, shots: int = 3, **changes: Any) -> tuple[str, ...]:
    (asked,) = ask(kind="audio", pool=ExamplePool(clips), shots=shots, **changes)
    return asked.clip_ids


def test_the_draw_is_the_same_in_any_order_of_the_pool() -> None:
    assert draw(DOGS) == draw(DOGS[::-1])


def test_other_scenes_revisions_and_counts_draw_for_themselves() -> None:
    row = SceneRow(scene_id="other", targets=(DOG,))

    draws = {draw(DOGS), draw(DOGS, row=row), draw(DOGS, revision="2"), draw(DOGS, shots=4)[:3]}

    assert len(draws) == 4


def test_a_draw_is_over_the_whole_pool() -> None:
    rows = [SceneRow(scene_id=str(number), targets=(DOG,)) for number in range(100)]

    drawn = {draw(DOGS, shots=1, row=row)[0] for row in rows}

    assert drawn == {clip.clip_id for clip in DOGS}


def test_no_clip_comes_twice() -> None:
    twice = Clip(clip_id="x", path=Path("/x.wav"), labels=("dog", "dog"), origin="x")

    assert sorted(draw([twice, clip("y")], shots=2)) == ["x", "y"]


def test_recordings_of_the_scene_are_never_examples() -> None:
    pool = [clip("a", origin="mixed-1"), clip("b", origin="mixed-2"), clip("c")]

    assert draw(pool, shots=1) == ("c",)


@pytest.mark.parametrize("own", [clip("c1", origin="o1"), clip("take", origin="c1"), clip("c1")])
def test_the_target_is_no_example_of_itself_where_a_row_names_no_recordings(own: Clip) -> None:
    target = replace(DOG, cluster="c1")
    row = SceneRow(scene_id="s", targets=(target,))

    drawn = ExamplePool([own, clip("c2", origin="o2")]).draw(target, row, shots=1, seed=3)

    assert drawn == ("c2",)
    with pytest.raises(NotApplicableError, match="1 example clips"):
        ExamplePool([own, clip("c2", origin="o2")]).draw(target, row, shots=2, seed=3)


def test_other_labels_are_never_examples() -> None:
    assert draw([clip("a", label="cat"), clip("b")], shots=1) == ("b",)


def test_distinct_recordings_come_before_a_second_clip_of_one() -> None:
    pool = [clip(f"a-{number}", origin="a") for number in range(8)] + [clip("b"), clip("c")]
    rows = [SceneRow(scene_id=str(number), targets=(DOG,)) for number in range(20)]

    draws = [set(draw(pool, shots=3, row=row)) for row in rows]

    assert all({"b", "c"} < drawn for drawn in draws)


def test_clips_of_unknown_origin_stand_each_for_themselves() -> None:
    pool = [clip("a", origin=""), clip("b", origin=""), clip("c-1", origin="c")]
    pool += [clip(f"c-{number}", origin="c") for number in range(2, 9)]
    rows = [SceneRow(scene_id=str(number), targets=(DOG,)) for number in range(20)]

    draws = [set(draw(pool, shots=3, row=row)) for row in rows]

    assert all({"a", "b"} < drawn for drawn in draws)


def test_a_pool_that_is_too_small_says_how_small() -> None:
    pool = [clip("a", origin="mixed-1"), clip("b")]

    with pytest.raises(
        NotApplicableError, match=r"scene s: 1 example clips of 'dog' from other .* 2 are needed"
    ):
        draw(pool, shots=2)


@pytest.mark.parametrize("pool", [None, ExamplePool([])], ids=["none", "empty"])
def test_a_pool_that_is_not_there_is_named(pool: ExamplePool | None) -> None:
    with pytest.raises(NotApplicableError, match="no example clips: the pool 'train' is not on d"):
        list(
            queries_of(
                ROW,
                DOG,
                kind="audio",
                rule=QueryRule(pool="train"),
                shots=1,
                pool=pool,
                seed_parts=(),
            )
        )


def test_a_clip_of_unknown_origin_that_is_in_the_scene_is_no_example() -> None:
    pool = [clip("mixed-1", origin=""), clip("b", origin="")]

    assert draw(pool, shots=1) == ("b",)


# --- a text with examples -------------------------------------------------------------------


def test_every_caption_is_asked_with_the_examples_of_the_audio_query() -> None:
    target = TargetRow(name="target", label="dog", texts=("a dog barks", "barking"))
    pool = ExamplePool(DOGS)

    both = ask(target, kind="text+audio", pool=pool, shots=3)
    (audio,) = ask(target, kind="audio", pool=pool, shots=3)

    assert [(asked.index, asked.text) for asked in both] == [(0, "a dog barks"), (1, "barking")]
    assert {asked.clip_ids for asked in both} == {audio.clip_ids}


def test_a_text_with_examples_needs_both() -> None:
    with pytest.raises(NotApplicableError, match="2 example clips"):
        ask(kind="text+audio", pool=ExamplePool(DOGS[:2]), shots=3)
    with pytest.raises(NotApplicableError, match="no example clips"):
        ask(kind="text+audio", pool=None)


def test_a_recorded_text_with_examples_comes_back_as_one() -> None:
    pool = ExamplePool(DOGS)
    (asked,) = ask(kind="text+audio", pool=pool, shots=2)

    query = restore_query(asked.record(), pool)

    assert query.kind == "text+audio"
    assert (query.text, len(query.examples)) == ("dog", 2)


# --- from the record and back ---------------------------------------------------------------


def test_a_recorded_query_gets_the_paths_of_today() -> None:
    pool = ExamplePool(DOGS)
    (asked,) = ask(kind="audio", pool=pool, shots=2)

    query = restore_query(asked.record(), pool)

    assert asked.record() == {"examples": list(asked.clip_ids)}
    assert [example.clip_id for example in query.examples] == list(asked.clip_ids)
    assert [example.path for example in query.examples] == [
        Path(f"/{name}.wav") for name in asked.clip_ids
    ]


def test_recorded_words_come_back() -> None:
    query = restore_query({"text": "woof", "label": "dog"}, None)

    assert (query.text, query.label, query.examples) == ("woof", "dog", ())
