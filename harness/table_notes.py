"""Footnotes of tables and rows, in words: what is missing, left out, grouped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sepbench.harness.api import Aggregation
from sepbench.harness.item_scores import ItemScores
from sepbench.harness.plain_text import counted
from sepbench.harness.resampling import Recordings


def table_notes(
    left_out: int, rule: Aggregation, mixture: Iterable[ItemScores], recordings: Recordings
) -> Iterator[str]:
    """What concerns a table as a whole, a sentence each."""
    if left_out:
        yield f"not shown: {counted(left_out, 'row')} of an earlier list revision or rate"
    groups = [group for each in mixture for group in each.groups(rule.within)]
    without = groups.count("")
    if rule.within and without:
        which = "no item has" if without == len(groups) else "some items lack"
        yield f"{which} '{rule.within}', by which this protocol groups them; they are one group"
    if recordings.count > recordings.num_units:
        yield (
            f"{recordings.count:,} recordings: intervals and tests draw {recordings.num_units:,} "
            "groups of recordings of equal size, each recording in one of them at random"
        )


def row_notes(
    cell: Mapping[str, Any], scored: int, expected: int, failed: int, faults: int, unscored: int
) -> tuple[str, ...]:
    """Footnotes of a row: what is missing, what failed, what is not shown."""
    notes = []
    if cell["status"] == "not applicable":
        notes.append(f"not applicable: {cell['reason']}")
    elif cell["status"] == "failed":
        notes.append(f"could not be carried out: {cell['reason']}")
    elif scored < expected:
        tail = f", {failed} failed" if failed else ""
        notes.append(f"partial: {scored} of {expected} items{tail}; not comparable")
    if faults:
        notes.append(f"{counted(faults, 'estimate')} without a defined score; not comparable")
    if unscored:
        items = counted(unscored, "item")
        notes.append(f"{items} without a score of some metric or of its present version")
    if cell["older"]:
        notes.append(f"not shown: {counted(cell['older'], 'earlier variant')} under this name")
    return tuple(notes)


def degraded_note(marked: Mapping[str, int]) -> tuple[str, ...]:
    """Footnote of a row with items that did not fit into memory as they were."""
    if not marked:
        return ()
    ways = ", ".join(
        f"{count} in {way}" if "piece" in way else f"{count} {way}" for way, count in marked.items()
    )
    return (f"memory ran out for {counted(sum(marked.values()), 'item')} ({ways}); not comparable",)


def query_words(cell: Mapping[str, Any]) -> str:
    """Kind of query of a row, with the number of examples; a dash for none."""
    if cell["shots"]:
        return f"{cell['query_kind']} ×{cell['shots']}"
    return "–" if cell["query_kind"] in ("none", "") else str(cell["query_kind"])
