from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from sepbench_testkit.book import LOUD, Book

from sepbench.harness.aggregate import protocol_table
from sepbench.harness.api import Framewise, MetricCard, Undefined
from sepbench.harness.breakdown import Breakdown, break_down
from sepbench.harness.errors import UnknownNameError, UsageError

MUTE = Undefined(cause="estimate", reason="the estimate is silent")
SILENT = Undefined(cause="reference", reason="the reference is silent")
WINDOWS = MetricCard(metric_id="v4", version=1, title="SDR (BSS Eval v4)")


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "work")
    yield made
    made.close()


def values(found: Breakdown, column: str = "sdr") -> dict[tuple[str, str], float | None]:
    return {(row.group, row.name): row.cells[column].value for row in found.rows}


def test_parts_are_averaged_over_their_own_items(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 3.0, 6.0])

    found = break_down(book.workspace, "kit", "label")

    assert values(found) == {("dog", "a"): 2.0, ("rain", "a"): 4.0}
    assert found.groups == ("dog", "rain")
    assert found.columns[0].identity == "sdr@1"


@pytest.mark.parametrize(("name", "same"), [("class", "label"), ("stem", "target")])
def test_the_words_of_a_field_mean_the_same_parts(book: Book, name: str, same: str) -> None:
    book.cell("a", [1.0, 2.0, 3.0, 6.0])

    assert break_down(book.workspace, "kit", name) == break_down(book.workspace, "kit", same)


def test_tracks_are_scenes_and_attributes_are_what_the_dataset_says(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 3.0, 6.0])

    tracks = values(break_down(book.workspace, "kit", "track"))
    numbers = values(break_down(book.workspace, "kit", "number"))

    assert tracks == {("scene-00000", "a"): 1.5, ("scene-00001", "a"): 4.5}
    assert numbers == {("0", "a"): 1.5, ("1", "a"): 4.5}


def test_captions_and_their_numbers_are_parts(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 4.0, 1.0, 2.0, 4.0], kinds=("text",))

    captions = values(break_down(book.workspace, "kit", "caption"))
    numbers = values(break_down(book.workspace, "kit", "caption_number"))

    assert captions[("heavy rain", "a")] == 4.0
    assert captions[("a dog barks", "a")] == 1.0
    assert numbers == {("1", "a"): 1.5, ("2", "a"): 4.0}


def test_kinds_of_query_are_parts(book: Book) -> None:
    book.cell("a", [1.0] * 6, kinds=("text",))
    book.cell("b", [2.0] * 4)

    found = values(break_down(book.workspace, "kit", "query_kind"))

    assert found == {("none", "b"): 2.0, ("text", "a"): 1.0}


def test_improvements_are_over_the_mixture_of_the_same_target(book: Book) -> None:
    book.cell("mixture", [0.0, 1.0, 2.0, 3.0], role="lower")
    book.cell("a", [10.0, 11.0, 13.0, 14.0])

    found = break_down(book.workspace, "kit", "label")

    cells = {(row.group, row.name): row.cells for row in found.rows}
    assert cells["dog", "a"]["sdri"].value == pytest.approx(10.5)
    assert "sdri" not in cells["dog", "mixture"]
    assert [column.title for column in found.columns] == ["SDR", "SDRi"]


def test_the_input_snr_is_the_mixtures_sdr_where_nobody_says_it(book: Book) -> None:
    book.cell("mixture", [-5.0, 5.0, -5.0, 5.0], role="lower")
    book.cell("a", [1.0, 2.0, 3.0, 6.0])

    found = values(break_down(book.workspace, "kit", "snr_db"))

    assert found[("-5", "a")] == 2.0
    assert found[("5", "a")] == 4.0


def test_numbers_are_cut_into_bins(book: Book) -> None:
    book.cell("mixture", [-7.0, -1.0, 2.0, 9.0], role="lower")

    found = break_down(book.workspace, "kit", "snr_db", columns=["sdr"], edges=[-5, 5])

    assert found.groups == ("< -5", "-5 to 5", ">= 5")
    assert values(found)[("-5 to 5", "mixture")] == 0.5


def test_many_numbers_get_round_bins(tmp_path: Path) -> None:
    book = Book(tmp_path / "work", scenes=20)
    book.cell("a", [1.0] * 40)

    found = break_down(book.workspace, "kit", "number")
    book.close()

    assert found.groups == ("0 to 5", "5 to 10", "10 to 15", "15 to 20")


def test_what_has_no_value_is_counted_and_not_zero(book: Book) -> None:
    book.cell("a", [MUTE, 2.0, 3.0, SILENT])

    found = break_down(book.workspace, "kit", "label")

    dog, rain = (row.cells["sdr"] for row in found.rows)
    assert (dog.value, dog.averaged, dog.items, dog.undefined_estimate) == (3.0, 1, 2, 1)
    assert (rain.value, rain.undefined_reference) == (2.0, 1)


def test_infinite_values_are_not_averaged(book: Book) -> None:
    book.cell("a", [math.inf, 2.0, 3.0, 4.0])

    assert values(break_down(book.workspace, "kit", "label"))["dog", "a"] == 3.0


def test_the_protocols_rule_counts_in_each_part(book: Book) -> None:
    rule = {"frames": "median", "items": "median", "within": "target", "groups": "mean"}
    frames = [[1.0, 2.0, 9.0], [4.0, math.nan, 6.0], [3.0], [7.0]]
    scores = [Framewise(0.0, each) for each in frames]
    book.cell("a", scores, cards=(WINDOWS,), aggregate=rule)

    stems = values(break_down(book.workspace, "kit", "stem"), "v4")
    (row,) = protocol_table(book.workspace, "kit").rows

    assert stems == {("dog", "a"): 2.5, ("rain", "a"): 6.0}
    assert row.cells["v4"].value == pytest.approx((2.5 + 6.0) / 2)


def test_a_part_has_the_interval_of_its_recordings(tmp_path: Path) -> None:
    book = Book(tmp_path / "work", scenes=8)
    book.cell("a", [float(k) for k in range(16)])

    dog = break_down(book.workspace, "kit", "label").rows[0].cells["sdr"]
    book.close()

    assert dog.value == 7.0
    assert dog.low is not None
    assert dog.high is not None
    assert 3.0 < dog.low < 7.0 < dog.high < 11.0


def test_an_attribute_that_nobody_has_is_refused_with_those_there_are(book: Book) -> None:
    book.cell("a", [1.0] * 4)

    with pytest.raises(UsageError, match=r"have no 'loudness'. They have: .*label, number"):
        break_down(book.workspace, "kit", "loudness")


def test_a_column_that_nobody_has_is_refused(book: Book) -> None:
    book.cell("a", [1.0] * 4, cards=(LOUD,))

    with pytest.raises(UnknownNameError, match="Unknown metric 'pesq' under kit"):
        break_down(book.workspace, "kit", "label", columns=["pesq"])
