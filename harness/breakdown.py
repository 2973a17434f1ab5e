"""A table's numbers apart: by class, stem, track, input SNR, caption, or any attribute of items.

Each part is averaged as the protocol says, over its own items, with its own interval. Many parts
are many chances to see a difference by luck: intervals here are not corrected for their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.aggregate import improved_title
from sepbench.harness.api import Aggregation
from sepbench.harness.averages import Sample, average, bootstrap_intervals
from sepbench.harness.errors import UsageError
from sepbench.harness.item_scores import (
    MIXTURE,
    Entry,
    ItemScores,
    ScoreReader,
    dataset_of,
    find_metric,
    over_mixture,
    read_entries,
    stored_rule,
)
from sepbench.harness.resampling import Recordings
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
    reader = ScoreReader(workspace)
    first = {
        entry.cell_id: reader.read(entry.cell_id, card, rule)
        for entry in entries
        for _, _, _, card in [f for f in found if f[1] in entry.metrics][:1]
    }
    shown = [entry for entry in entries if entry.cell_id in first]
    computed = _input_snr(workspace, reader, entries, protocol) if by == INPUT_SNR else {}
    keys = {e.cell_id: _keys(first[e.cell_id], e, by, computed) for e in shown}
    values = {value for of_cell in keys.values() for value in of_cell if value is not None}
    if not values:
        raise UsageError(
            f"The items of {protocol} have no '{by}'. "
            f"They have: {', '.join(_known(first.values()))}."
        )
    names = _names(values, edges)
    groups = tuple(dict.fromkeys(names.values()))
    places = {
        cell_id: _places([None if key is None else names[key] for key in of_cell])
        for cell_id, of_cell in keys.items()
    }
    numbers = _numbers(reader, shown, mixture, found, rule)
    rows = [
        PartRow(
            group=group,
            name=entry.name,
            baseline=entry.baseline,
            role=entry.role,
            query=entry.query,
            cells=cells,
        )
        for group in groups
        for entry, cells in _part(shown, numbers, places, group, rule)
    ]
    left = sum(key is None for of_cell in keys.values() for key in of_cell)
    return Breakdown(
        protocol=protocol,
        dataset=dataset_of(workspace, protocol),
        by=by,
        aggregate=rule.words,
        columns=tuple(
            PartColumn(
                name=name,
                title=improved_title(card["title"]) if improvement else card["title"],
                unit=card["unit"],
                identity=f"{metric}@{card['version']}",
            )
            for name, metric, improvement, card in found
        ),
        groups=groups,
        rows=tuple(rows),
        notes=(f"{left} items have no '{by}' and are in no part",) if left else (),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Numbers:
    """One column of one row, an entry an item."""

    scores: ItemScores
    values: Floats
    groups: Sequence[str]


def _numbers(
    reader: ScoreReader,
    entries: Sequence[Entry],
    mixture: Entry | None,
    columns: Sequence[tuple[str, str, bool, dict[str, Any]]],
    rule: Aggregation,
) -> dict[int, dict[str, _Numbers]]:
    """Cell id -> column -> its numbers; as in the table, where the row has the column."""
    found: dict[int, dict[str, _Numbers]] = {}
    for entry in entries:
        mine = found.setdefault(entry.cell_id, {})
        for name, metric, improvement, card in columns:
            if metric not in entry.metrics:
                continue
            if entry.baseline == MIXTURE and (improvement or not card["defined_for_mixture"]):
                continue
            if improvement and mixture is None:
                continue
            scores = reader.read(entry.cell_id, card, rule)
            values = scores.values
            if improvement and mixture is not None:
                values = over_mixture(scores, reader.read(mixture.cell_id, card, rule))
            groups = scores.groups(rule.within)
            mine[name] = _Numbers(scores=scores, values=values, groups=groups)
    return found


def _places(names: Sequence[str | None]) -> dict[str, list[int]]:
    """Name of a part -> its items."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if name is not None:
            found.setdefault(name, []).append(place)
    return found


def _part(
    entries: Sequence[Entry],
    numbers: Mapping[int, Mapping[str, _Numbers]],
    places: Mapping[int, Mapping[str, list[int]]],
    group: str,
    rule: Aggregation,
) -> list[tuple[Entry, dict[str, PartCell]]]:
    """The rows of one part; all its numbers share the draws of its recordings."""
    there = [entry for entry in entries if group in places[entry.cell_id]]
    recordings = Recordings(
        each.scores.clusters[place]
        for entry in there
        for each in list(numbers[entry.cell_id].values())[:1]
        for place in places[entry.cell_id][group]
    )
    jobs = [
        (entry, name, each, _sample(each, places[entry.cell_id][group], recordings))
        for entry in there
        for name, each in numbers[entry.cell_id].items()
    ]
    intervals = bootstrap_intervals([sample for *_, sample in jobs], recordings, rule)
    found: dict[int, dict[str, PartCell]] = {entry.cell_id: {} for entry in there}
    for (entry, name, each, sample), interval in zip(jobs, intervals, strict=True):
        causes = [each.scores.causes[place] for place in places[entry.cell_id][group]]
        found[entry.cell_id][name] = PartCell(
            value=average(sample.values, sample.groups, rule) if len(sample.values) else None,
            low=interval[0] if interval else None,
            high=interval[1] if interval else None,
            averaged=len(sample.values),
            items=len(causes),
            undefined_reference=causes.count("reference"),
            undefined_estimate=causes.count("estimate"),
        )
    return [(entry, found[entry.cell_id]) for entry in there if found[entry.cell_id]]


def _sample(numbers: _Numbers, places: Sequence[int], recordings: Recordings) -> Sample:
    kept = [place for place in places if np.isfinite(numbers.values[place])]
    return Sample(
        values=numbers.values[kept],
        clusters=recordings.codes([numbers.scores.clusters[place] for place in kept]),
        groups=[numbers.groups[place] for place in kept],
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
    workspace: Workspace, reader: ScoreReader, entries: Sequence[Entry], protocol: str
) -> dict[tuple[str, str], float]:
    """The mixture's plain SDR, which is the input SNR; {} where it was not computed."""
    mixture = next((entry for entry in entries if entry.baseline == MIXTURE), None)
    if mixture is None or "sdr" not in mixture.metrics:
        return {}
    _, _, card = find_metric(workspace, entries, "sdr", protocol)
    scores = reader.read(mixture.cell_id, card, Aggregation())
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
