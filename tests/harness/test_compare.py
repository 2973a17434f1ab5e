from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.book import LOUD, Book

from sepbench.harness.api import MetricCard, Undefined
from sepbench.harness.compare import Comparison, compare, compare_board
from sepbench.harness.errors import UnknownNameError, UsageError
from sepbench.harness.sensitivity import query_sensitivity

INF = math.inf
SILENT = Undefined(cause="reference", reason="the reference is silent")
MUTE = Undefined(cause="estimate", reason="the estimate is silent")
SI_SDR = MetricCard(metric_id="si_sdr", version=1, title="SI-SDR", improvement="si_sdri")
RATIO = MetricCard(metric_id="sar", version=1, title="SAR", noise_floor=60.0)
DISTANCE = MetricCard(metric_id="wss", version=1, title="WSS", unit="1", higher_is_better=False)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "work")
    yield made
    made.close()


def only(book: Book, **options: object) -> Comparison:
    (found,) = compare(book.workspace, "a", "b", **options)  # type: ignore[arg-type]
    return found


def test_rows_are_paired_by_scene_and_target(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 3.0, 4.0])
    book.cell("b", [0.0, 2.0, 5.0, 1.0])

    found = only(book)

    assert found.test.mean == pytest.approx(0.5)
    assert (found.test.wins, found.test.ties, found.test.losses) == (2, 1, 1)
    assert (found.protocol, found.dataset, found.metric, found.unit) == (
        "kit",
        "kit",
        "sdr@1",
        "dB",
    )
    assert found.test.clusters == 4


def test_captions_are_averaged_so_that_kinds_of_query_meet(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 4.0, 1.0, 2.0, 4.0], kinds=("text",))  # rain has two captions
    book.cell("b", [0.0, 0.0, 0.0, 0.0])

    found = only(book)

    assert found.test.finite == 4
    assert found.test.mean == pytest.approx((1 + 3 + 1 + 3) / 4)
    assert (found.query_a, found.query_b) == ("text", "none")


def test_undefined_because_of_the_reference_leaves_both(book: Book) -> None:
    book.cell("a", [1.0, SILENT, 3.0, 4.0])
    book.cell("b", [0.0, SILENT, 0.0, 0.0])

    found = only(book)

    assert (found.test.finite, found.undefined_reference, found.unmatched) == (3, 1, 0)


def test_undefined_because_of_the_estimate_is_a_loss(book: Book) -> None:
    book.cell("a", [1.0, MUTE, 3.0, 4.0])
    book.cell("b", [0.0, 0.0, 0.0, 0.0])

    found = only(book)

    assert (found.test.wins, found.test.losses, found.lost_a, found.lost_b) == (3, 1, 1, 0)
    assert found.test.finite == 3
    assert found.better_for_b[0].a is None
    assert found.better_for_b[0].gain == -INF


def test_a_crash_is_a_loss_and_a_missing_file_is_not(book: Book) -> None:
    failures = {0: "RuntimeError", 1: "MissingFileError"}
    book.cell("a", [None, None, 3.0, 4.0], failures=failures)
    book.cell("b", [0.0, 0.0, 0.0, 0.0])

    found = only(book)

    assert (found.lost_a, found.test.losses, found.unmatched) == (1, 1, 1)


def test_two_failures_on_one_target_are_a_tie(book: Book) -> None:
    book.cell("a", [MUTE, 1.0, 1.0, 1.0])
    book.cell("b", [MUTE, 0.0, 0.0, 0.0])

    found = only(book)

    assert (found.test.wins, found.test.ties, found.test.losses) == (3, 1, 0)
    assert (found.lost_a, found.lost_b) == (1, 1)


def test_one_bad_caption_is_not_hidden_by_a_good_one(book: Book) -> None:
    book.cell("a", [1.0, 9.0, MUTE, 1.0, 9.0, 9.0], kinds=("text",))
    book.cell("b", [0.0, 0.0, 0.0, 0.0])

    assert (only(book).lost_a, only(book).test.losses) == (1, 1)


