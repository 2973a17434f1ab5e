"""From records to rows of a table: means or medians with intervals, improvements, counts, cost.

Improvements are joined here, from the mixture's cell under the same protocol, pair by (scene,
target); they are never stored. Undefined is not zero and not dropped: each cause is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.api import AVERAGES, Aggregation
from sepbench.harness.averages import average, bootstrap_interval
from sepbench.harness.contamination import footnotes
from sepbench.harness.records import FINAL
from sepbench.harness.store import Workspace
from sepbench.harness.stored_scores import (
    Scores,
    count_statuses,
    metric_card,
    read_cells,
    read_cost,
    read_scores,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MIXTURE = "mixture"


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One metric, or the improvement of one, in one protocol's table.

    Attributes:
        name: column id in CSV ("si_sdr", "si_sdri").
        title: as people write it.
        identity: "id@version" and parameters, for captions.
    """

    name: str
    title: str
    unit: str
    identity: str
    metric: str
    improvement: bool = False
    higher_is_better: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One number of a table with everything needed to trust it.

    Attributes:
        value: mean or median over items; None where there is nothing to average.
        low, high: 95 % interval, bootstrap over clusters; None below two clusters.
        averaged: items in the value.
        undefined_reference: left out for every model alike.
        undefined_estimate: the model's own fault; counted beside the value.
        infinite: items at ±inf, never averaged.
        capped: items beyond the metric's noise floor, averaged as that number.
        unpaired: of an improvement, items whose mixture has no value to subtract.
        missing: scored items without a score under this version of the metric.
        windows: of a metric that works in windows, those of the items in the value.
        undefined_windows: of these, the ones left out: a source or an estimate is silent.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    averaged: int = 0
    undefined_reference: int = 0
    undefined_estimate: int = 0
    infinite: int = 0
    capped: int = 0
    unpaired: int = 0
    missing: int = 0
    windows: int = 0
    undefined_windows: int = 0
    noise_floor: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One cell of the grid as a row of a protocol's table.

    Attributes:
        scored: items with at least one value; expected: items the protocol has.
        real_time_factor: seconds of separation per second of audio; None = not measured.
        flops_per_second: floating-point operations per second of audio; None = not counted.
        complete: every expected item is there, none failed, no estimate undefined.
        notes: footnotes.
    """

    label: str
    baseline: str
    version: str
    role: str
    query: str
    status: str
    reason: str
    cells: Mapping[str, Cell]
    scored: int = 0
    expected: int = 0
    failed: int = 0
    missing: int = 0
    complete: bool = False
    real_time_factor: float | None = None
    flops_per_second: float | None = None
    peak_memory: int | None = None
    parameters: int | None = None
    device: str = ""
    precision: str = ""
    notes: tuple[str, ...] = ()
    cell_id: int = 0
    identity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One protocol's rows: lower bounds, models, upper bounds.

    Attributes:
        aggregate: from items to one number, in words.
        notes: what concerns the table as a whole.
    """

    protocol: str
    dataset: str
    aggregate: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def tables(workspace: Workspace, protocols: Sequence[str] | None = None) -> list[Table]:
    """A table for each protocol named, or for all in the order of their first use."""
    names = protocols or [
        row["protocol"]
        for row in workspace.query("SELECT protocol, min(id) m FROM cells GROUP BY 1 ORDER BY m")
    ]
    return [protocol_table(workspace, name) for name in names]


def protocol_table(workspace: Workspace, protocol: str) -> Table:
    """The table of one protocol.

    A model that was run several times under one label (other settings, other code) shows its
    latest cell; the others are counted in a footnote, as are rows of an earlier list revision.
    """
    stored, left_out = read_cells(workspace, protocol)
    metrics: dict[str, dict[str, Any]] = {}
    for cell in stored:
        for name in json.loads(cell["metrics"]):
            if name not in metrics:
                metrics[name] = metric_card(workspace, name)
    mixture = next((c for c in stored if c["baseline"] == MIXTURE), None)
    columns = _columns(metrics, with_improvements=mixture is not None)
    # The newest wording counts for all: how numbers are averaged is no part of a cell's identity.
    newest = max(stored, key=lambda cell: cell["last_run"] or 0, default=None)
    rule = _rule(newest["aggregate"]) if newest else Aggregation()
    floor = {
        name: read_scores(workspace, mixture["id"], card["number"], rule.within)
        for name, card in metrics.items()
        if mixture is not None
    }
    dataset = workspace.query(
        "SELECT dataset, list FROM tasks WHERE protocol = ? LIMIT 1", (protocol,)
    )
    place = (dataset[0]["dataset"], dataset[0]["list"]) if dataset else ("", "")
    rows = [_row(workspace, cell, columns, metrics, floor, rule, place) for cell in stored]
    order = {"lower": 0, "model": 1, "upper": 2}
    rows.sort(key=lambda row: order.get(row.role, 1))
    return Table(
        protocol=protocol,
        dataset=place[0],
        aggregate=rule.words,
        columns=columns,
        rows=tuple(rows),
        notes=tuple(_table_notes(left_out, rule, floor.values())),
    )


