"""From records to rows of a table: means or medians with intervals, improvements, counts, cost.

Improvements are joined here, from the mixture's cell under the same protocol, pair by (scene,
target); they are never stored. Undefined is not zero and not dropped: each cause is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.api import Aggregation
from sepbench.harness.averages import Sample, average, bootstrap_intervals
from sepbench.harness.contamination import footnotes
from sepbench.harness.item_scores import (
    MIXTURE,
    ItemScores,
    ScoreReader,
    newest_rule,
    over_mixture,
    protocols_of,
    task_of,
)
from sepbench.harness.records import FINAL
from sepbench.harness.resampling import Recordings
from sepbench.harness.store import Workspace
from sepbench.harness.stored_scores import (
    count_degraded,
    count_statuses,
    metric_card,
    read_cells,
    read_cost,
)
from sepbench.harness.table_notes import degraded_note, query_words, row_notes, table_notes

if TYPE_CHECKING:
    import numpy.typing as npt

    Codes = npt.NDArray[np.intp]
    Flags = npt.NDArray[np.bool_]


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
        complete: every expected item is there, none failed, no estimate undefined, none made
            with less memory than it needs.
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


def tables(
    workspace: Workspace,
    protocols: Sequence[str] | None = None,
    *,
    reader: ScoreReader | None = None,
) -> list[Table]:
    """A table for each protocol named, or for all in the order of their first use.

    Args:
        workspace: open.
        protocols: names.
        reader: of the workspace, when more than tables is made of the scores it reads.
    """
    names = protocols or protocols_of(workspace)
    return [protocol_table(workspace, name, reader=reader) for name in names]


def protocol_table(
    workspace: Workspace, protocol: str, *, reader: ScoreReader | None = None
) -> Table:
    """The table of one protocol.

    A model that was run several times under one label (other settings, other code) shows its
    latest cell; the others are counted in a footnote, as are rows of an earlier list revision.
    """
    reader = reader or ScoreReader(workspace)
    stored, left_out = read_cells(workspace, protocol)
    metrics: dict[str, dict[str, Any]] = {}
    for cell in stored:
        for name in json.loads(cell["metrics"]):
            if name not in metrics:
                metrics[name] = metric_card(workspace, name)
    mixture = next((c for c in stored if c["baseline"] == MIXTURE), None)
    columns = _columns(metrics, with_improvements=mixture is not None)
    # The newest wording counts for all: how numbers are averaged is no part of a cell's identity.
    rule = newest_rule(stored)
    read = {
        cell["id"]: {
            name: reader.read(cell["id"], metrics[name], rule)
            for name in json.loads(cell["metrics"])
        }
        for cell in stored
    }
    floor = read[mixture["id"]] if mixture is not None else {}
    # The scores of a cell share their items.
    clusters = {id_: next(iter(of.values())).clusters for id_, of in read.items() if of}
    recordings = Recordings(name for names in clusters.values() for name in names)
    codes = {id_: recordings.codes(names) for id_, names in clusters.items()}
    drafts = {
        cell["id"]: {
            column.name: _draft(
                read[cell["id"]][column.metric],
                metrics[column.metric],
                rule,
                codes[cell["id"]],
                floor.get(column.metric) if column.improvement else None,
            )
            for column in columns
            if _has_column(cell, column, metrics, read[cell["id"]], floor)
        }
        for cell in stored
    }
    in_order = [draft.sample for of_cell in drafts.values() for draft in of_cell.values()]
    intervals = iter(bootstrap_intervals(in_order, recordings, rule))
    place = task_of(workspace, protocol)
    rows = []
    for cell in stored:
        counts = count_statuses(workspace, cell["id"])
        scored = sum(counts.get(status, 0) for status in FINAL)
        cells = {
            name: _cell(draft, next(intervals), rule, scored)
            for name, draft in drafts[cell["id"]].items()
        }
        rows.append(_row(workspace, cell, cells, counts, place))
    order = {"lower": 0, "model": 1, "upper": 2}
    rows.sort(key=lambda row: order.get(row.role, 1))
    return Table(
        protocol=protocol,
        dataset=place[0],
        aggregate=rule.words,
        columns=columns,
        rows=tuple(rows),
        notes=tuple(table_notes(left_out, rule, floor.values(), recordings)),
    )


def _has_column(
    cell: Mapping[str, Any],
    column: Column,
    metrics: Mapping[str, Mapping[str, Any]],
    read: Mapping[str, ItemScores],
    floor: Mapping[str, ItemScores],
) -> bool:
    """Whether a row has a number in a column: asked for, and with a meaning."""
    if column.metric not in read:
        return False
    if cell["baseline"] == MIXTURE:
        return not column.improvement and bool(metrics[column.metric]["defined_for_mixture"])
    return not column.improvement or column.metric in floor


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
                    title=improved_title(card["title"]),
                    unit=card["unit"],
                    identity=f"{identity} minus the mixture's",
                    metric=name,
                    improvement=True,
                    higher_is_better=card["higher_is_better"],
                )
            )
    return tuple(columns)


def improved_title(title: str) -> str:
    """Make "SIR (BSS Eval v3)" into "SIRi (BSS Eval v3)"."""
    name, blank, rest = title.partition(" ")
    return f"{name}i{blank}{rest}"


def _row(
    workspace: Workspace,
    cell: Mapping[str, Any],
    cells: Mapping[str, Cell],
    counts: Mapping[str, int],
    place: tuple[str, str],
) -> Row:
    scored = sum(counts.get(status, 0) for status in FINAL)
    failed = sum(n for status, n in counts.items() if status not in FINAL)
    expected = max(cell["expected_items"] or 0, cell["planned_items"] or 0)
    faults = max((c.undefined_estimate for c in cells.values()), default=0)
    unscored = max((c.missing for c in cells.values()), default=0)
    marked = count_degraded(workspace, cell["id"])
    facts = json.loads(cell["facts"])
    card = json.loads(cell["card"])
    return Row(
        label=cell["label"],
        baseline=cell["baseline"],
        version=card["version"],
        role=cell["role"],
        query=query_words(cell),
        status=cell["status"],
        reason=cell["reason"],
        cells=cells,
        scored=scored,
        expected=expected,
        failed=failed,
        missing=max(0, expected - scored - failed),
        complete=cell["status"] == "active"
        and scored == expected > 0
        and not (faults or unscored or marked),
        flops_per_second=facts.get("flops_per_second"),
        parameters=facts.get("parameters"),
        device=facts.get("device", ""),
        precision=facts.get("precision", ""),
        notes=row_notes(cell, scored, expected, failed, faults, unscored)
        + degraded_note(marked)
        + footnotes(cell["baseline"], card.get("training_data", ()), *place),
        cell_id=cell["id"],
        identity=json.loads(cell["identity"]),
        **read_cost(workspace, cell["id"]),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draft:
    """One number of a table before its interval."""

    sample: Sample
    scores: ItemScores
    use: Flags
    infinite: int
    unpaired: int
    noise_floor: float | None


def _draft(
    scores: ItemScores,
    card: Mapping[str, Any],
    rule: Aggregation,
    codes: Codes,
    mixture: ItemScores | None,
) -> _Draft:
    """What a number is the average of: finite values of done items, or their improvements."""
    values = scores.values if mixture is None else over_mixture(scores, mixture)
    use = scores.scored & np.isfinite(values)
    unpaired = scores.scored & ~np.isnan(scores.values) & np.isnan(values)
    groups = scores.groups(rule.within) if rule.within else []
    return _Draft(
        sample=Sample(
            values=values[use],
            clusters=codes[use],
            groups=[group for group, used in zip(groups, use, strict=False) if used],
        ),
        scores=scores,
        use=use,
        infinite=int((scores.scored & np.isinf(values)).sum()),
        unpaired=int(unpaired.sum()),
        noise_floor=card["noise_floor"],
    )


def _cell(
    draft: _Draft, interval: tuple[float, float] | None, rule: Aggregation, scored: int
) -> Cell:
    """The number with its interval and counts."""
    sample, scores = draft.sample, draft.scores
    causes = Counter(scores.causes[place] for place in np.flatnonzero(scores.scored).tolist())
    return Cell(
        value=average(sample.values, sample.groups, rule) if len(sample.values) else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        averaged=len(sample.values),
        undefined_reference=causes["reference"],
        undefined_estimate=causes["estimate"],
        infinite=draft.infinite,
        capped=int((scores.scored & scores.capped).sum()),
        unpaired=draft.unpaired,
        missing=max(0, scored - int(scores.scored.sum())),
        windows=int(scores.windows[draft.use].sum()),
        undefined_windows=int(scores.undefined_windows[draft.use].sum()),
        noise_floor=draft.noise_floor,
    )
