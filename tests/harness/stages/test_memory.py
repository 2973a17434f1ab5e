"""Where memory runs out: smaller batches change nothing; milder ways are marked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sepbench_testkit.faults import out_of_memory
from sepbench_testkit.machine import calls

from sepbench.harness.api import Query, Samples
from sepbench.harness.stages.device import is_out_of_memory
from sepbench.harness.stages.requests import ModelSpec, PairInput, PairResult, SceneInput
from sepbench.harness.stages.separate import SeparationStage
from sepbench.harness.stages.signal import OverlapAdd

RATE = 8000
QUERY = Query(text="a dog")
CLOSE = 1e-6


def stage_of(name: str, settings: dict[str, Any], **spec: Any) -> SeparationStage:
    stage = SeparationStage(
        ModelSpec(
            label=name,
            name=name,
            target=f"sepbench_testkit.faults:{name}",
            settings=settings,
            device="cpu",
            **spec,
        )
    )
    stage.load()
    return stage


def scenes_of(count: int, seconds: float, queries: int = 1) -> list[SceneInput]:
    rng = np.random.default_rng(3)
    made = []
    for _ in range(count):
        mixture = (0.1 * rng.standard_normal((1, round(seconds * RATE)))).astype(np.float32)
        pairs = [PairInput(query=QUERY, seed=k, out=mixture * 0) for k in range(queries)]
        made.append(
            SceneInput(mixture=mixture, sample_rate=RATE, downmix=False, pairs=tuple(pairs))
        )
    return made


def flat(answers: list[list[PairResult]]) -> list[PairResult]:
    return [result for results in answers for result in results]


def expected(scene: SceneInput) -> Samples:
    answer: Samples = np.tanh(3 * scene.mixture)
    return answer


def worst(scenes: list[SceneInput]) -> float:
    """Largest difference of an estimate from what memory without end would give."""
    return max(float(np.abs(p.out - expected(s)).max()) for s in scenes for p in s.pairs)


@pytest.mark.parametrize("kind", ["cuda", "allocator", "memory"])
def test_a_batch_that_does_not_fit_is_halved_and_no_result_changes(
    tmp_path: Any, kind: str
) -> None:
    log = tmp_path / "log"
    settings = {"most": 3 * RATE, "kind": kind, "log": str(log)}
    stage, scenes = stage_of("Hungry", settings, batch_size=8), scenes_of(8, 1.0)

    results = flat(stage.separate(scenes))

    assert [(r.failure, r.degraded) for r in results] == [(None, "")] * 8
    assert worst(scenes) < CLOSE
    assert calls(log)[f"separate {RATE}"] == 8


def test_the_size_that_fits_is_remembered() -> None:
    stage = stage_of("Hungry", {"most": 3 * RATE}, batch_size=8)
    stage.separate(scenes_of(8, 1.0))

    stage.separate(scenes_of(8, 1.0))

    assert stage.wanted == 2


def test_an_automatic_batch_stops_where_memory_ends() -> None:
    stage = stage_of("Hungry", {"most": 3 * RATE}, batch_size=None)
    scenes = scenes_of(16, 1.0)

    results = flat(stage.separate(scenes))

    assert [r.failure for r in results] == [None] * 16
    assert worst(scenes) < CLOSE
    assert set(stage.learned.values()) <= {1, 2}


def test_one_item_that_does_not_fit_fails_by_name_unless_more_is_allowed() -> None:
    stage, scenes = stage_of("Hungry", {"most": RATE}), scenes_of(1, 3.0)

    (result,) = flat(stage.separate(scenes))

    assert result.failure is not None
    assert result.failure.error_type == "DeviceMemoryError"
    assert "out of memory on cpu with one item of 3.0 s" in result.failure.error
    assert "engine.degrade=[chunks,cpu]" in result.failure.error
    assert result.degraded == ""


def test_shorter_pieces_save_an_item_and_mark_it_and_no_other() -> None:
    stage = stage_of("Hungry", {"most": 2 * RATE}, degrade=("chunks",), overlap_seconds=0.1)
    short, long = scenes_of(1, 1.5), scenes_of(1, 8.0)

    results = flat(stage.separate([*short, *long]))

    assert [r.failure for r in results] == [None, None]
    assert [r.degraded for r in results] == ["", "pieces of 2 s"]
    assert worst([*short, *long]) < CLOSE


def test_pieces_are_not_cut_below_a_second() -> None:
    stage = stage_of("Hungry", {"most": RATE // 2}, degrade=("chunks",))

    (result,) = flat(stage.separate(scenes_of(1, 8.0)))

    assert result.failure is not None
    assert "Tried and not enough: chunks." in result.failure.error
    assert result.degraded == ""


def test_a_model_that_is_never_cut_cannot_be_saved_by_pieces() -> None:
    stage = stage_of("HungryWhole", {"most": RATE}, degrade=("chunks",))

    (result,) = flat(stage.separate(scenes_of(1, 4.0)))

    assert result.failure is not None
    assert result.failure.error_type == "DeviceMemoryError"


def test_a_scene_separator_is_saved_by_pieces_too() -> None:
    stage = stage_of("HungryScene", {"most": 4 * RATE}, degrade=("chunks",), overlap_seconds=0.1)
    scenes = scenes_of(1, 4.0, queries=2)

    results = flat(stage.separate(scenes))

    assert [(r.failure, r.degraded) for r in results] == [(None, "pieces of 2 s")] * 2
    assert worst(scenes) < CLOSE


@pytest.mark.parametrize("degrade", [(), ("chunks",)])
def test_a_track_that_does_not_fit_where_its_pieces_are_joined_fails_alone_or_is_saved(
    monkeypatch: pytest.MonkeyPatch, degrade: tuple[str, ...]
) -> None:
    add = OverlapAdd.add

    def add_with_little_room(self: OverlapAdd, estimate: Any, start: int) -> None:
        if self._shape[1] > 4 * RATE and self._size >= 2 * RATE:
            raise out_of_memory("allocator")  # as torch.zeros of the whole track does
        add(self, estimate, start)

    monkeypatch.setattr(OverlapAdd, "add", add_with_little_room)
    settings = {"chunk_seconds": 2.0, "overlap_seconds": 0.1, "degrade": degrade}
    stage = stage_of("Hungry", {"most": 100 * RATE}, **settings)
    short, long = scenes_of(1, 3.0), scenes_of(1, 6.0)

    short_result, long_result = flat(stage.separate([*short, *long]))

    assert (short_result.failure, worst(short) < CLOSE) == (None, True)
    if degrade:
        assert (long_result.failure, long_result.degraded) == (None, "pieces of 1 s")
        assert worst(long) < CLOSE
    else:
        assert long_result.failure is not None
        assert long_result.failure.error_type == "DeviceMemoryError"


def test_all_items_of_a_joint_scene_that_does_not_fit_fail_alike() -> None:
    stage = stage_of("HungryScene", {"most": 4 * RATE})

    results = flat(stage.separate(scenes_of(1, 4.0, queries=2)))

    kinds = [r.failure.error_type for r in results if r.failure is not None]
    assert kinds == ["DeviceMemoryError"] * 2


@pytest.mark.parametrize(
    ("error", "expected_answer"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("the network is on strike"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error: Exception, expected_answer: bool) -> None:
    assert is_out_of_memory(error) == expected_answer
