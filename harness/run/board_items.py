"""The items of a table, for the reports that show them one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sepbench.harness.aggregate import Column, Row, Table
from sepbench.harness.item_scores import (
    MIXTURE,
    Item,
    ItemScores,
    ScoreReader,
    over_mixture,
    stored_rule,
)
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
        reader: of the workspace, when it has read the scores before.
    """

    def __init__(self, workspace: Workspace, reader: ScoreReader | None = None) -> None:
        self._workspace = workspace
        self._reader = reader or ScoreReader(workspace)

    def __call__(self, table: Table) -> ProtocolItems:
        """Every target of the table's rows, in list order, and each row's items."""
        rows = [row for row in table.rows if row.status == "active"]
        first: dict[tuple[str, str], Item] = {}
        for row in rows:
            for item in self._reader.items(row.cell_id):
                first.setdefault(item.key, item)
        targets = sorted(first.values(), key=lambda item: item.position)
        places = {item.key: place for place, item in enumerate(targets)}
        mixture = next((row for row in rows if row.baseline == MIXTURE), None)
        rule = stored_rule(self._workspace, table.protocol)
        cards = {c.metric: metric_card(self._workspace, c.metric) for c in table.columns}

        def scores(row: Row, column: Column) -> ItemScores:
            return self._reader.read(row.cell_id, cards[column.metric], rule)

        cells = []
        for row in rows:
            items = self._reader.items(row.cell_id)
            columns = [column for column in table.columns if column.name in row.cells]
            read = {column.name: scores(row, column) for column in columns}
            values: dict[str, Floats] = {
                column.name: over_mixture(read[column.name], scores(mixture, column))
                if column.improvement and mixture is not None
                else read[column.name].values
                for column in columns
            }
            numbers = {column.name: cards[column.metric]["number"] for column in columns}
            failures = self._failures(row.cell_id, items)
            cells.append(
                CellItems(
                    cell_id=row.cell_id,
                    targets=[places[item.key] for item in items],
                    queries=_queries(items),
                    query_indices=[item.query_index for item in items],
                    values=values,
                    reasons=_reasons(read, numbers, self._said(row.cell_id, items), failures),
                    failures=failures,
                )
            )
        return ProtocolItems(targets=tuple(map(_target, targets)), cells=tuple(cells))

    def _said(self, cell_id: int, items: Sequence[Item]) -> dict[tuple[int, int], str]:
        """(position, number of the metric) -> what the metric said when it gave no value."""
        rows = self._workspace.query(
            "SELECT r.item_id, s.metric_id, s.reason FROM results r"
            " JOIN scores s ON s.result_id = r.id"
            " WHERE r.cell_id = ? AND s.value IS NULL AND s.reason != ''",
            (cell_id,),
        )
        places = {item.number: place for place, item in enumerate(items)} if rows else {}
        return {(places[item_id], metric): reason for item_id, metric, reason in rows}

    def _failures(self, cell_id: int, items: Sequence[Item]) -> dict[int, str]:
        """Position of an item whose try failed -> status and error."""
        rows = self._workspace.query(
            "SELECT item_id, status, error_type, error FROM results"
            f" WHERE cell_id = ? AND status NOT IN ({','.join('?' * len(FINAL))})",
            (cell_id, *FINAL),
        )
        said = {item_id: f"{status}: {kind}: {error}" for item_id, status, kind, error in rows}
        return {place: said[item.number] for place, item in enumerate(items) if item.number in said}


def query_words(query: Mapping[str, Any]) -> str:
    """What was asked, as a reader sees it: the text, the label, or which examples."""
    if query.get("examples"):
        return "like " + ", ".join(str(each) for each in query["examples"])
    text = query.get("text")
    if text is None:
        text = (query.get("label") or "").replace("_", " ")
    return str(text)


def _queries(items: Sequence[Item]) -> list[str]:
    """What was asked of each item, in words; targets often share a query."""
    words = {text: query_words(json.loads(text)) for text in {item.query for item in items}}
    return [words[item.query] for item in items]


def _target(item: Item) -> TargetRecord:
    attributes = json.loads(item.attributes)
    scene, target = item.key
    return TargetRecord(
        scene=scene,
        target=target,
        label=str(attributes.get("label") or json.loads(item.query).get("label") or ""),
        cluster=item.cluster,
        absent=bool(item.absent),
        attributes=attributes,
    )


def _reasons(
    read: Mapping[str, ItemScores],
    numbers: Mapping[str, int],
    said: Mapping[tuple[int, int], str],
    failures: Mapping[int, str],
) -> dict[tuple[int, str], str]:
    """(position, column) -> why an item that was done has no value of it."""
    reasons: dict[tuple[int, str], str] = {}
    for column, scores in read.items():
        for place, cause in enumerate(scores.causes):
            if not cause or place in failures:
                continue
            text = f"undefined because of the {cause}"
            if cause == "missing":
                text = "not scored by the present version of the metric"
            elif why := said.get((place, numbers[column])):
                text += f": {why}"
            reasons[place, column] = text
    return reasons
