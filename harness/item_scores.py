"""The scores of a cell item by item, failures included: what comparisons and breakdowns read.

Tables need averages only; here every item keeps its scene, target, query and attributes, and an
item without a value says why.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness import errors
from sepbench.harness.api import AVERAGES, Aggregation
from sepbench.harness.errors import UnknownNameError, UsageError
from sepbench.harness.records import FINAL
from sepbench.harness.store import Workspace
from sepbench.harness.store_results import unpack_frames
from sepbench.harness.stored_scores import metric_card, read_cells

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MIXTURE = "mixture"
# Failures in which the model had no part; anything else that failed counts against it.
_NOT_THE_MODELS = {
    kind.__name__
    for base in (errors.DatasetError, errors.QueryError, errors.ScratchError)
    for kind in (base, *base.__subclasses__())
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A row of a protocol's table, before any number.

    Attributes:
        name: its label; with "@" and the kind of query where several rows share the label.
        query: kind of query, with the number of examples: "text", "audio ×3".
    """

    cell_id: int
    name: str
    label: str
    baseline: str
    role: str
    query: str
    metrics: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ItemScores:
    """One metric of one cell, an entry an item in list order.

    Attributes:
        keys: (scene, target).
        clusters: the recording an item's target comes from.
        values: (I,), capped at the metric's noise floor, windows averaged as the protocol says;
            NaN where there is none.
        causes: why there is no value: "reference", "estimate" (the model's fault, a failure too)
            or "missing" (not scored yet, or under an earlier version of the metric); "" = there is.
        query_texts, attribute_texts: JSON as stored.
    """

    keys: list[tuple[str, str]]
    clusters: list[str]
    values: Floats
    causes: list[str]
    query_indices: list[int]
    query_texts: list[str]
    attribute_texts: list[str]

    @cached_property
    def queries(self) -> list[Mapping[str, Any]]:
        """What was asked: text, label, examples."""
        return [_parsed(text) for text in self.query_texts]

    @cached_property
    def attributes(self) -> list[Mapping[str, Any]]:
        """What the dataset says of the items."""
        return [_parsed(text) for text in self.attribute_texts]


def read_entries(workspace: Workspace, protocol: str) -> list[Entry]:
    """The rows of a protocol that could be carried out, in the order of the table."""
    stored, _ = read_cells(workspace, protocol)
    active = [cell for cell in stored if cell["status"] == "active"]
    labels = Counter(cell["label"] for cell in active)
    kinds = Counter((cell["label"], cell["query_kind"]) for cell in active)
    entries = []
    for cell in active:
        kind, shots = cell["query_kind"], cell["shots"]
        name = cell["label"]
        if labels[name] > 1:
            several = kinds[cell["label"], kind] > 1
            name += f"@{kind}{shots or ''}" if several else f"@{kind}"
        entries.append(
            Entry(
                cell_id=cell["id"],
                name=name,
                label=cell["label"],
                baseline=cell["baseline"],
                role=cell["role"],
                query=f"{kind} ×{shots}" if kind == "audio" and shots else kind,
                metrics=tuple(json.loads(cell["metrics"])),
            )
        )
    order = {"lower": 0, "model": 1, "upper": 2}
    return sorted(entries, key=lambda entry: order.get(entry.role, 1))


def find_entry(entries: Sequence[Entry], name: str, protocol: str) -> Entry:
    """The row of a name.

    Raises:
        UnknownNameError: no row has it.
        UsageError: several rows share it; says how each is called.
    """
    exact = [entry for entry in entries if entry.name == name]
    if exact:
        return exact[0]
    shared = [entry.name for entry in entries if entry.label == name]
    if shared:
        raise UsageError(
            f"'{name}' has several rows under {protocol}; say which: {', '.join(shared)}."
        )
    raise UnknownNameError("row", name, [e.name for e in entries], where=f" under {protocol}")


