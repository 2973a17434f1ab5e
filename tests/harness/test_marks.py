"""Which value of a column is marked as the best."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.book import LOUD, Book

from sepbench.harness.aggregate import protocol_table
from sepbench.harness.api import MetricCard
from sepbench.harness.compare import compare_board
from sepbench.harness.marks import best_marks
from sepbench.harness.run import report

SECOND = MetricCard(metric_id="sar", version=1, title="SAR")
DISTANCE = MetricCard(metric_id="wss", version=1, title="WSS", unit="1", higher_is_better=False)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "work", scenes=15)
    yield made
    made.close()


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=30)


def marked(book: Book) -> dict[str, set[str]]:
    """Label -> columns it is marked in."""
    table = protocol_table(book.workspace, "kit")
    marks = best_marks([table], compare_board(book.workspace, "kit"))
    return {row.label: set(marks[row.cell_id]) for row in table.rows if row.cell_id in marks}


def test_a_model_that_beats_every_other_is_marked_also_by_its_improvement(book: Book) -> None:
    book.cell("mixture", [0.0] * 30, role="lower")
    book.cell("good", list(5.0 + noise(1)))
    book.cell("fair", list(3.0 + noise(2)))
    book.cell("poor", list(1.0 + noise(3)))

    assert marked(book) == {"good": {"sdr", "sdri"}}


def test_nothing_is_marked_where_the_best_two_cannot_be_told_apart(book: Book) -> None:
    book.cell("one", list(5.00 + noise(1)))
    book.cell("other", list(5.01 + noise(2)))
    book.cell("poor", list(1.0 + noise(3)))

    assert marked(book) == {}


def test_each_column_has_its_own_winner(book: Book) -> None:
    one = [{"sdr": 5.0 + e, "sar": 1.0 + e} for e in noise(1)]
    other = [{"sdr": 1.0 + e, "sar": 5.0 + e} for e in noise(2)]
    book.cell("one", one, cards=(LOUD, SECOND))
    book.cell("other", other, cards=(LOUD, SECOND))

    assert marked(book) == {"one": {"sdr"}, "other": {"sar"}}


def test_where_lower_is_better_the_lowest_is_marked(book: Book) -> None:
    book.cell("low", list(1.0 + noise(1)), cards=(DISTANCE,))
    book.cell("high", list(5.0 + noise(2)), cards=(DISTANCE,))

    assert marked(book) == {"low": {"wss"}}


def test_a_partial_cell_is_never_marked_nor_what_it_outshines(book: Book) -> None:
    book.cell("partial", [9.0] * 20)
    book.cell("whole", list(5.0 + noise(1)))
    book.cell("poor", list(1.0 + noise(2)))

    assert marked(book) == {}


def test_bounds_and_lonely_models_are_not_marked(book: Book) -> None:
    book.cell("mixture", [0.0] * 30, role="lower")
    book.cell("alone", list(5.0 + noise(1)))
    book.cell("oracle", [20.0] * 30, role="upper")

    assert marked(book) == {}


def test_a_model_with_nothing_to_compare_yet_stands_in_nobodys_way(book: Book) -> None:
    book.cell("good", list(5.0 + noise(1)))
    book.cell("poor", list(1.0 + noise(2)))
    book.cell("begun", [])

    assert marked(book) == {"good": {"sdr"}}


def test_a_model_that_failed_on_every_item_is_beaten_like_any_other(book: Book) -> None:
    book.cell("good", list(5.0 + noise(1)))
    book.cell("crashing", [None] * 30, failures=dict.fromkeys(range(30), "RuntimeError"))

    assert marked(book) == {"good": {"sdr"}}


def test_a_board_of_too_many_comparisons_says_so_and_marks_nothing(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"sepbench": "1", "python": "3", "packages": {"torch": "2", "fast-bss-eval": "0"}}
    book.run_id = book.workspace.begin_run({}, facts)
    for level, name in enumerate("abc"):
        book.cell(name, list(5.0 * level + noise(level)))
    whole = report.open_board(book.workspace)

    monkeypatch.setattr(report, "MOST_COMPARISONS", 2)
    bounded = report.open_board(book.workspace)

    assert len(whole.comparisons) == 3
    assert whole.best != {}
    assert (bounded.comparisons, bounded.best) == ([], {})
    assert "3 models are 3 comparisons by 1 metrics, more than the 2" in bounded.tables[0].notes[0]
