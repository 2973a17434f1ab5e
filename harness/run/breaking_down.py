"""`bench report --by`: breakdowns and query sensitivity as Markdown and CSV."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from sepbench.harness.breakdown import Breakdown, PartCell, break_down
from sepbench.harness.errors import UsageError
from sepbench.harness.item_scores import protocols_of, read_entries
from sepbench.harness.plain_text import escape_markdown as escape
from sepbench.harness.run.text_tables import csv_text, markdown, number, p_value
from sepbench.harness.sensitivity import QuerySensitivity, query_sensitivity
from sepbench.harness.store import Workspace

QUERY = "query"  # not a part of the items: how much a row depends on what is asked


def breakdown_texts(
    folder: Path, by: Sequence[str], *, edges: Sequence[float] | None = None
) -> dict[str, str]:
    """File name -> text, a Markdown and a CSV file for each way to take the tables apart.

    Args:
        folder: the workspace.
        by: as `break_down`, or "query" for the sensitivity to queries.
        edges: of the bins of a numeric attribute.

    Raises:
        UsageError: no item of any protocol has such an attribute.
        WorkspaceError: no results there.
    """
    texts: dict[str, str] = {}
    with Workspace(folder) as workspace:
        protocols = [name for name in protocols_of(workspace) if read_entries(workspace, name)]
        for each in by:
            stem = "by-" + re.sub(r"[^\w.-]+", "_", each)
            if each == QUERY:
                found = [query_sensitivity(workspace, name) for name in protocols]
                texts[f"{stem}.md"] = "\n\n".join(map(_sensitivity_text, found)) + "\n"
                texts[f"{stem}.csv"] = _sensitivity_csv(found)
                continue
            parts = _parts(workspace, protocols, each, edges)
            texts[f"{stem}.md"] = "\n\n".join(map(_breakdown_text, parts)) + "\n"
            texts[f"{stem}.csv"] = _breakdown_csv(parts)
    return texts


def parse_edges(text: str | None) -> list[float] | None:
    """`-5,0,5` as numbers.

    Raises:
        UsageError: not numbers, or the same one twice.
    """
    if text is None:
        return None
    try:
        edges = [float(part) for part in text.split(",")]
    except ValueError:
        edges = []
    if not edges or not all(map(math.isfinite, edges)) or len(set(edges)) < len(edges):
        raise UsageError(f"--bins takes different numbers such as -5,0,5; given: '{text}'.")
    return edges


def _parts(
    workspace: Workspace, protocols: Sequence[str], by: str, edges: Sequence[float] | None
) -> list[Breakdown]:
    """The protocols whose items have the attribute; an error where none has it."""
    found: list[Breakdown] = []
    refusals: list[UsageError] = []
    for name in protocols:
        try:
            found.append(break_down(workspace, name, by, edges=edges))
        except UsageError as error:
            refusals.append(error)
    if not found and refusals:
        raise refusals[0]
    return found


def _breakdown_text(parts: Breakdown) -> str:
    header = [parts.by, "Model", "Query", "Items"]
    header += [f"{column.title} [{column.unit}]" for column in parts.columns]
    lines = []
    for row in parts.rows:
        items = max((cell.items for cell in row.cells.values()), default=0)
        values = [_value(row.cells.get(column.name)) for column in parts.columns]
        lines.append([row.group, row.name, _query(row.query), str(items), *values])
    how = parts.aggregate[:1].upper() + parts.aggregate[1:]
    text = [
        f"### {escape(parts.dataset)} · {escape(parts.protocol)} by {escape(parts.by)}",
        "",
        markdown(header, lines, left=3),
        "",
        f"{how}, for each part, ± half the 95 % bootstrap interval, clustered by target "
        "recording, not corrected for the number of parts. In brackets: items averaged, where "
        "some have no finite value.",
    ]
    for note in parts.notes:
        text += ["", f"{escape(note)}."]
    return "\n".join(text)


def _query(kind: str) -> str:
    return "–" if kind in ("none", "") else kind


def _value(cell: PartCell | None) -> str:
    if cell is None or cell.value is None:
        return "–"
    text = number(cell.value)
    if cell.low is not None and cell.high is not None:
        text += f" ±{number((cell.high - cell.low) / 2)}"
    return text if cell.averaged == cell.items else f"{text} ({cell.averaged})"


def _breakdown_csv(found: Sequence[Breakdown]) -> str:
    header = ["protocol", "dataset", "by", "group", "model", "baseline", "role", "query", "column"]
    header += ["identity", "unit", "value", "low", "high", "averaged", "items"]
    header += ["undefined_reference", "undefined_estimate"]
    rows = [
        [
            *(parts.protocol, parts.dataset, parts.by, row.group, row.name, row.baseline),
            *(row.role, row.query, column.name, column.identity, column.unit),
            *(cell.value, cell.low, cell.high, cell.averaged, cell.items),
            *(cell.undefined_reference, cell.undefined_estimate),
        ]
        for parts in found
        for row in parts.rows
        for column in parts.columns
        if (cell := row.cells.get(column.name)) is not None
    ]
    return csv_text(header, rows)


def _sensitivity_text(found: QuerySensitivity) -> str:
    text = [f"### {escape(found.dataset)} · {escape(found.protocol)}: sensitivity to the query", ""]
    unit = found.unit
    if found.spreads:
        header = ["Model", "Targets", "Captions", f"Deviation [{unit}]", "Worst", "Mean", "Best"]
        lines = [
            [
                *(each.name, str(each.targets), number(each.captions, 1)),
                *(number(each.deviation), number(each.worst), number(each.mean)),
                number(each.best),
            ]
            for each in found.spreads
        ]
        text += [markdown(header, lines), ""]
        text += ["Between the captions of one target, means over targets with several.", ""]
    if found.between:
        header = ["A", "B", f"A better by [{unit}]", "95 % interval", "Targets", "p (Holm)"]
        lines = [
            [
                *(each.a, each.b, number(each.test.mean, sign=True)),
                f"{number(each.test.low)} to {number(each.test.high)}",
                *(str(each.test.finite), p_value(each.permutation_holm)),
            ]
            for each in found.between
        ]
        text += [markdown(header, lines, left=2), ""]
        text += ["One model asked in two ways, paired by (scene, target), sign-flip test.", ""]
    if not (found.spreads or found.between):
        text += ["No target was asked for in several ways.", ""]
    return "\n".join([*text, f"By {escape(found.title)} (`{found.metric}`)."])


def _sensitivity_csv(found: Sequence[QuerySensitivity]) -> str:
    header = ["protocol", "metric", "what", "a", "b", "targets", "captions", "deviation", "worst"]
    header += ["mean", "best", "difference", "low", "high", "p_holm"]
    rows: list[list[object]] = []
    for each in found:
        where = [each.protocol, each.metric]
        for spread in each.spreads:
            numbers = [spread.targets, spread.captions, spread.deviation, spread.worst]
            more = [spread.mean, spread.best, None, None, None, None]
            rows.append([*where, "captions", spread.name, None, *numbers, *more])
        for pair in each.between:
            test = pair.test
            numbers = [test.finite, None, None, None, None, None]
            more = [test.mean, test.low, test.high, pair.permutation_holm]
            rows.append([*where, "kinds", pair.a, pair.b, *numbers, *more])
    return csv_text(header, rows)
