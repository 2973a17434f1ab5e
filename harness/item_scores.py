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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sepbench.harness import errors
from sepbench.harness.api import AVERAGES, Aggregation
from sepbench.harness.api.rules import Average
from sepbench.harness.errors import UnknownNameError, UsageError
from sepbench.harness.records import FINAL
from sepbench.harness.store import Workspace
from sepbench.harness.store_results import unpack_frames
from sepbench.harness.stored_scores import metric_card, read_cells

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Codes = npt.NDArray[np.intp]

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
        scored: (I,) the item is done and has a score of this metric, be it undefined.
        capped: (I,) beyond the noise floor.
        windows, undefined_windows: (I,) of a metric that works in windows; 0 for others.
        query_texts, attribute_texts: JSON as stored.
    """

    keys: list[tuple[str, str]]
    clusters: list[str]
    values: Floats
    causes: list[str]
    scored: Flags
    capped: Flags
    windows: Codes
    undefined_windows: Codes
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

    def groups(self, within: str) -> list[str]:
        """The group of each item, as `Aggregation.within` makes them; I names."""
        if not within:
            return [""] * len(self.keys)
        if within == "target":
            return [target for _, target in self.keys]
        return [str(attributes.get(within, "")) for attributes in self.attributes]


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
                query=f"{kind} ×{shots}" if shots else kind,
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


def task_of(workspace: Workspace, protocol: str) -> tuple[str, str]:
    """Dataset and list of a protocol as the workspace knows them; "" before any task."""
    rows = workspace.query(
        "SELECT dataset, list FROM tasks WHERE protocol = ? LIMIT 1", (protocol,)
    )
    return (rows[0]["dataset"], rows[0]["list"]) if rows else ("", "")


def dataset_of(workspace: Workspace, protocol: str) -> str:
    """The dataset of a protocol as the workspace knows it; "" before any task."""
    return task_of(workspace, protocol)[0]


def stored_rule(workspace: Workspace, protocol: str) -> Aggregation:
    """How the protocol's newest cell is averaged."""
    return newest_rule(read_cells(workspace, protocol)[0])


def newest_rule(cells: Sequence[Mapping[str, Any]]) -> Aggregation:
    """How the newest of some cells is averaged; the first workspaces hold the one word of it."""
    newest = max(cells, key=lambda cell: cell["last_run"] or 0, default=None)
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