def _table_notes(left_out: int, rule: Aggregation, scores: Iterable[Scores]) -> Iterator[str]:
    if left_out:
        yield f"{left_out} rows of an earlier list revision or rate are not shown"
    groups = [group for each in scores for group in each.groups]
    without = groups.count("")
    if rule.within and without:
        which = "no item has" if without == len(groups) else "some items lack"
        yield f"{which} '{rule.within}', by which this protocol groups them; they are one group"


def _rule(stored: str) -> Aggregation:
    """How a cell is averaged; the first workspaces hold the one word of it."""
    return Aggregation(**({"items": stored} if stored in AVERAGES else json.loads(stored)))


def _columns(
    metrics: Mapping[str, Mapping[str, Any]], *, with_improvements: bool
) -> tuple[Column, ...]:
    columns: list[Column] = []
    for name, card in metrics.items():
        parameters = ", ".join(f"{k}={v}" for k, v in card["parameters"].items())
        identity = f"{name}@{card['version']}" + (f" ({parameters})" if parameters else "")
        columns.append(
            Column(
                name=name,
                title=card["title"],
                unit=card["unit"],
                identity=identity,
                metric=name,
                higher_is_better=card["higher_is_better"],
            )
        )
        if card["improvement"] and with_improvements:
            columns.append(
                Column(
                    name=card["improvement"],
                    title=_improved(card["title"]),
                    unit=card["unit"],
                    identity=f"{identity} minus the mixture's",
                    metric=name,
                    improvement=True,
                    higher_is_better=card["higher_is_better"],
                )
            )
    return tuple(columns)


def _improved(title: str) -> str:
    """Make "SIR (BSS Eval v3)" into "SIRi (BSS Eval v3)"."""
    name, blank, rest = title.partition(" ")
    return f"{name}i{blank}{rest}"


def _row(
    workspace: Workspace,
    cell: Mapping[str, Any],
    columns: Sequence[Column],
    metrics: Mapping[str, Mapping[str, Any]],
    floor: Mapping[str, Scores],
    rule: Aggregation,
    place: tuple[str, str],
) -> Row:
    asked = json.loads(cell["metrics"])
    is_mixture = cell["baseline"] == MIXTURE
    cells: dict[str, Cell] = {}
    cached = {
        name: read_scores(workspace, cell["id"], metrics[name]["number"], rule.within)
        for name in asked
    }
    counts = count_statuses(workspace, cell["id"])
    scored = sum(counts.get(status, 0) for status in FINAL)
    for column in columns:
        card = metrics[column.metric]
        if column.metric not in cached or (is_mixture and not card["defined_for_mixture"]):
            continue
        if column.improvement and is_mixture:
            continue
        cells[column.name] = _aggregate(
            cached[column.metric],
            card,
            rule=rule,
            minus=floor[column.metric] if column.improvement else None,
            scored=scored,
        )
    failed = sum(n for status, n in counts.items() if status not in FINAL)
    expected = max(cell["expected_items"] or 0, cell["planned_items"] or 0)
    faults = max((c.undefined_estimate for c in cells.values()), default=0)
    unscored = max((c.missing for c in cells.values()), default=0)
    facts = json.loads(cell["facts"])
    card = json.loads(cell["card"])
    return Row(
        label=cell["label"],
        baseline=cell["baseline"],
        version=card["version"],
        role=cell["role"],
        query=_query_words(cell),
        status=cell["status"],
        reason=cell["reason"],
        cells=cells,
        scored=scored,
        expected=expected,
        failed=failed,
        missing=max(0, expected - scored - failed),
        complete=cell["status"] == "active" and scored == expected > 0 and not (faults or unscored),
        flops_per_second=facts.get("flops_per_second"),
        parameters=facts.get("parameters"),
        device=facts.get("device", ""),
        precision=facts.get("precision", ""),
        notes=_notes(cell, scored, expected, failed, faults, unscored)
        + footnotes(cell["baseline"], card.get("training_data", ()), *place),
        cell_id=cell["id"],
        identity=json.loads(cell["identity"]),
        **read_cost(workspace, cell["id"]),
    )