def test_infinite_values_win_and_are_never_averaged(book: Book) -> None:
    book.cell("a", [INF, INF, -INF, 2.0])
    book.cell("b", [1.0, INF, 0.0, 1.0])

    found = only(book)

    assert (found.test.wins, found.test.ties, found.test.losses) == (2, 1, 1)
    assert found.test.mean == pytest.approx(0.5)  # of 0 for the equal infinities, and 1


def test_values_above_the_noise_floor_are_that_floor(book: Book) -> None:
    book.cell("a", [120.0, 61.0, 50.0, INF], cards=(RATIO,))
    book.cell("b", [80.0, 60.0, 60.0, 100.0], cards=(RATIO,))

    found = only(book)

    assert (found.test.wins, found.test.ties, found.test.losses) == (0, 3, 1)


def test_where_lower_is_better_less_wins(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 3.0, 4.0], cards=(DISTANCE,))
    book.cell("b", [5.0, 5.0, 5.0, 3.0], cards=(DISTANCE,))

    found = only(book)

    assert (found.test.wins, found.test.losses) == (3, 1)
    assert found.test.mean == pytest.approx((4 + 3 + 2 - 1) / 4)
    assert found.tie_band == 0.01
    assert (found.better_for_a[0].a, found.better_for_a[0].b) == (1.0, 5.0)


def test_items_of_one_model_only_are_left_out_and_counted(book: Book) -> None:
    book.cell("a", [1.0, 2.0, None, None])
    book.cell("b", [0.0, 0.0, 0.0, None])

    found = only(book)

    assert (found.test.finite, found.unmatched) == (2, 1)


def test_scores_of_another_metric_version_are_not_compared(book: Book) -> None:
    book.cell("a", [1.0] * 4)
    book.cell("b", [0.0] * 4, cards=(dataclasses.replace(LOUD, version=2),))

    found = only(book)

    assert (found.test.finite, found.unmatched, found.permutation_holm) == (0, 4, 1.0)
    assert found.better() == ""


def test_the_largest_differences_come_first_and_are_ten_at_most(tmp_path: Path) -> None:
    book = Book(tmp_path / "work", scenes=15)
    book.cell("a", [float(k) for k in range(30)])
    book.cell("b", [10.0] * 30)

    found = only(book)
    book.close()

    assert [item.gain for item in found.better_for_a] == [19.0 - k for k in range(10)]
    assert [item.gain for item in found.better_for_b] == [-10.0 + k for k in range(10)]
    assert (found.better_for_b[0].scene, found.better_for_b[0].target) == ("scene-00000", "dog")


def test_si_sdr_is_compared_unless_another_metric_is_asked_for(book: Book) -> None:
    both = {"sdr": 1.0, "si_sdr": 5.0}
    none = {"sdr": 0.0, "si_sdr": 0.0}
    book.cell("a", [both] * 4, cards=(LOUD, SI_SDR))
    book.cell("b", [none] * 4, cards=(LOUD, SI_SDR))

    assert only(book).test.mean == 5.0
    assert only(book, metric="sdr").test.mean == 1.0
    assert only(book, metric="sdri").metric == "sdr@1"


def test_all_protocols_that_both_have_are_compared_and_corrected_together(book: Book) -> None:
    for protocol in ("kit", "other"):
        book.cell("a", [1.0, 2.0, 3.0, 4.0], protocol=protocol)
        book.cell("b", [0.0, 0.0, 0.0, 0.0], protocol=protocol)
    book.cell("a", [1.0] * 4, protocol="alone")

    found = compare(book.workspace, "a", "b")

    assert [each.protocol for each in found] == ["kit", "other"]
    assert [each.permutation_holm for each in found] == [0.25, 0.25]  # twice 2 / 2^4
    assert only(book, protocol="other").permutation_holm == 0.125


def test_the_board_compares_models_and_brings_the_bounds_when_asked(book: Book) -> None:
    book.cell("mixture", [0.0] * 4, role="lower")
    for number, name in enumerate("abc"):
        book.cell(name, [float(number)] * 4)

    models = compare_board(book.workspace, "kit")
    everything = compare_board(book.workspace, "kit", bounds=True)

    assert [(each.a, each.b) for each in models] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert {each.together for each in models} == {3}
    assert len(everything) == 6
    assert {each.permutation_holm for each in models} == {0.375}


