"""`bench compare`: from a workspace to text and CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from sepbench.harness.compare import (
    ALL,
    PREFERRED,
    Comparison,
    compare,
    compare_board,
    shares_metric,
)
from sepbench.harness.errors import WorkspaceError
from sepbench.harness.item_scores import protocols_of, read_entries
from sepbench.harness.paired import CONFIDENCE, PairedTest
from sepbench.harness.plain_text import one_line
from sepbench.harness.published import Check, PublishedComparison, compare_published
from sepbench.harness.resampling import DRAWS
from sepbench.harness.run.text_tables import aligned, csv_text, number, p_value
from sepbench.harness.store import Workspace
from sepbench.harness.targets import PairItem

_FACTS = ("protocol", "dataset", "metric", "unit", "a", "b", "query_a", "query_b", "tie_band")
_TEST_HEADS = ["95 % interval", "Median", "Won/tied/lost", "p sign-flip", "p Wilcoxon"]
_TEST_HEADS += ["Rank biserial", "dz", "Better"]
_COUNTS = ("lost_a", "lost_b", "undefined_reference", "unmatched", "together")


def compare_rows(
    folder: Path,
    names: Sequence[str],
    *,
    metric: str | None = None,
    protocol: str | None = None,
    bounds: bool = False,
) -> list[Comparison]:
    """Two named rows wherever both are, or without names every pair of every protocol.

    By the metric named, or by every one that two rows share.

    Raises:
        UsageError, UnknownNameError, WorkspaceError: as `compare`.
    """
    with Workspace(folder) as workspace:
        if names:
            a, b = names
            return compare(workspace, a, b, metric=metric or ALL, protocol=protocol)
        names = [protocol] if protocol else protocols_of(workspace)
        if metric:
            having = [
                n for n in names if shares_metric(workspace, read_entries(workspace, n), metric)
            ]
            names = having or names
        found: list[Comparison] = []
        for name in names:
            found += compare_board(workspace, name, metric=metric, bounds=bounds)
        return found


def compare_to_published(
    folder: Path, label: str, protocol: str | None = None
) -> PublishedComparison:
    """A row against what is published under the same protocols."""
    with Workspace(folder) as workspace:
        return compare_published(workspace, label, protocol=protocol)


def render(found: Sequence[Comparison], *, items: bool) -> str:
    """Comparisons as text.

    Args:
        found: in the order of their protocols.
        items: also the items with the largest differences.
    """
    if not found:
        return "Nothing to compare: fewer than two rows with scores.\n"
    parts = []
    for protocol in dict.fromkeys(each.protocol for each in found):
        mine = [each for each in found if each.protocol == protocol]
        pairs = {(each.a, each.b) for each in mine}
        if len(pairs) == 1 and len(mine) > 1:
            parts.append(_metric_by_metric(mine))
        else:
            metrics = dict.fromkeys(each.metric for each in mine)
            parts += [_board([each for each in mine if each.metric == name]) for name in metrics]
        if items:
            parts.append(_largest(_main(mine)))
    parts.append(_legend())
    return "\n\n".join(parts) + "\n"


def _main(found: Sequence[Comparison]) -> Comparison:
    """The comparison whose items are listed: by SI-SDR, else by the first metric."""
    named = {each.metric.partition("@")[0]: each for each in reversed(found)}
    return named.get(PREFERRED, found[0])


def comparisons_csv(found: Sequence[Comparison]) -> str:
    """A row a comparison, full precision."""
    tests = [field.name for field in fields(PairedTest)]
    header = [*_FACTS, *tests, "wilcoxon_holm", "permutation_holm", "better", *_COUNTS]
    rows = [
        [
            *(getattr(each, name) for name in _FACTS),
            *(getattr(each.test, name) for name in tests),
            each.wilcoxon_holm,
            each.permutation_holm,
            each.better(),
            *(getattr(each, name) for name in _COUNTS),
        ]
        for each in found
    ]
    return csv_text(header, rows)


def render_published(found: PublishedComparison) -> str:
    """A row beside published ones as text."""
    header = ["Protocol", "Metric", "Group", "Published by", "Published", "Measured"]
    header += ["Difference", "Tolerance", "Verdict"]
    lines = []
    for check in found.checks:
        row = check.published
        mark = " (second hand)" if row.second_hand else ""
        lines.append(
            [
                row.protocol,
                row.metric_id,
                row.group or "–",
                f"{row.system}{mark}",
                number(row.value, 3),
                number(check.measured, 3),
                number(check.difference, 3, sign=True),
                number(row.tolerance, 3),
                _verdict(check),
            ]
        )
    text = [f"{found.label} beside published numbers"]
    text.append(aligned(header, lines, left=4) if lines else "No published number to hold it to.")
    text += [f"  {note}." for note in found.notes]
    return "\n".join(text) + "\n"


def published_csv(found: PublishedComparison) -> str:
    """A row a published number, with its source."""
    header = ["label", "protocol", "metric_id", "group", "system", "variant", "published"]
    header += ["measured", "difference", "tolerance", "within", "why_not", "second_hand"]
    header += ["source", "note"]
    rows = [
        [
            check.label,
            check.published.protocol,
            check.published.metric_id,
            check.published.group,
            check.published.system,
            check.published.variant,
            check.published.value,
            check.measured,
            check.difference,
            check.published.tolerance,
            check.within,
            check.why_not,
            check.published.second_hand,
            check.published.source,
            check.published.note,
        ]
        for check in found.checks
    ]
    return csv_text(header, rows)


def write_text(path: Path, text: str) -> None:
    """Write a file that was asked for.

    Raises:
        WorkspaceError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be written: {error.strerror}.") from error


