"""A table's numbers apart: by class, stem, track, input SNR, caption, or any attribute of items.

Each part is averaged as the protocol says, over its own items, with its own interval. Many parts
are many chances to see a difference by luck: intervals here are not corrected for their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.api import Aggregation
from sepbench.harness.averages import average, bootstrap_interval
from sepbench.harness.errors import UsageError
from sepbench.harness.item_scores import (
    MIXTURE,
    Entry,
    ItemScores,
    dataset_of,
    find_metric,
    read_entries,
    read_items,
    stored_rule,
)
from sepbench.harness.store import Workspace
from sepbench.harness.stored_scores import metric_card

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MOST_VALUES = 12  # different numbers of an attribute that still make a part each
# Names for what every item has, whatever the dataset says of it.
_SYNONYMS = {"class": "label", "stem": "target", "caption": "text", "track": "scene"}
_OWN = ("target", "scene", "text", "label", "query_kind", "caption_number")
INPUT_SNR = "snr_db"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartCell:
    """One number of a part.

    Attributes:
        value: average over the part's items; None where none has a finite value.
        low, high: 95 % interval over clusters; None below two.
        averaged: items in the value.
        items: items of the part that were tried.
        undefined_reference, undefined_estimate: items without a value, by cause.
    """

    value: float | None
    low: float | None
    high: float | None
    averaged: int
    items: int
    undefined_reference: int
    undefined_estimate: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PartRow:
    """One row of a table for one part of its items."""

    group: str
    name: str
    baseline: str
    role: str
    query: str
    cells: Mapping[str, PartCell]


@dataclass(frozen=True, kw_only=True, slots=True)
class PartColumn:
    """A column of a breakdown; as the table's."""

    name: str
    title: str
    unit: str
    identity: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakdown:
    """A protocol's table in parts, part by part in a fixed order.

    Attributes:
        by: what makes the parts.
        groups: the parts' names in order.
    """

    protocol: str
    dataset: str
    by: str
    aggregate: str
    columns: tuple[PartColumn, ...]
    groups: tuple[str, ...]
    rows: tuple[PartRow, ...]
    notes: tuple[str, ...] = ()


def break_down(
    workspace: Workspace,
    protocol: str,
    by: str,
    *,
    columns: Sequence[str] | None = None,
    edges: Sequence[float] | None = None,
) -> Breakdown:
    """The table of a protocol in parts.

    Args:
        workspace: open.
        protocol: name.
        by: "label" (or "class"), "target" ("stem"), "scene" ("track"), "text" ("caption"),
            "caption_number", "query_kind", or an attribute of the items. "snr_db" is computed
            from the mixture's own SDR where the dataset does not say it.
        columns: metric ids, or those of improvements; default: all.
        edges: of the bins a numeric attribute is cut into; default: bins of a round width where
            it has more than twelve different values.

    Raises:
        UnknownNameError: no such metric.
        UsageError: items have no such attribute.
    """
    by = _SYNONYMS.get(by, by)
    entries = read_entries(workspace, protocol)
    rule = stored_rule(workspace, protocol)
    mixture = next((entry for entry in entries if entry.baseline == MIXTURE), None)
    wanted = list(columns) if columns is not None else _all_columns(workspace, entries, mixture)
    found = [(name, *find_metric(workspace, entries, name, protocol)) for name in wanted]
    read: dict[tuple[int, str], ItemScores] = {}

    def items_of(entry: Entry, metric: str, card: Mapping[str, Any]) -> ItemScores:
        key = (entry.cell_id, metric)
        if key not in read:
            read[key] = read_items(workspace, entry.cell_id, card, rule)
        return read[key]

    computed = _input_snr(workspace, entries, mixture, protocol) if by == INPUT_SNR else {}
    raw: dict[int, list[Any]] = {}
    for entry in entries:
        if found and entry.metrics:
            first = next((f for f in found if f[1] in entry.metrics), None)
            if first is not None:
                scores = items_of(entry, first[1], first[3])
                raw[entry.cell_id] = _keys(scores, entry, by, computed)
    values = {value for keys in raw.values() for value in keys if value is not None}
    if not values:
        raise UsageError(
            f"The items of {protocol} have no '{by}'. "
            f"They have: {', '.join(_known(read.values()))}."
        )
    names = _names(values, edges)
    number = {group: place for place, group in enumerate(dict.fromkeys(names.values()))}
    rows = []
    for entry in entries:
        if entry.cell_id not in raw:
            continue
        mine = np.array([-1 if k is None else number[names[k]] for k in raw[entry.cell_id]])
        parts: dict[str, dict[str, PartCell]] = {}
        for name, metric, improvement, card in found:
            if metric not in entry.metrics or (improvement and entry.baseline == MIXTURE):
                continue
            if entry.baseline == MIXTURE and not card["defined_for_mixture"]:
                continue
            scores = items_of(entry, metric, card)
            numbers = scores.values
            if improvement and mixture is not None:
                numbers = numbers - _base(items_of(mixture, metric, card), scores)
            for group, place in number.items():
                use = mine == place
                if use.any():
                    cell = _cell(scores, numbers, use, rule)
                    parts.setdefault(group, {})[name] = cell
        rows += [
            PartRow(
                group=group,
                name=entry.name,
                baseline=entry.baseline,
                role=entry.role,
                query=entry.query,
                cells=cells,
            )
            for group, cells in parts.items()
        ]
    place_of = {entry.name: position for position, entry in enumerate(entries)}
    rows.sort(key=lambda row: (number[row.group], place_of[row.name]))
    left = sum(key is None for keys in raw.values() for key in keys)
    return Breakdown(
        protocol=protocol,
        dataset=dataset_of(workspace, protocol),
        by=by,
        aggregate=rule.words,
        columns=tuple(
            PartColumn(
                name=name,
                title=_improved(card["title"]) if improvement else card["title"],
                unit=card["unit"],
                identity=f"{metric}@{card['version']}",
            )
            for name, metric, improvement, card in found
        ),
        groups=tuple(number),
        rows=tuple(rows),
        notes=(f"{left} items have no '{by}' and are in no part",) if left else (),
    )