def test_a_single_model_is_compared_with_its_bounds(book: Book) -> None:
    book.cell("mixture", [0.0] * 4, role="lower")
    book.cell("a", [1.0] * 4)

    (found,) = compare_board(book.workspace, "kit")

    assert (found.a, found.b) == ("mixture", "a")


def test_better_is_said_only_of_what_the_corrected_test_finds(tmp_path: Path) -> None:
    book = Book(tmp_path / "work", scenes=20)
    noise = np.random.default_rng(1).normal(size=40)
    book.cell("a", list(1.0 + noise))
    book.cell("b", [0.0] * 40)
    book.cell("c", list(noise - noise.mean()))

    found = {(each.a, each.b): each.better() for each in compare_board(book.workspace, "kit")}
    book.close()

    assert found == {("a", "b"): "a", ("a", "c"): "a", ("b", "c"): ""}


def test_names_of_rows_say_the_kind_of_query_where_a_label_has_several(book: Book) -> None:
    book.cell("a", [1.0] * 6, kinds=("text",))
    book.cell("a", [2.0] * 4, kinds=("label",), query={"kinds": ["label"]})

    (found,) = compare(book.workspace, "a@text", "a@label")

    assert found.test.mean == -1.0
    with pytest.raises(UsageError, match="several rows under kit; say which: a@text, a@label"):
        compare(book.workspace, "a", "a@label")


def test_wrong_requests_say_what_is_wrong(book: Book) -> None:
    book.cell("alpha", [1.0] * 4)
    book.cell("beta", [1.0] * 4, protocol="other")

    with pytest.raises(UnknownNameError, match=r"Unknown row 'alpa'.*Did you mean 'alpha'"):
        compare(book.workspace, "alpa", "beta")
    with pytest.raises(UsageError, match="are never both under one protocol"):
        compare(book.workspace, "alpha", "beta")
    with pytest.raises(UsageError, match="are one row of kit"):
        compare(book.workspace, "alpha", "alpha")


def test_a_metric_that_nobody_has_is_refused(book: Book) -> None:
    book.cell("a", [1.0] * 4)
    book.cell("b", [1.0] * 4)

    with pytest.raises(UnknownNameError, match="Unknown metric 'sdrr' under kit"):
        only(book, metric="sdrr")


def test_protocols_without_the_metric_are_passed_over(book: Book) -> None:
    for name in "ab":
        book.cell(name, [1.0] * 4)
        book.cell(name, [1.0] * 4, protocol="other", cards=(SI_SDR,))

    assert only(book, metric="si_sdr").protocol == "other"


def test_the_same_workspace_gives_the_same_numbers(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 3.5, 4.0])
    book.cell("b", [0.0, 2.5, 5.0, 1.0])

    assert only(book) == only(book)


# --- sensitivity to the query ---------------------------------------------------------------


def test_the_spread_between_captions_is_within_targets(book: Book) -> None:
    book.cell("a", [7.0, 1.0, 3.0, 7.0, 5.0, 5.0], kinds=("text",))

    found = query_sensitivity(book.workspace, "kit")

    (spread,) = found.spreads
    assert (spread.targets, spread.captions) == (2, 2.0)
    assert spread.deviation == pytest.approx((math.sqrt(2) + 0) / 2)
    assert (spread.worst, spread.mean, spread.best) == (3.0, 3.5, 4.0)


def test_kinds_of_query_of_one_model_are_paired(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 4.0, 1.0, 2.0, 4.0], kinds=("text",))
    book.cell("a", [1.0, 1.0, 1.0, 1.0], kinds=("label",), query={"kinds": ["label"]})
    book.cell("b", [9.0] * 6, kinds=("text",))

    found = query_sensitivity(book.workspace, "kit")

    (pair,) = found.between
    assert (pair.a, pair.b) == ("a@text", "a@label")
    assert pair.test.mean == pytest.approx((0 + 2 + 0 + 2) / 4)
