"""Pictures of a space: seeded, and refused in words."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from sepbench.harness.errors import BenchError, MissingExtraError, NotApplicableError
from sepbench.harness.probing.picture import Projection, draw, project

PROJECTIONS = [
    "tsne",
    pytest.param(
        "umap",
        marks=[
            pytest.mark.slow,  # its code is compiled at the first call
            pytest.mark.skipif(
                importlib.util.find_spec("umap") is None,
                reason="needs umap-learn: pip install 'sepbench[umap]'",
            ),
        ],
    ),
]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("count", [5, 30])
def test_the_same_vectors_give_the_same_points(projection: Projection, count: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32)

    points = project(vectors, projection)

    assert points.shape == (count, 2)
    assert np.isfinite(points).all()
    np.testing.assert_array_equal(points, project(vectors, projection))


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_groups_that_lie_apart_stay_apart(projection: Projection) -> None:
    noise = np.random.default_rng(0).normal(scale=0.01, size=(40, 2))
    vectors = (np.repeat(np.eye(2), 20, axis=0) + noise).astype(np.float32)

    points = project(vectors, projection)

    nearest = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(40)
    assert (nearest.argmin(axis=1) // 20 == np.arange(40) // 20).all()


def test_few_clips_are_refused() -> None:
    with pytest.raises(NotApplicableError, match="needs 5 clips; there are 4"):
        project(np.eye(4, dtype=np.float32), "tsne")


@pytest.mark.parametrize("classes", [3, 15, 50])
def test_a_picture_is_a_png_and_always_the_same(tmp_path: Path, classes: int) -> None:
    points = np.random.default_rng(0).normal(size=(100, 2))
    labels = [f"class {k % classes}" for k in range(100)]

    draw(tmp_path / "a.png", points, labels, "title")
    draw(tmp_path / "b.png", points, labels, "title")

    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(MissingExtraError, match=r"sepbench\[probe\]"):
        draw(tmp_path / "a.png", np.zeros((5, 2)), ["a"] * 5, "title")


def test_without_umap_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)

    with pytest.raises(MissingExtraError, match=r"'umap-learn'.* pip install 'sepbench\[umap\]'"):
        project(np.eye(6, dtype=np.float32), "umap")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none/a\.png cannot be written"):
        draw(tmp_path / "none" / "a.png", np.zeros((5, 2)), ["a"] * 5, "title")
