from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.data import Kit

from sepbench.harness.api import AskedKind, BaselineCard, Clip, QueryKind, ScoringProtocol
from sepbench.harness.errors import DatasetError, MissingRootError, UnknownNameError
from sepbench.harness.lists import list_card
from sepbench.harness.plan import PlannedCell, PlannedModel, plan_cells
from sepbench.harness.protocols import parse_own


def model(label: str, *kinds: QueryKind) -> PlannedModel:
    card = BaselineCard(name=label, query_kinds=kinds)
    return PlannedModel(
        label=label, name=label, target="m:C", card=card, settings={}, identity={"baseline": label}
    )


def protocol(name: str = "kit", **fields: Any) -> ScoringProtocol:
    return parse_own(name, {**Kit.protocols["kit"], **fields})


def plan(
    *models: PlannedModel,
    dataset: Kit | None = None,
    protocols: Sequence[ScoringProtocol] | None = None,
    kind: QueryKind | None = None,
    kinds: Sequence[AskedKind] = (),
    shots: Sequence[int] = (),
) -> list[PlannedCell]:
    dataset = dataset or Kit(scenes=2)
    grid = [(each, dataset) for each in protocols or [protocol()]]
    return plan_cells(models, grid, kinds=(kind,) if kind else kinds, shots=shots)


class Pooled(Kit):
    """Three examples a class, without files."""

    def clips(self, pool: str) -> Sequence[Clip]:
        return [
            Clip(clip_id=f"{label}-{take}", path=Path("x.wav"), labels=(label,), origin=f"{take}")
            for label in ("dog", "rain")
            for take in range(3)
        ]


def test_the_grid_is_planned_model_by_model() -> None:
    cells = plan(
        model("a", "text"), model("b"), protocols=[protocol(), protocol("other", sample_rate=16000)]
    )

    assert [(cell.model.label, cell.protocol.name) for cell in cells] == [
        ("a", "kit"),
        ("a", "other"),
        ("b", "kit"),
        ("b", "other"),
    ]


def test_captions_are_items_of_their_own() -> None:
    (cell,) = plan(model("a", "text"))
    assert cell.task is not None

    items = list(cell.task.items())

    assert [(i.scene, i.target, i.query_index, i.query) for i in items[:3]] == [
        ("scene-00000", "dog", 0, {"text": "a dog barks"}),
        ("scene-00000", "rain", 0, {"text": "rain falls"}),
        ("scene-00000", "rain", 1, {"text": "heavy rain"}),
    ]
    assert len(items) == 6


def test_an_item_carries_what_tables_need() -> None:
    (cell,) = plan(model("a"), dataset=Kit(scenes=1, special={"0": "absent"}))
    assert cell.task is not None

    dog, _, cat = cell.task.items()

    assert (dog.cluster, dog.absent) == ("dog-0", False)
    assert dog.attributes == {"number": 0, "label": "dog"}
    assert (cat.cluster, cat.absent) == ("scene-00000", True)  # no cluster given: the scene's


def test_models_with_one_kind_of_query_share_a_task() -> None:
    a, b, c = plan(model("a", "text"), model("b", "text", "audio"), model("c", "label"))

    assert a.task is b.task
    assert a.task is not c.task
    assert a.key != b.key


def test_a_forced_kind_is_part_of_the_cell() -> None:
    asked, forced = (
        plan(model("a", "text", "label")),
        plan(model("a", "text", "label"), kind="label"),
    )

    assert (asked[0].kind, forced[0].kind) == ("text", "label")
    assert asked[0].key != forced[0].key


def test_each_kind_that_protocol_and_model_have_is_a_cell() -> None:
    both, deaf, bound = model("a", "text", "audio"), model("b", "label"), model("c")

    asked = protocol(query={"kinds": ["text", "audio"], "shots": 1, "pool": "queries"})
    cells = plan(both, deaf, bound, dataset=Pooled(scenes=2), protocols=[asked], kinds=["each"])

    assert [(cell.kind, bool(cell.task)) for cell in cells] == [
        ("text", True),
        ("audio", True),
        (None, False),
        ("none", True),
    ]


def test_kinds_that_are_named_are_cells_or_say_why_not() -> None:
    cells = plan(model("a", "text", "label"), kinds=["text", "audio"])

    assert [(cell.kind, bool(cell.task)) for cell in cells] == [("text", True), ("audio", False)]
    assert "takes text or label queries, not audio" in cells[1].reason


