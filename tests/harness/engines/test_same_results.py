"""Where and in what order things run does not change a number."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from sepbench_testkit.machine import largest_difference, run, scores

# Sums over a batch may be ordered otherwise by another batch size: float32 in the models,
# float64 in the metrics, so far less than this.
TOLERANCE_DB = 1e-5
SILENT = "scene-00001"
MODELS = ("kit-half", "kit-tone", "kit-seeded")
GRID = (
    "datasets.kit.scenes=6",
    "datasets.kit.lengths=mixed",
    "datasets.kit.samples=3000",
    "datasets.kit.special={1: silent, 2: absent}",
    "metrics=[sdr,si_sdr,bss_sir]",
)


def grid(workspace: Path, engine: str, *settings: str) -> Path:
    summary = run(workspace, models=MODELS, engine=engine, settings=[*GRID, *settings])
    assert summary.ok
    return workspace


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One worker, batches of eight, the order of the list."""
    return grid(tmp_path_factory.mktemp("same") / "ws", "local", "engine.workers=1")


@pytest.mark.parametrize(
    ("engine", "settings"),
    [
        ("local", ["engine.workers=4", "batch_size=1", "engine.order=shuffled"]),
        ("local", ["engine.workers=2", "batch_size=3", "engine.memory_mb=1"]),
        ("local", ["engine.lanes=2", "device=cpu", "batch_size=auto", "engine.order=shuffled"]),
        ("inline", []),
        ("inline", ["engine.order=shuffled"]),
    ],
)
def test_workers_lanes_batches_order_and_engine_give_the_same_values(
    reference: Path, tmp_path: Path, engine: str, settings: list[str]
) -> None:
    other = grid(tmp_path / "ws", engine, *settings)

    assert largest_difference(scores(reference), scores(other)) <= TOLERANCE_DB


def test_every_item_has_every_metric(reference: Path) -> None:
    found = scores(reference)

    # 6 scenes of a dog and two captions of rain, one with a cat that is not there.
    assert len(found) == len(MODELS) * (6 * 3 + 1) * 3


def test_half_a_mixture_of_equal_noises_has_the_sdr_known_by_hand(reference: Path) -> None:
    values = [
        value
        for (model, _, scene, target, _, metric), (value, _) in scores(reference).items()
        if (model, target, metric) == ("kit-half", "rain", "sdr") and scene != SILENT
    ]

    # Reference d, estimate (d + r) / 2: the error (r - d) / 2 has half the power of d.
    assert sum(values) / len(values) == pytest.approx(10 * math.log10(2), abs=0.2)


@pytest.mark.parametrize(("scene", "target"), [(SILENT, "dog"), ("scene-00002", "cat")])
def test_silent_and_absent_targets_are_undefined_because_of_the_reference(
    reference: Path, scene: str, target: str
) -> None:
    found = [
        score
        for (model, _, at, name, _, metric), score in scores(reference).items()
        if (model, at, name, metric) == ("kit-half", scene, target, "sdr")
    ]

    assert found == [(None, "reference")]