class ScoreReader:
    """Reads the scores of a workspace, each cell and metric once; what a report reads from.

    Args:
        workspace: open.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._tasks: dict[int, dict[int, Item]] = {}
        self._cells: dict[int, _Tried] = {}
        self._scores: dict[tuple[int, int, Average | None], ItemScores] = {}

    def read(self, cell_id: int, card: Mapping[str, Any], rule: Aggregation) -> ItemScores:
        """Every item of a cell that was tried, with its value of one metric.

        Args:
            cell_id: the cell.
            card: of the metric, with its `number` in the workspace.
            rule: how windows become an item's value.
        """
        key = (cell_id, card["number"], rule.frames)
        if key not in self._scores:
            self._scores[key] = self._read(cell_id, card, rule)
        return self._scores[key]

    def items(self, cell_id: int) -> list[Item]:
        """The items of a cell that were tried, in the order of their scores."""
        return self._tried(cell_id).items

    def _read(self, cell_id: int, card: Mapping[str, Any], rule: Aggregation) -> ItemScores:
        tried = self._tried(cell_id)
        found = self._workspace.query(
            "SELECT r.item_id, s.value, s.cause, f.windows FROM results r"
            " JOIN scores s ON s.result_id = r.id LEFT JOIN frames f"
            " ON f.result_id = s.result_id AND f.metric_id = s.metric_id"
            " WHERE r.cell_id = ? AND s.metric_id = ?",
            (cell_id, card["number"]),
        )
        limit = np.inf if card["noise_floor"] is None else float(card["noise_floor"])
        count = len(tried.items)
        values = np.full(count, np.nan)
        causes = list(tried.without)
        scored = np.zeros(count, bool)
        windows, undefined = np.zeros(count, np.intp), np.zeros(count, np.intp)
        place_of, final = tried.places, tried.final
        for item_id, value, cause, packed in found:
            place = place_of.get(item_id)
            if place is None or not final[place]:
                continue  # recorded since the tries were read; or of a try before one that failed
            scored[place] = True
            causes[place] = "" if value is not None else cause or "missing"
            if packed:
                frames = np.array(unpack_frames(packed))
                windows[place], undefined[place] = len(frames), int(np.isnan(frames).sum())
                if value is not None and rule.frames is not None:
                    value = _over_windows(frames, rule.frames, limit)
            if value is not None:
                values[place] = value
        capped = values > limit  # +inf too: beyond the floor there is only rounding
        values[capped] = limit
        return ItemScores(
            keys=tried.keys,
            clusters=tried.clusters,
            values=values,
            causes=causes,
            scored=scored,
            capped=capped,
            windows=windows,
            undefined_windows=undefined,
            query_indices=[item.query_index for item in tried.items],
            query_texts=[item.query for item in tried.items],
            attribute_texts=[item.attributes for item in tried.items],
        )

    def _tried(self, cell_id: int) -> _Tried:
        if cell_id not in self._cells:
            self._cells[cell_id] = self._read_tried(cell_id)
        return self._cells[cell_id]

    def _read_tried(self, cell_id: int) -> _Tried:
        rows = self._workspace.query(
            "SELECT r.item_id, r.status, r.error_type, c.task_id FROM results r"
            " JOIN cells c ON c.id = r.cell_id WHERE r.cell_id = ?",
            (cell_id,),
        )
        items = self._items(rows[0]["task_id"]) if rows else {}
        facts = {item_id: (status, error) for item_id, status, error, _ in rows}
        there = [item_id for item_id in items if item_id in facts]
        final = [facts[item_id][0] in FINAL for item_id in there]
        faults = [
            "missing" if done or facts[item_id][1] in _NOT_THE_MODELS else "estimate"
            for item_id, done in zip(there, final, strict=True)
        ]
        mine = [items[item_id] for item_id in there]
        return _Tried(
            items=mine,
            places={item_id: place for place, item_id in enumerate(there)},
            keys=[item.key for item in mine],
            clusters=[item.cluster for item in mine],
            final=final,
            without=faults,
        )

    def _items(self, task_id: int) -> dict[int, Item]:
        """Items of a task by id, in list order."""
        if task_id not in self._tasks:
            rows = self._workspace.query(
                "SELECT id, scene, target, cluster, query_index, query, attributes, absent,"
                " scene_position FROM items WHERE task_id = ? ORDER BY scene_position, id",
                (task_id,),
            )
            self._tasks[task_id] = {
                number: Item(number, (scene, target), *rest)
                for number, scene, target, *rest in rows
            }
        return self._tasks[task_id]


class Item(NamedTuple):
    """One item of a list as it is kept; JSON as text."""

    number: int
    key: tuple[str, str]
    cluster: str
    query_index: int
    query: str
    attributes: str
    absent: bool
    position: int


class _Tried(NamedTuple):
    """The items of a cell that were tried, in list order, and why each has no value yet."""

    items: list[Item]
    places: dict[int, int]
    keys: list[tuple[str, str]]
    clusters: list[str]
    final: list[bool]
    without: list[str]


def over_mixture(scores: ItemScores, mixture: ItemScores) -> Floats:
    """Each item's value minus the mixture's of the same target, (I,).

    NaN where either has none; infinite where the two are infinite alike, which is as little an
    improvement as infinity itself.
    """
    if scores.keys == mixture.keys:
        base = mixture.values
    else:
        known = dict(zip(mixture.keys, mixture.values.tolist(), strict=True))
        base = np.array([known.get(key, np.nan) for key in scores.keys], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        gains = scores.values - base
    gains[np.isinf(scores.values) & np.isinf(base)] = np.inf
    return gains


def _over_windows(frames: Floats, how: Average, limit: float) -> float:
    """An item's number from its windows, of which at least one is defined.

    Windows at +inf beside some at −inf have no mean: the item is at −inf, never averaged.
    """
    with np.errstate(invalid="ignore"):
        found = (np.nanmean if how == "mean" else np.nanmedian)(np.minimum(frames, limit))
    return float("-inf") if np.isnan(found) else float(found)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = json.loads(text)
    return parsed
