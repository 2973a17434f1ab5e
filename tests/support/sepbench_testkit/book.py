"""A workspace written by hand: values go in as if models had been run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sepbench.harness.api import BaselineCard, MetricCard, Value
from sepbench.harness.plan import PlannedModel, plan_cells
from sepbench.harness.protocols import parse_own
from sepbench.harness.records import Failure, ItemOutcome
from sepbench.harness.store import Workspace
from sepbench_testkit.data import Kit

LOUD = MetricCard(metric_id="sdr", version=1, title="SDR", improvement="sdri")


class Book:
    """Cells of the protocol "kit" (or another name), value by value.

    Args:
        folder: of the workspace, made here.
        scenes: how many; each has a dog (one caption) and rain (two captions).
    """

    def __init__(self, folder: Path, *, scenes: int = 2) -> None:
        self.folder, self.scenes = folder, scenes
        self.workspace = Workspace(folder, writable=True)
        self.run_id = self.workspace.begin_run({}, {})

    def cell(
        self,
        label: str,
        values: Sequence[Value | Mapping[str, Value] | None],
        *,
        kinds: tuple[Any, ...] = (),
        baseline: str = "",
        role: Any = "model",
        cards: Sequence[MetricCard] = (LOUD,),
        failures: Mapping[int, str] | None = None,
        protocol: str = "kit",
        **fields: Any,
    ) -> int:
        """A cell with a value an item, in list order; None leaves the item out.

        Args:
            label: the row's.
            values: one number, or metric id -> number, an item.
            kinds: of queries; () asks each target once, without a query.
            baseline: name of the baseline; default: the label.
            role: of the card.
            cards: of the metrics.
            failures: item number -> type of the error that it failed with.
            protocol: name.
            **fields: of the protocol.
        """
        model = PlannedModel(
            label=label,
            name=baseline or label,
            target="m:C",
            card=BaselineCard(name=label, version="1", query_kinds=kinds, role=role),
            settings={},
            identity={"baseline": baseline or label, "version": "1"},
        )
        own = {**Kit.protocols["kit"], **fields}
        grid = [(parse_own(protocol, own), Kit(scenes=self.scenes))]
        (planned,) = plan_cells([model], grid, kinds=(), shots=())
        self.workspace.add_metrics(cards)
        assert planned.task is not None
        task_id = self.workspace.add_task(planned.task)
        metrics = [card.metric_id for card in cards]
        cell_id = self.workspace.add_cell(planned, task_id, metrics, self.run_id)
        items = self.workspace.query(
            "SELECT id FROM items WHERE task_id = ? ORDER BY scene_position, id", (task_id,)
        )
        outcomes = []
        for number, (item, value) in enumerate(zip(items, values, strict=False)):
            error = (failures or {}).get(number)
            if value is None and error is None:
                continue
            scores = dict(value) if isinstance(value, Mapping) else {metrics[0]: value}
            outcomes.append(
                ItemOutcome(
                    cell_id=cell_id,
                    item_id=item["id"],
                    status="failed" if error else "scored",
                    scores={} if error else scores,  # type: ignore[arg-type]
                    failure=Failure(error_type=error, error="words") if error else None,
                    audio_seconds=2.0,
                    separate_seconds=0.5,
                )
            )
        self.workspace.record(outcomes, self.run_id)
        return cell_id

    def close(self) -> None:
        """Give the workspace back, so that commands can open it."""
        self.workspace.close()