def test_a_model_without_the_forced_kind_is_not_applicable() -> None:
    (cell,) = plan(model("a", "text"), kind="audio")

    assert cell.task is None
    assert cell.reason == "takes text queries, not audio"


def test_each_number_of_examples_is_a_cell() -> None:
    cells = plan(model("a", "audio"), dataset=Pooled(scenes=1), shots=(1, 3))

    tasks = [cell.task for cell in cells]
    assert [task.shots for task in tasks if task] == [1, 3]
    assert [len(item.query["examples"]) for task in tasks if task for item in task.items()] == [
        1,
        1,
        3,
        3,
    ]


def test_the_protocol_says_how_many_examples_by_default() -> None:
    rule = {"kinds": ["audio"], "shots": 2, "pool": "examples"}

    (cell,) = plan(model("a", "audio"), dataset=Pooled(), protocols=[protocol(query=rule)])

    assert cell.task is not None
    assert cell.task.shots == 2


def test_numbers_of_examples_do_not_multiply_text_cells() -> None:
    assert len(plan(model("a", "text"), shots=(1, 3))) == 1


STEP = "m:Step"


def test_a_postprocess_is_planned_where_every_source_is_asked_for_once() -> None:
    planned = replace(model("a", "label"), postprocess=STEP)

    (cell,) = plan(planned)

    assert cell.task is not None


@pytest.mark.parametrize(
    ("dataset", "kind", "words"),
    [
        (Kit(scenes=1), "text", "scene scene-00000 has several queries for 'rain'"),
        (Kit(scenes=2, special={"1": "absent"}), "label", "'cat' is not in scene scene-00001"),
    ],
)
def test_a_postprocess_without_the_queries_it_needs_is_not_applicable(
    dataset: Kit, kind: QueryKind, words: str
) -> None:
    (cell,) = plan(
        replace(model("a", "text", "label"), postprocess=STEP), dataset=dataset, kind=kind
    )

    assert cell.task is None
    assert words in cell.reason
    assert "a postprocess needs queries for all sources of a scene" in cell.reason


def test_a_postprocess_of_scenes_with_one_target_is_not_applicable() -> None:
    class Lone(Kit):
        def scenes(self, list_name: str) -> Any:
            return [replace(row, targets=row.targets[:1]) for row in super().scenes(list_name)]

    (cell,) = plan(replace(model("a", "label"), postprocess=STEP), dataset=Lone(scenes=1))

    assert cell.reason.endswith("scene scene-00000 has 1 to ask for")


def test_too_small_a_pool_leaves_only_the_cells_that_can_be() -> None:
    cells = plan(model("a", "audio"), dataset=Pooled(scenes=1), shots=(3, 4))

    assert cells[0].task is not None
    assert cells[1].task is None
    assert "3 example clips of 'dog' from other recordings are at hand, 4" in cells[1].reason


def test_a_pool_that_is_not_on_disk_makes_the_cell_not_applicable() -> None:
    (cell,) = plan(model("a", "audio"))

    assert cell.task is None
    assert cell.reason == "no example clips: the pool 'examples' is not on disk"


def test_a_list_that_the_dataset_has_not_is_refused_with_near_matches() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown list 'noise' of dataset kit.*'noises'"):
        list_card(Kit(), protocol(list="noise"))


def test_a_dataset_that_fails_while_it_is_planned_is_named() -> None:
    class Broken(Kit):
        def scenes(self, list_name: str) -> Any:
            raise KeyError("filename")

    with pytest.raises(DatasetError, match="Dataset kit: list 'noises' cannot be read: KeyError"):
        plan(model("a", "text"), dataset=Broken())


def test_a_pool_that_cannot_be_read_is_named() -> None:
    class Broken(Kit):
        def clips(self, pool: str) -> Any:
            raise OSError("disk")

    with pytest.raises(DatasetError, match="pool 'examples' cannot be read: OSError: disk"):
        plan(model("a", "audio"), dataset=Broken())


def test_named_errors_of_a_dataset_pass_as_they_are() -> None:
    class Rootless(Kit):
        def scenes(self, list_name: str) -> Any:
            raise MissingRootError("give --root")

    with pytest.raises(MissingRootError, match="give --root"):
        plan(model("a", "text"), dataset=Rootless())


def test_what_a_scene_is_made_of_is_in_its_digest() -> None:
    def digests(number: int) -> list[str]:
        (cell,) = plan(model("a"), dataset=Kit(scenes=number))
        assert cell.task is not None
        return [item.row_digest for item in cell.task.items()]

    assert digests(2)[:2] == digests(1)
    assert len(set(digests(2))) == 2