def _query_words(cell: Mapping[str, Any]) -> str:
    if cell["query_kind"] == "audio" and cell["shots"]:
        return f"audio ×{cell['shots']}"
    return "–" if cell["query_kind"] in ("none", "") else str(cell["query_kind"])


def _notes(
    cell: Mapping[str, Any], scored: int, expected: int, failed: int, faults: int, unscored: int
) -> tuple[str, ...]:
    notes = []
    if cell["status"] == "not applicable":
        notes.append(f"not applicable: {cell['reason']}")
    elif cell["status"] == "failed":
        notes.append(f"could not be carried out: {cell['reason']}")
    elif scored < expected:
        tail = f", {failed} failed" if failed else ""
        notes.append(f"partial: {scored} of {expected} items{tail}; not comparable")
    if faults:
        notes.append(f"{faults} estimates without a defined score; not comparable")
    if unscored:
        notes.append(f"{unscored} items lack a score of a metric or of its present version")
    if cell["older"]:
        notes.append(f"{cell['older']} earlier variants under this name are not shown")
    return tuple(notes)


def _aggregate(
    scores: Scores, card: Mapping[str, Any], *, rule: Aggregation, minus: Scores | None, scored: int
) -> Cell:
    values = _item_values(scores, rule, card["noise_floor"])
    defined = ~np.isnan(values)
    limit = card["noise_floor"]
    capped = 0
    if limit is not None:
        over = defined & (values > limit)
        capped = int(over.sum())
        values[over] = limit  # +inf too: beyond the floor there is only rounding
    unpaired = 0
    if minus is not None:
        base = dict(zip(minus.keys, _item_values(minus, rule, card["noise_floor"]), strict=True))
        subtract = np.array([base.get(key, np.nan) for key in scores.keys], dtype=float)
        if limit is not None:
            subtract = np.minimum(subtract, limit)
        unpaired = int((defined & np.isnan(subtract)).sum())
        endless = np.isinf(values) & np.isinf(subtract)
        with np.errstate(invalid="ignore"):
            values = values - subtract
        values[endless] = np.inf  # as little an improvement as inf itself
    use = np.isfinite(values)
    kept = values[use]
    clusters = [c for c, used in zip(scores.clusters, use, strict=True) if used]
    groups = [g for g, used in zip(scores.groups, use, strict=True) if used]
    windows = np.array([v for f, used in zip(scores.frames, use, strict=True) if used for v in f])
    interval = bootstrap_interval(kept, clusters, groups, rule) if len(kept) else None
    return Cell(
        value=average(kept, groups, rule) if len(kept) else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        averaged=len(kept),
        undefined_reference=scores.causes.count("reference"),
        undefined_estimate=scores.causes.count("estimate"),
        infinite=int(np.isinf(values).sum()),
        capped=capped,
        unpaired=unpaired,
        missing=max(0, scored - len(scores.keys)),
        windows=windows.size,
        undefined_windows=int(np.isnan(windows).sum()),
        noise_floor=limit,
    )


def _item_values(scores: Scores, rule: Aggregation, limit: float | None) -> Floats:
    """A number an item: the metric's own, or its windows averaged as the protocol says."""
    values = scores.values.copy()
    if rule.frames is not None:
        over = np.nanmean if rule.frames == "mean" else np.nanmedian
        for index, frames in enumerate(scores.frames):
            if frames:  # an item with a value has at least one defined window
                with np.errstate(invalid="ignore"):
                    mean = over(np.minimum(frames, np.inf if limit is None else limit))
                # Windows at +inf beside some at -inf have no mean; counted as infinite.
                values[index] = np.inf if np.isnan(mean) else mean
    return values