def _all_columns(
    workspace: Workspace, entries: Sequence[Entry], mixture: Entry | None
) -> list[str]:
    columns: list[str] = []
    for metric in dict.fromkeys(each for entry in entries for each in entry.metrics):
        columns.append(metric)
        improvement = metric_card(workspace, metric)["improvement"]
        if improvement and mixture is not None and metric in mixture.metrics:
            columns.append(improvement)
    return columns


def _improved(title: str) -> str:
    """Make "SIR (BSS Eval v3)" into "SIRi (BSS Eval v3)", as tables do."""
    name, blank, rest = title.partition(" ")
    return f"{name}i{blank}{rest}"


def _keys(
    scores: ItemScores, entry: Entry, by: str, computed: Mapping[tuple[str, str], float]
) -> list[Any]:
    """What each item's part is called, (I,); None for an item without."""
    if by == "target":
        return [target for _, target in scores.keys]
    if by == "scene":
        return [scene for scene, _ in scores.keys]
    if by == "query_kind":
        return [entry.query or "none"] * len(scores.keys)
    if by == "caption_number":
        return [index + 1 for index in scores.query_indices]
    if by == "text":
        return [query.get("text") for query in scores.queries]
    said = [attributes.get(by) for attributes in scores.attributes]
    if by == "label":
        pairs = zip(said, scores.queries, scores.keys, strict=True)
        return [own or query.get("label") or key[1] for own, query, key in pairs]
    if by == INPUT_SNR:
        return [
            computed.get(key) if own is None else own
            for own, key in zip(said, scores.keys, strict=True)
        ]
    return said


def _known(read: Any) -> list[str]:
    attributes = {key for scores in read for each in scores.attributes[:100] for key in each}
    return sorted({*_OWN, *attributes})


def _input_snr(
    workspace: Workspace, entries: Sequence[Entry], mixture: Entry | None, protocol: str
) -> dict[tuple[str, str], float]:
    """The mixture's plain SDR, which is the input SNR; {} where it was not computed."""
    if mixture is None or "sdr" not in mixture.metrics:
        return {}
    _, _, card = find_metric(workspace, entries, "sdr", protocol)
    scores = read_items(workspace, mixture.cell_id, card, Aggregation())
    pairs = zip(scores.keys, scores.values.tolist(), strict=True)
    return {key: value for key, value in pairs if np.isfinite(value)}


def _names(values: set[Any], edges: Sequence[float] | None) -> dict[Any, str]:
    """The name of each value's part, parts in their order."""
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numeric:
        return {value: str(value) for value in sorted(values, key=str)}
    ordered = sorted(values)
    if edges is None and len(ordered) <= MOST_VALUES:
        return {value: f"{value:g}" for value in ordered}
    cuts = sorted(edges) if edges is not None else _round_edges(ordered[0], ordered[-1])
    names = {}
    for value in ordered:
        place = int(np.searchsorted(cuts, value, side="right"))
        if place == 0:
            names[value] = f"< {cuts[0]:g}"
        elif place == len(cuts):
            names[value] = f">= {cuts[-1]:g}"
        else:
            names[value] = f"{cuts[place - 1]:g} to {cuts[place]:g}"
    return names


def _round_edges(low: float, high: float) -> list[float]:
    """Inner and outer edges of at most eight bins of width 1, 2 or 5 times a power of ten."""
    width = 10.0 ** np.floor(np.log10((high - low) / 8))
    for factor in (1, 2, 5, 10):
        if (high - low) / (factor * width) <= 7:
            width *= factor
            break
    first = np.floor(low / width)
    return [float(width * k) for k in range(int(first), int(np.floor(high / width)) + 2)]


def _base(mixture: ItemScores, scores: ItemScores) -> Floats:
    base = dict(zip(mixture.keys, mixture.values.tolist(), strict=True))
    return np.array([base.get(key, np.nan) for key in scores.keys], dtype=float)


def _cell(scores: ItemScores, numbers: Floats, use: Any, rule: Aggregation) -> PartCell:
    kept = use & np.isfinite(numbers)
    where = np.flatnonzero(kept).tolist()
    clusters = [scores.clusters[k] for k in where]
    groups = [_group(scores, k, rule.within) for k in where]
    values = numbers[kept]
    interval = bootstrap_interval(values, clusters, groups, rule) if where else None
    causes = [scores.causes[k] for k in np.flatnonzero(use).tolist()]
    return PartCell(
        value=average(values, groups, rule) if where else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        averaged=len(where),
        items=len(causes),
        undefined_reference=causes.count("reference"),
        undefined_estimate=causes.count("estimate"),
    )


def _group(scores: ItemScores, index: int, within: str) -> str:
    if within in ("", "target"):
        return scores.keys[index][1] if within else ""
    return str(scores.attributes[index].get(within, ""))
