from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sepbench_testkit.book import LOUD, Book

from sepbench.baselines.catalog import CATALOG as BASELINES
from sepbench.harness import published
from sepbench.harness.errors import UnknownNameError
from sepbench.harness.metrics.catalog import METRICS, card_of
from sepbench.harness.protocols import load_protocol, protocol_names
from sepbench.harness.published import PublishedRow, compare_published, read_published

ROWS = read_published()
COMPARABLE = [row for row in ROWS if row.comparable]


# --- the table's rules ----------------------------------------------------------------------


def test_the_table_has_its_columns() -> None:
    header = published.TABLE.read_text("utf-8").partition("\n")[0]

    assert header == (
        "system,variant,dataset,split,query,metric,value,unit,source,note,"
        "protocol,baseline,metric_id,group,tolerance,basis"
    )


def test_every_number_has_a_source_and_is_finite() -> None:
    assert len(ROWS) == 602
    assert all(row.source and row.system and row.metric for row in ROWS)
    assert all(math.isfinite(row.value) for row in ROWS)


def test_a_row_is_comparable_in_full_or_not_at_all() -> None:
    parts = [(r.protocol, r.baseline, r.metric_id, r.tolerance or "", r.basis) for r in ROWS]

    assert all(all(part) or not any(part) for part in parts)
    assert not any(row.group for row in ROWS if not row.comparable)
    assert len(COMPARABLE) == 26


def test_no_number_stands_twice_in_a_table() -> None:
    counted = Counter((r.protocol, r.baseline, r.metric_id, r.group) for r in COMPARABLE)

    assert max(counted.values()) == 1


@pytest.mark.parametrize("row", COMPARABLE, ids=lambda r: f"{r.protocol}-{r.metric_id}-{r.group}")
def test_comparable_rows_name_what_there_is(row: PublishedRow) -> None:
    improvements = {f"{name.removesuffix('sdr')}sdri": name for name in METRICS.entries}
    metric = improvements.get(row.metric_id, row.metric_id)
    protocol = load_protocol(row.protocol)
    card = card_of(metric)

    assert row.protocol in protocol_names()
    assert row.baseline in BASELINES
    assert row.metric_id in (card.metric_id, card.improvement)
    assert (row.group != "") == (protocol.aggregate.within == "target")
    assert 0 < (row.tolerance or 0) < 1


def test_second_hand_rows_stay_marked() -> None:
    marked = {row.source for row in ROWS if row.second_hand}

    assert any(source.startswith("SECONDARY") for source in marked)
    assert any(source.startswith("Third-party") for source in marked)
    assert not any("README.md @944583f" in source for source in marked)
    assert all(row.second_hand for row in COMPARABLE if row.protocol == "vbd-enhancement")


# --- held against a workspace ---------------------------------------------------------------

OURS = PublishedRow(
    system="System",
    variant="big",
    dataset="Kit",
    split="test",
    query="label",
    metric="SDR",
    value=3.0,
    unit="dB",
    source="a paper",
    note="",
    protocol="kit",
    baseline="a",
    metric_id="sdr",
    tolerance=0.1,
    basis="because",
)


def changed(**fields: object) -> PublishedRow:
    names = PublishedRow.__dataclass_fields__
    return PublishedRow(**{**{name: getattr(OURS, name) for name in names}, **fields})  # type: ignore[arg-type]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "work")
    yield made
    made.close()


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[PublishedRow]:
    rows = [OURS]
    monkeypatch.setattr(published, "read_published", lambda: tuple(rows))
    return rows


def test_a_measured_row_agrees_within_the_tolerance(book: Book, table: list[PublishedRow]) -> None:
    book.cell("a", [1.0, 2.0, 3.0, 6.2])
    table.append(changed(metric_id="sdr", value=2.0, system="Earlier"))

    first, second = compare_published(book.workspace, "a").checks

    assert (first.measured, first.within) == (pytest.approx(3.05), True)
    assert first.difference == pytest.approx(0.05)
    assert second.within is False


def test_another_system_is_shown_without_a_verdict(book: Book, table: list[PublishedRow]) -> None:
    book.cell("mine", [1.0, 2.0, 3.0, 7.0], baseline="pkg:Mine")

    (check,) = compare_published(book.workspace, "mine").checks

    assert (check.within, check.why_not) == (None, "")
    assert check.difference == pytest.approx(0.25)


def test_a_variant_is_held_to_its_baselines_numbers(book: Book, table: list[PublishedRow]) -> None:
    book.cell("soft", [3.0] * 4, baseline="a")

    (check,) = compare_published(book.workspace, "soft").checks

    assert check.within is True


def test_a_group_is_held_to_the_groups_number(book: Book, table: list[PublishedRow]) -> None:
    rule = {"items": "median", "within": "target", "groups": "mean"}
    book.cell("a", [1.0, 2.0, 5.0, 6.0], aggregate=rule)
    table[:] = [changed(group="dog"), changed(group="rain", value=4.5)]

    dog, rain = compare_published(book.workspace, "a").checks

    assert (dog.measured, dog.within) == (3.0, True)
    assert (rain.measured, rain.within) == (4.0, False)


def test_improvements_are_compared_with_improvements(book: Book, table: list[PublishedRow]) -> None:
    book.cell("mixture", [1.0] * 4, role="lower")
    book.cell("a", [4.0] * 4)
    table[:] = [changed(metric_id="sdri")]

    (check,) = compare_published(book.workspace, "a").checks

    assert (check.measured, check.within) == (3.0, True)


def test_a_partial_cell_is_not_compared(book: Book, table: list[PublishedRow]) -> None:
    book.cell("a", [3.0, 3.0, 3.0, None])

    (check,) = compare_published(book.workspace, "a").checks

    assert check.why_not == "partial cell: 3 of 4 items scored"
    assert (check.measured, check.within, check.difference) == (3.0, None, None)


def test_another_metric_and_another_protocol_are_said(
    book: Book, table: list[PublishedRow]
) -> None:
    book.cell("a", [3.0] * 4, cards=(LOUD,))
    table[:] = [changed(metric_id="pesq_wb"), changed(protocol="sisec18")]

    metric, protocol = compare_published(book.workspace, "a").checks

    assert metric.why_not == "other metric: pesq_wb not computed"
    assert protocol.why_not == "other protocol: no row under sisec18"


def test_what_cannot_be_compared_is_counted(book: Book, table: list[PublishedRow]) -> None:
    book.cell("a", [3.0] * 4)
    table[:] = [changed(protocol="", baseline="", metric_id="", tolerance=None, basis="")]

    found = compare_published(book.workspace, "a")

    assert found.checks == ()
    assert found.notes[0] == "nothing published is comparable under kit"
    assert found.notes[1].startswith("1 published numbers have no protocol here")


def test_a_row_that_is_not_there_gets_near_matches(book: Book) -> None:
    book.cell("alpha", [3.0] * 4)

    with pytest.raises(UnknownNameError, match="Did you mean 'alpha'"):
        compare_published(book.workspace, "alpa")
