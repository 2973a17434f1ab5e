"""What a process of a cluster keeps of the cells that it has seen."""

from __future__ import annotations

from typing import Any

import pytest

from sepbench.harness.engines import ray_worker
from sepbench.harness.engines.ray_worker import CELLS_KEPT, SceneAsk

ray = pytest.importorskip("ray")


def ask(cell_id: int) -> SceneAsk:
    work: Any = None
    return SceneAsk(cell_id=cell_id, cell=[f"cell {cell_id}"], work=work, indices=())


def test_cells_are_unpacked_once_while_they_are_in_use_and_then_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched: list[str] = []

    def get(ref: str) -> str:
        fetched.append(ref)
        return f"job of {ref}"

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray_worker, "_cells", {})

    for _ in range(3):
        ray_worker._cell(ask(0))
    for cell_id in range(1, 20):
        ray_worker._cell(ask(cell_id))
        ray_worker._cell(ask(0))  # still in use, beside the others

    assert fetched == [f"cell {number}" for number in range(20)]
    assert len(ray_worker._cells) == CELLS_KEPT
    assert ray_worker._cell(ask(19)) == "job of cell 19"