def _board(found: Sequence[Comparison]) -> str:
    """The pairs of a board by one metric."""
    first = found[0]
    header = ["A", "B", f"A better by [{first.unit}]", *_TEST_HEADS]
    header[5] += f" (±{first.tie_band:g})"
    lines = [[each.a, each.b, *_test_cells(each), each.better() or "–"] for each in found]
    title = f"{first.dataset} · {first.protocol} by {first.title} ({first.metric}), "
    notes = [f"  {note}" for note in _notes(found)]
    return "\n".join([title + _corrected(first), aligned(header, lines, left=2), *notes])


def _metric_by_metric(found: Sequence[Comparison]) -> str:
    """One pair of rows by each of several metrics."""
    first = found[0]
    header = ["Metric", "Unit, tie", "A better by", *_TEST_HEADS]
    lines = [
        [
            each.metric,
            f"{each.unit} ±{each.tie_band:g}",
            *_test_cells(each),
            each.better() or "–",
        ]
        for each in found
    ]
    title = one_line(f"{first.dataset} · {first.protocol}: A = {first.a}, B = {first.b},") + " "
    notes = dict.fromkeys(_note(each) for each in found)
    if len(notes) == 1:
        said = [f"  each: {note}" for note in notes]
    else:
        said = [f"  {each.metric}: {_note(each)}" for each in found]
    return "\n".join([title + _corrected(first), aligned(header, lines, left=2), *said])


def _test_cells(each: Comparison) -> list[str]:
    """The numbers of a comparison under `_TEST_HEADS`, but for the verdict."""
    test, digits = each.test, 2 if each.unit == "dB" else 3
    return [
        number(test.mean, digits, sign=True),
        _interval(test, digits),
        number(test.median, digits, sign=True),
        f"{test.wins}/{test.ties}/{test.losses}",
        p_value(each.permutation_holm),
        p_value(each.wilcoxon_holm),
        number(test.rank_biserial, sign=True),
        number(test.cohens_dz, sign=True),
    ]


def _corrected(first: Comparison) -> str:
    """How p was corrected; the same for all comparisons of a metric."""
    return f"p of {first.together} comparisons corrected" if first.together > 1 else "one p"


def _notes(found: Sequence[Comparison]) -> list[str]:
    """What each comparison is made of, said once where it is the same for all."""
    notes = [_note(each) for each in found]
    if len(found) > 1 and len(set(notes)) == 1:
        return [f"each: {notes[0]}"]
    return [
        one_line(f"{each.a}, {each.b}: {note}") for each, note in zip(found, notes, strict=True)
    ]


def _note(each: Comparison) -> str:
    test = each.test
    parts = [f"{each.num_pairs} targets of {test.clusters} recordings"]
    for name, lost in ((each.a, each.lost_a), (each.b, each.lost_b)):
        if lost:
            parts.append(f"{name} gave no usable estimate for {lost}, a loss each")
    if test.decided and not (each.lost_a or each.lost_b):
        parts.append(f"{test.decided} differences are infinite, won or lost without a size")
    if each.undefined_reference:
        parts.append(f"{each.undefined_reference} left out, undefined because of the reference")
    if each.unmatched:
        parts.append(f"{each.unmatched} left out, only one of the two has them")
    return one_line("; ".join(parts))


def _largest(each: Comparison) -> str:
    digits = 2 if each.unit == "dB" else 3
    parts = []
    for winner, items in ((each.a, each.better_for_a), (each.b, each.better_for_b)):
        header = [f"Most for {winner}", "Target", each.a, each.b, "Difference"]
        lines = [_item(item, digits) for item in items]
        parts.append(aligned(header, lines, left=2) if lines else f"No target for {winner}.")
    return "\n\n".join(parts)


def _item(item: PairItem, digits: int) -> list[str]:
    values = [("failed" if value is None else _value(value, digits)) for value in (item.a, item.b)]
    difference = "no size" if math.isinf(item.gain) else number(item.gain, digits, sign=True)
    return [item.scene, item.target, *values, difference]


def _value(value: float, digits: int) -> str:
    return f"{value}" if math.isinf(value) else number(value, digits)


def _interval(test: PairedTest, digits: int) -> str:
    if test.low is None or test.high is None:
        return "–"
    return f"{number(test.low, digits, sign=True)} to {number(test.high, digits, sign=True)}"


def _verdict(check: Check) -> str:
    if check.why_not:
        return check.why_not
    if check.within is None:
        return "another system"
    return "agrees" if check.within else "differs"


def _legend() -> str:
    return (
        "Pairs are targets (scene, target), averaged over their queries; differences are positive "
        "where A is better, tied up to the size given (±). "
        f"Interval: {100 * CONFIDENCE:g} % of {DRAWS:,} bootstrap draws of whole recordings. "
        "p-values are two-sided, with recordings flipped together, after Holm's correction for "
        "the comparisons made together by one metric. Better: the sign-flip test at 0.05. "
        "Rank biserial: matched pairs, −1 to 1; dz: Cohen's, mean over standard deviation."
    )