def protocols_of(workspace: Workspace) -> list[str]:
    """The protocols of a workspace in the order of their first use."""
    rows = workspace.query("SELECT protocol, min(id) m FROM cells GROUP BY 1 ORDER BY m")
    return [row["protocol"] for row in rows]


def dataset_of(workspace: Workspace, protocol: str) -> str:
    """The dataset of a protocol as the workspace knows it; "" before any task."""
    rows = workspace.query("SELECT dataset FROM tasks WHERE protocol = ? LIMIT 1", (protocol,))
    return str(rows[0]["dataset"]) if rows else ""


def stored_rule(workspace: Workspace, protocol: str) -> Aggregation:
    """How the protocol's newest cell is averaged; the first workspaces hold the one word of it."""
    stored, _ = read_cells(workspace, protocol)
    newest = max(stored, key=lambda cell: cell["last_run"] or 0, default=None)
    if newest is None:
        return Aggregation()
    text = newest["aggregate"]
    return Aggregation(**({"items": text} if text in AVERAGES else json.loads(text)))


def find_metric(
    workspace: Workspace, entries: Sequence[Entry], name: str, protocol: str
) -> tuple[str, bool, dict[str, Any]]:
    """A column of a protocol: (metric id, whether it is the improvement of it, its card).

    Raises:
        UnknownNameError: no row of the protocol has it.
    """
    known: dict[str, tuple[str, bool, dict[str, Any]]] = {}
    for metric in dict.fromkeys(each for entry in entries for each in entry.metrics):
        card = metric_card(workspace, metric)
        known[metric] = (metric, False, card)
        if card["improvement"]:
            known[card["improvement"]] = (metric, True, card)
    if name not in known:
        raise UnknownNameError("metric", name, known, where=f" under {protocol}")
    return known[name]


def read_items(
    workspace: Workspace, cell_id: int, card: Mapping[str, Any], rule: Aggregation
) -> ItemScores:
    """Every item of a cell that was tried, with its value of one metric.

    Args:
        workspace: where they are.
        cell_id: the cell.
        card: of the metric, with its `number` in the workspace.
        rule: how windows become an item's value.
    """
    rows = workspace.query(
        "SELECT i.scene, i.target, i.cluster, i.query_index, i.query, i.attributes, r.status,"
        " r.error_type, s.value, s.cause, f.windows FROM results r JOIN items i ON i.id = r.item_id"
        " LEFT JOIN scores s ON s.result_id = r.id AND s.metric_id = ?"
        " LEFT JOIN frames f ON f.result_id = r.id AND f.metric_id = s.metric_id"
        " WHERE r.cell_id = ? ORDER BY i.scene_position, i.id",
        (card["number"], cell_id),
    )
    limit = card["noise_floor"]
    values = np.array([_value(row, rule, limit) for row in rows], dtype=float)
    return ItemScores(
        keys=[(row["scene"], row["target"]) for row in rows],
        clusters=[row["cluster"] for row in rows],
        values=values if limit is None else np.minimum(values, limit),
        causes=[_cause(row) for row in rows],
        query_indices=[row["query_index"] for row in rows],
        query_texts=[row["query"] for row in rows],
        attribute_texts=[row["attributes"] for row in rows],
    )


def _value(row: Any, rule: Aggregation, limit: float | None) -> float:
    if row["value"] is None:
        return float("nan")
    if rule.frames is None or not row["windows"]:
        return float(row["value"])
    over = np.nanmean if rule.frames == "mean" else np.nanmedian
    windows = np.minimum(unpack_frames(row["windows"]), np.inf if limit is None else limit)
    return float(over(windows))


def _cause(row: Any) -> str:
    if row["value"] is not None:
        return ""
    if row["status"] not in FINAL:
        return "missing" if row["error_type"] in _NOT_THE_MODELS else "estimate"
    return row["cause"] or "missing"


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = json.loads(text)
    return parsed
