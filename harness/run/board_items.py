"""The items of a table, for the reports that show them one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.aggregate import MIXTURE, Column, Row, Table
from sepbench.harness.item_scores import ItemScores, read_items, stored_rule
from sepbench.harness.records import FINAL
from sepbench.harness.store import Workspace
from sepbench.harness.stored_scores import metric_card
from sepbench.reports.contract import CellItems, ProtocolItems, TargetRecord

if TYPE_CHECKING:
    from sepbench.reports.contract import Floats


class BoardItems:
    """Reads the items of a table from a workspace, which stays open meanwhile.

    Args:
        workspace: open.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __call__(self, table: Table) -> ProtocolItems:
        """Every target of the table's rows, in list order, and each row's items."""
        targets: dict[tuple[str, str], TargetRecord] = {}
        places: dict[tuple[str, str], int] = {}
        rows = [row for row in table.rows if row.status == "active"]
        found = {row.cell_id: self._rows(row.cell_id) for row in rows}
        order: dict[tuple[str, str], int] = {}
        for items in found.values():
            for item in items:
                key = (item["scene"], item["target"])
                order.setdefault(key, item["scene_position"])
                targets.setdefault(key, _target(item))
        for place, key in enumerate(sorted(targets, key=lambda key: order[key])):
            places[key] = place
        mixture = next((row for row in rows if row.baseline == MIXTURE), None)
        rule = stored_rule(self._workspace, table.protocol)
        cards = {c.metric: metric_card(self._workspace, c.metric) for c in table.columns}

        def scores(row: Row, metric: str) -> ItemScores:
            return read_items(self._workspace, row.cell_id, cards[metric], rule)

        base = {
            c.metric: scores(mixture, c.metric)
            for c in table.columns
            if c.improvement and mixture is not None
        }
        cells = []
        for row in rows:
            columns = [column for column in table.columns if column.name in row.cells]
            read = {metric: scores(row, metric) for metric in {c.metric for c in columns}}
            cells.append(_cell(row, found[row.cell_id], columns, read, base, places))
        return ProtocolItems(targets=tuple(targets[key] for key in places), cells=tuple(cells))

    def _rows(self, cell_id: int) -> list[Any]:
        return self._workspace.query(
            "SELECT i.scene, i.target, i.cluster, i.absent, i.scene_position, i.query_index,"
            " i.query, i.attributes, r.status, r.error_type, r.error,"
            " (SELECT min(s.reason) FROM scores s WHERE s.result_id = r.id AND s.value IS NULL)"
            " AS reason FROM results r JOIN items i ON i.id = r.item_id"
            " WHERE r.cell_id = ? ORDER BY i.scene_position, i.id",
            (cell_id,),
        )


def query_words(query: Mapping[str, Any]) -> str:
    """What was asked, as a reader sees it: the text, the label, or which examples."""
    if query.get("examples"):
        return "like " + ", ".join(str(each) for each in query["examples"])
    text = query.get("text")
    if text is None:
        text = (query.get("label") or "").replace("_", " ")
    return str(text)


def _target(item: Any) -> TargetRecord:
    attributes = json.loads(item["attributes"])
    return TargetRecord(
        scene=item["scene"],
        target=item["target"],
        label=str(attributes.get("label") or json.loads(item["query"]).get("label") or ""),
        cluster=item["cluster"],
        absent=bool(item["absent"]),
        attributes=attributes,
    )


def _cell(
    row: Row,
    items: list[Any],
    columns: list[Column],
    read: Mapping[str, ItemScores],
    base: Mapping[str, ItemScores],
    places: Mapping[tuple[str, str], int],
) -> CellItems:
    values: dict[str, Floats] = {}
    reasons: dict[tuple[int, str], str] = {}
    for column in columns:
        numbers = read[column.metric].values
        if column.improvement:
            numbers = _improvement(numbers, read[column.metric], base[column.metric])
        values[column.name] = numbers
        for index, cause in enumerate(read[column.metric].causes):
            if cause:
                said = items[index]["reason"] or ""
                reasons[index, column.name] = f"undefined because of the {cause}: {said}".rstrip(
                    ": "
                )
    return CellItems(
        cell_id=row.cell_id,
        targets=[places[item["scene"], item["target"]] for item in items],
        queries=[query_words(json.loads(item["query"])) for item in items],
        query_indices=[item["query_index"] for item in items],
        values=values,
        reasons=reasons,
        failures={
            index: f"{item['status']}: {item['error_type']}: {item['error']}"
            for index, item in enumerate(items)
            if item["status"] not in FINAL
        },
    )


def _improvement(numbers: Floats, scores: ItemScores, base: ItemScores) -> Floats:
    """Each item's value minus the mixture's of the same target, (I,); inf − inf is no number."""
    known = dict(zip(base.keys, base.values.tolist(), strict=True))
    subtract = np.array([known.get(key, np.nan) for key in scores.keys], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        difference: Floats = numbers - subtract
    return difference
