from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sepbench_testkit.data import Kit

from sepbench.harness.aggregate import Row, Table, protocol_table, tables
from sepbench.harness.api import Aggregation, BaselineCard, Framewise, MetricCard, Undefined, Value
from sepbench.harness.averages import average, bootstrap_interval
from sepbench.harness.plan import PlannedModel, plan_cells
from sepbench.harness.protocols import parse_own
from sepbench.harness.records import CellFacts, Failure, ItemOutcome, Status
from sepbench.harness.store import Workspace
from sepbench.harness.stored_scores import results_frame

INF = math.inf
LOUD = MetricCard(metric_id="sdr", version=1, title="SDR", improvement="sdri")
RATIO = MetricCard(
    metric_id="sar",
    version=1,
    title="SAR (BSS Eval v3)",
    improvement="sari",
    noise_floor=60.0,
    defined_for_mixture=False,
    parameters={"taps": 512},
)
MEDIAN = Aggregation(items="median")
SILENT = Undefined(cause="reference", reason="the reference is silent")
MUTE = Undefined(cause="estimate", reason="the estimate is silent")


class Book:
    """A workspace written by hand: two scenes of two targets, one metric unless said."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder, writable=True)
        self.run_id = 0
        self.new_run()

    def new_run(self) -> None:
        self.run_id = self.workspace.begin_run({}, {})

    def cell(
        self,
        label: str,
        values: Sequence[Value | Mapping[str, Value] | None],
        *,
        kinds: tuple[Any, ...] = (),
        baseline: str = "",
        role: Any = "model",
        version: str = "1",
        cards: Sequence[MetricCard] = (LOUD,),
        dataset: Kit | None = None,
        statuses: Mapping[int, Status] | None = None,
        **fields: Any,
    ) -> int:
        """A cell with a value an item, in list order; None leaves the item out."""
        dataset = dataset or Kit(scenes=2)
        own = {**Kit.protocols["kit"], **fields}
        model = PlannedModel(
            label=label,
            name=baseline or label,
            target="m:C",
            card=BaselineCard(name=label, version=version, query_kinds=kinds, role=role),
            settings={},
            identity={"baseline": baseline or label, "version": version},
        )
        grid = [(parse_own("kit", own), dataset)]
        (planned,) = plan_cells([model], grid, kinds=(), shots=())
        metrics = [card.metric_id for card in cards]
        self.workspace.add_metrics(cards)
        task_id = None if planned.task is None else self.workspace.add_task(planned.task)
        cell_id = self.workspace.add_cell(planned, task_id, metrics, self.run_id)
        items = self.workspace.query(
            "SELECT id FROM items WHERE task_id = ? ORDER BY scene_position, id", (task_id,)
        )
        outcomes = []
        for number, (item, value) in enumerate(zip(items, values, strict=False)):
            status = (statuses or {}).get(number, "scored")
            if value is None and status == "scored":
                continue
            scores = dict(value) if isinstance(value, Mapping) else {metrics[0]: value}
            failed = status in ("failed", "timed-out")
            outcomes.append(
                ItemOutcome(
                    cell_id=cell_id,
                    item_id=item["id"],
                    status=status,
                    scores={} if failed else scores,  # type: ignore[arg-type]
                    failure=Failure(error_type="E", error="words") if failed else None,
                    audio_seconds=2.0,
                    separate_seconds=0.5,
                    peak_memory=1000 + number,
                )
            )
        self.workspace.record(outcomes, self.run_id)
        return cell_id

    def table(self) -> Table:
        return protocol_table(self.workspace, "kit")

    def row(self, label: str) -> Row:
        (row,) = [row for row in self.table().rows if row.label == label]
        return row


@pytest.fixture
def book(tmp_path: Path) -> Any:
    made = Book(tmp_path / "work")
    yield made
    made.workspace.close()


def mixture(book: Book, *values: Any, **more: Any) -> None:
    book.cell("mixture", values, role="lower", **more)


# --- values and improvements ----------------------------------------------------------------


def test_the_value_is_the_mean_over_items(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 3.0, 6.0])

    cell = book.row("a").cells["sdr"]

    assert cell.value == 3.0
    assert cell.averaged == 4


def test_a_protocol_may_ask_for_the_median(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 3.0, 60.0], aggregate="median")

    assert book.row("a").cells["sdr"].value == 2.5
    assert book.table().aggregate == "median over items"


def test_improvements_pair_by_scene_and_target(book: Book) -> None:
    mixture(book, 0.0, 1.0, 2.0, 3.0)
    book.cell("a", [10.0, 11.0, 12.0, 14.0])

    assert book.row("a").cells["sdri"].value == pytest.approx((10 + 10 + 10 + 11) / 4)


def test_every_caption_is_paired_with_its_target(book: Book) -> None:
    mixture(book, 0.0, 1.0, 2.0, 3.0)
    # dog, rain, rain; dog, rain, rain
    book.cell("a", [5.0, 6.0, 8.0, 7.0, 8.0, 8.0], kinds=("text",))

    assert book.row("a").cells["sdri"].value == pytest.approx((5 + 5 + 7 + 5 + 5 + 5) / 6)


def test_there_are_no_improvements_without_a_mixture(book: Book) -> None:
    book.cell("a", [1.0])

    assert [column.name for column in book.table().columns] == ["sdr"]


def test_the_mixture_has_no_improvement_and_no_sar(book: Book) -> None:
    both = {"sdr": 1.0, "sar": 50.0}
    mixture(book, both, cards=(LOUD, RATIO))

    assert set(book.row("mixture").cells) == {"sdr"}


def test_items_whose_mixture_has_no_value_are_counted(book: Book) -> None:
    mixture(book, 0.0, None, SILENT, 3.0)
    book.cell("a", [5.0, 5.0, SILENT, 5.0])

    cell = book.row("a").cells["sdri"]

    assert (cell.averaged, cell.unpaired) == (2, 1)
    assert cell.value == pytest.approx((5 + 2) / 2)


def test_column_titles_and_identities_say_which_number_it_is(book: Book) -> None:
    mixture(book, {"sdr": 1.0, "sar": 50.0}, cards=(LOUD, RATIO))

    columns = book.table().columns

    assert [(column.name, column.title) for column in columns] == [
        ("sdr", "SDR"),
        ("sdri", "SDRi"),
        ("sar", "SAR (BSS Eval v3)"),
        ("sari", "SARi (BSS Eval v3)"),
    ]
    assert [column.identity for column in columns] == [
        "sdr@1",
        "sdr@1 minus the mixture's",
        "sar@1 (taps=512)",
        "sar@1 (taps=512) minus the mixture's",
    ]


# --- undefined, infinite, capped ------------------------------------------------------------


def test_undefined_is_counted_by_cause_and_never_zero(book: Book) -> None:
    book.cell("a", [4.0, SILENT, MUTE, 6.0])

    row = book.row("a")
    cell = row.cells["sdr"]

    assert cell.value == 5.0
    assert (cell.averaged, cell.undefined_reference, cell.undefined_estimate) == (2, 1, 1)
    assert not row.complete
    assert row.notes == ("1 estimate without a defined score; not comparable",)


def test_undefined_because_of_the_reference_keeps_a_row_complete(book: Book) -> None:
    book.cell("a", [4.0, SILENT, 5.0, 6.0])

    assert book.row("a").complete


def test_infinite_values_are_counted_and_never_averaged(book: Book) -> None:
    book.cell("a", [4.0, INF, -INF, 6.0])

    cell = book.row("a").cells["sdr"]

    assert (cell.value, cell.averaged, cell.infinite) == (5.0, 2, 2)


def test_an_improvement_over_an_infinite_mixture_is_infinite(book: Book) -> None:
    mixture(book, 0.0, INF, INF, -INF)
    book.cell("a", [5.0, INF, 5.0, 5.0])

    cell = book.row("a").cells["sdri"]

    assert (cell.value, cell.averaged, cell.infinite) == (5.0, 1, 3)


def test_values_above_the_noise_floor_are_averaged_as_it(book: Book) -> None:
    book.cell("a", [{"sar": 120.0}, {"sar": INF}, {"sar": 30.0}, {"sar": -INF}], cards=(RATIO,))

    cell = book.row("a").cells["sar"]

    assert cell.value == pytest.approx((60 + 60 + 30) / 3)
    assert (cell.capped, cell.infinite, cell.averaged) == (2, 1, 3)


def test_an_improvement_is_made_of_capped_values(book: Book) -> None:
    ratio = dataclasses.replace(RATIO, defined_for_mixture=True)
    mixture(book, *[{"sar": 80.0}] * 4, cards=(ratio,))
    book.cell("a", [{"sar": 100.0}, {"sar": 50.0}, {"sar": 60.0}, {"sar": 60.0}], cards=(ratio,))

    assert book.row("a").cells["sari"].value == pytest.approx((0 - 10 + 0 + 0) / 4)


def test_a_cell_without_any_value_has_none(book: Book) -> None:
    book.cell("a", [SILENT] * 4, statuses=dict.fromkeys(range(4), "undefined"))

    row = book.row("a")

    assert row.cells["sdr"].value is None
    assert (row.scored, row.complete) == (4, True)


# --- counts, notes, cost --------------------------------------------------------------------


def test_a_whole_row_is_complete(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 3.0, 4.0])

    row = book.row("a")

    assert (row.scored, row.expected, row.failed, row.missing) == (4, 4, 0, 0)
    assert row.complete
    assert row.notes == ()


def test_failed_and_missing_items_are_told_apart(book: Book) -> None:
    statuses: dict[int, Status] = {1: "failed", 2: "timed-out"}
    book.cell("a", [1.0, None, None, None], statuses=statuses)

    row = book.row("a")

    assert (row.scored, row.expected, row.failed, row.missing) == (1, 4, 2, 1)
    assert not row.complete
    assert row.notes == ("partial: 1 of 4 items, 2 failed; not comparable",)


def test_the_protocol_may_expect_more_items_than_are_on_disk(book: Book) -> None:
    book.cell("a", [1.0] * 4, expected_items=10)

    row = book.row("a")

    assert (row.expected, row.missing, row.complete) == (10, 6, False)


def test_a_metric_that_is_not_computed_yet_makes_a_row_incomplete(book: Book) -> None:
    both = {"sdr": 1.0, "sar": 2.0}
    book.cell("a", [both, {"sdr": 1.0}, both, both], cards=(LOUD, RATIO))

    row = book.row("a")

    assert row.cells["sar"].missing == 1
    assert not row.complete
    assert row.notes == ("1 item without a score of some metric or of its present version",)


def test_scores_of_an_older_metric_version_never_share_its_column(book: Book) -> None:
    book.cell("old", [1.0] * 4)
    book.cell("new", [5.0] * 4, cards=(dataclasses.replace(LOUD, version=2),))

    old, new = book.row("old"), book.row("new")

    assert old.cells["sdr"].value is None
    assert "4 items without a score" in old.notes[0]
    assert new.cells["sdr"].value == 5.0
    assert book.table().columns[0].identity == "sdr@2"


def test_a_cell_that_cannot_be_says_why(book: Book) -> None:
    book.cell("a", [], kinds=("audio",))

    row = book.row("a")

    assert row.status == "not applicable"
    assert row.notes == ("not applicable: no example clips: the pool 'examples' is not on disk",)
    assert not row.complete


def test_a_refusal_is_forgotten_once_the_cell_has_been_possible(book: Book) -> None:
    book.cell("a", [], kinds=("audio",), query={"kinds": ["text"]})
    book.new_run()
    book.cell("a", [1.0] * 6, kinds=("text",))

    assert [row.status for row in book.table().rows] == ["active"]


def test_a_refusal_of_another_kind_stays(book: Book) -> None:
    book.cell("a", [], kinds=("audio",))
    book.new_run()
    book.cell("a", [1.0] * 6, kinds=("text",))

    assert [row.status for row in book.table().rows] == ["not applicable", "active"]


def test_a_failed_cell_says_why(book: Book) -> None:
    cell = book.cell("a", [])
    book.workspace.fail_cell(cell, Failure(error_type="E", error="weights missing"), book.run_id)

    assert book.row("a").notes == ("could not be carried out: weights missing",)


def test_the_latest_cell_under_a_label_is_shown_and_the_others_counted(book: Book) -> None:
    book.cell("a", [1.0] * 4, version="1")
    book.new_run()
    book.cell("a", [2.0] * 4, version="2")

    row = book.row("a")

    assert (row.version, row.cells["sdr"].value) == ("2", 2.0)
    assert row.notes == ("not shown: 1 earlier variant under this name",)


def test_latest_is_what_was_run_last_not_what_was_made_last(book: Book) -> None:
    book.cell("a", [1.0] * 4, version="1")
    book.cell("a", [2.0] * 4, version="2")
    book.new_run()
    book.cell("a", [], version="1")

    assert book.row("a").version == "1"


def test_other_kinds_of_query_are_rows_of_their_own(book: Book) -> None:
    book.cell("a", [1.0] * 6, kinds=("text",))
    book.cell("a", [2.0] * 4, kinds=("label",))

    assert [row.query for row in book.table().rows] == ["text", "label"]


def test_rows_of_an_earlier_list_revision_never_meet_new_ones(book: Book) -> None:
    class Revised(Kit):
        card = dataclasses.replace(
            Kit.card, lists=(dataclasses.replace(Kit.card.lists[0], revision="2"),)
        )

    mixture(book, *[0.0] * 4)
    book.cell("old", [9.0] * 4)
    book.new_run()
    mixture(book, *[1.0] * 4, dataset=Revised(scenes=2))
    book.cell("new", [5.0] * 4, dataset=Revised(scenes=2))

    table = book.table()

    assert [row.label for row in table.rows] == ["mixture", "new"]
    assert table.rows[1].cells["sdri"].value == 4.0
    assert table.notes == ("not shown: 1 row of an earlier list revision or rate",)


def test_bounds_frame_the_models(book: Book) -> None:
    book.cell("ideal", [1.0], role="upper")
    book.cell("a", [1.0])
    mixture(book, 1.0)

    assert [row.label for row in book.table().rows] == ["mixture", "a", "ideal"]


def test_cost_is_per_second_of_audio_and_the_highest_peak(book: Book) -> None:
    cell = book.cell("a", [1.0] * 4)
    book.workspace.set_facts(cell, CellFacts(device="cpu", precision="float32", parameters=7))

    row = book.row("a")

    assert (row.real_time_factor, row.peak_memory) == (0.25, 1003)
    assert (row.device, row.precision, row.parameters) == ("cpu", "float32", 7)


def test_nothing_measured_has_no_cost(book: Book) -> None:
    book.cell("a", [])

    row = book.row("a")

    assert (row.real_time_factor, row.peak_memory, row.parameters) == (None, None, None)


def test_tables_come_in_the_order_of_their_first_use(book: Book) -> None:
    book.cell("a", [1.0])

    assert [table.protocol for table in tables(book.workspace)] == ["kit"]
    assert tables(book.workspace, ["never-run"])[0].rows == ()


# --- intervals ------------------------------------------------------------------------------


def names(count: int) -> list[str]:
    return [f"c{number:04d}" for number in range(count)]


def test_the_interval_is_that_of_the_central_limit_for_many_items() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 1000)

    low, high = bootstrap_interval(values, names(1000)) or (0, 0)

    half = 1.96 * values.std() / math.sqrt(1000)
    assert (low, high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.1 * half
    )


def covered(size: int, *, per_cluster: int, median: bool = False) -> float:
    """How often the interval holds the truth, 0, over 300 made-up data sets."""
    rng = np.random.default_rng(7)
    clusters = [name for name in names(size) for _ in range(per_cluster)]
    hits = 0
    for _ in range(300):
        shared = np.repeat(rng.standard_normal(size), per_cluster)
        values = shared + 0.5 * rng.standard_normal(size * per_cluster)
        interval = bootstrap_interval(values, clusters, rule=MEDIAN if median else None)
        assert interval is not None
        hits += interval[0] <= 0 <= interval[1]
    return hits / 300


def test_the_interval_of_clustered_items_covers_the_truth_as_often_as_it_says() -> None:
    assert 0.91 <= covered(40, per_cluster=3) <= 0.98


def test_the_interval_of_the_median_covers_the_truth_as_often_as_it_says() -> None:
    assert 0.91 <= covered(30, per_cluster=1, median=True) <= 0.99


def width(values: Any, clusters: Sequence[str]) -> float:
    low, high = bootstrap_interval(np.asarray(values, dtype=float), clusters) or (0.0, 0.0)
    return high - low


def test_items_of_one_recording_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(3).standard_normal(30)
    copies = np.repeat(values, 4)

    clustered = width(copies, [name for name in names(30) for _ in range(4)])

    assert clustered == pytest.approx(width(values, names(30)))
    assert clustered > 1.7 * width(copies, names(120))


@pytest.mark.parametrize("clusters", [["x", "x", "x"], []], ids=["one", "none"])
def test_there_is_no_interval_below_two_clusters(clusters: list[str]) -> None:
    assert bootstrap_interval(np.arange(len(clusters), dtype=float), clusters) is None


@pytest.mark.parametrize("median", [False, True])
def test_the_same_data_give_the_same_interval_in_any_order(median: bool) -> None:
    values = np.random.default_rng(5).standard_normal(20)

    first = bootstrap_interval(values, names(20), rule=MEDIAN if median else None)
    again = bootstrap_interval(values, names(20), rule=MEDIAN if median else None)
    turned = bootstrap_interval(values[::-1], names(20)[::-1], rule=MEDIAN if median else None)

    assert first == again
    assert first == pytest.approx(turned)


def test_the_median_of_a_draw_counts_an_item_as_often_as_it_was_drawn() -> None:
    # Two clusters: both draws alike, or one of each. {0, 10}: medians 0, 5, 10 with 1/4, 1/2, 1/4.
    assert bootstrap_interval(np.array([0.0, 10.0]), ["a", "b"], rule=MEDIAN) == (0.0, 10.0)
    # {0, 0, 9} and {9}: medians 0, 4.5 (of 0, 0, 9, 9), 9.
    values = np.array([0.0, 0.0, 9.0, 9.0])
    assert bootstrap_interval(values, ["a", "a", "a", "b"], rule=MEDIAN) == (0.0, 9.0)


def test_many_items_are_drawn_in_parts() -> None:
    values = np.random.default_rng(4).standard_normal(5000)

    low, high = bootstrap_interval(values, names(5000), rule=MEDIAN) or (0.0, 0.0)

    half = 1.96 * math.sqrt(math.pi / 2 / 5000)  # of the median of a normal
    assert high - low == pytest.approx(2 * half, rel=0.15)
    assert low < np.median(values) < high


def test_the_median_ignores_an_outlier_that_moves_the_mean() -> None:
    values = np.r_[np.random.default_rng(2).standard_normal(40), 1000.0]

    mean = bootstrap_interval(values, names(41)) or (0.0, 0.0)
    median = bootstrap_interval(values, names(41), rule=MEDIAN) or (0.0, 0.0)

    assert mean[1] > 20
    assert median[1] < 2


def test_the_interval_of_equal_values_is_a_point() -> None:
    assert bootstrap_interval(np.full(5, 2.5), names(5)) == (2.5, 2.5)


def test_a_row_shows_the_interval_over_its_clusters(book: Book) -> None:
    mixture(book, *[0.0] * 4)
    book.cell("a", [1.0, 2.0, 3.0, 4.0])

    cell = book.row("a").cells["sdri"]

    expected = bootstrap_interval(np.array([1.0, 2, 3, 4]), ["dog-0", "rain-0", "dog-1", "rain-1"])
    assert (cell.low, cell.high) == expected


# --- the frame ------------------------------------------------------------------------------


def test_the_frame_has_a_row_for_each_item_and_metric(book: Book) -> None:
    book.cell("a", [{"sdr": 1.5, "sar": SILENT}, {"sdr": 2.5, "sar": 3.0}], cards=(LOUD, RATIO))

    frame = results_frame(book.workspace)

    assert list(frame["metric"]) == ["sdr", "sar", "sdr", "sar"]
    assert frame["value"].isna().tolist() == [False, True, False, False]
    assert frame.loc[1, ["cause", "reason"]].tolist() == ["reference", "the reference is silent"]
    assert frame.loc[0, ["model", "scene", "target"]].tolist() == ["a", "scene-00000", "dog"]


def test_a_failed_item_is_one_row_of_the_frame(book: Book) -> None:
    book.cell("a", [None], statuses={0: "failed"})

    frame = results_frame(book.workspace)

    assert frame[["status", "error"]].values.tolist() == [["failed", "words"]]
    assert frame["metric"].isna().all()


def test_the_frame_of_an_empty_workspace_has_its_columns(book: Book) -> None:
    frame = results_frame(book.workspace)

    assert len(frame) == 0
    assert list(frame.columns) == [
        *("cell", "model", "baseline", "protocol", "query_kind", "dataset", "list", "shots"),
        *("scene", "target", "query_index", "query", "cluster", "attributes", "status", "error"),
        *("audio_seconds", "separate_seconds", "metric", "metric_version"),
        *("value", "cause", "reason"),
    ]


# --- groups and windows ---------------------------------------------------------------------


def test_a_protocol_may_average_within_groups_first(book: Book) -> None:
    rule = {"items": "median", "within": "label"}
    book.cell("a", [1.0, 10.0, 3.0, 20.0], aggregate=rule)  # dog, rain, dog, rain

    row, table = book.row("a"), book.table()

    assert row.cells["sdr"].value == pytest.approx((2.0 + 15.0) / 2)
    assert table.aggregate == "median over the items of each label, then mean of those"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Aggregation(within="g"), (2.0 + 10.0 + 100.0) / 3),
        (Aggregation(within="g", groups="median"), 10.0),
        (Aggregation(within="g", items="median"), (1.0 + 10.0 + 100.0) / 3),
        (Aggregation(), (1 + 1 + 4 + 10 + 100) / 5),
    ],
)
def test_the_average_over_groups(rule: Aggregation, expected: float) -> None:
    values = np.array([1.0, 1.0, 4.0, 10.0, 100.0])

    assert average(values, ["a", "a", "a", "b", "c"], rule) == pytest.approx(expected)


@pytest.mark.parametrize("items", ["mean", "median"])
def test_the_interval_over_groups_covers_the_truth_as_often_as_it_says(items: Any) -> None:
    rule = Aggregation(items=items, within="label")
    rng = np.random.default_rng(5)
    groups = [f"class-{k % 4}" for k in range(80)]
    hits = 0
    for _ in range(100):
        values = rng.normal(size=80) + np.array([k % 4 for k in range(80)])
        low, high = bootstrap_interval(values, names(80), groups, rule) or (0.0, 0.0)
        hits += low <= 1.5 <= high

    assert 88 <= hits <= 99


def test_a_group_that_a_draw_leaves_out_does_not_spoil_the_interval() -> None:
    rule = Aggregation(items="median", within="label")
    values = np.array([1.0, 2.0, 3.0])

    low, high = bootstrap_interval(values, names(3), ["a", "a", "b"], rule) or (0.0, 0.0)

    assert 1.0 <= low < high <= 3.0


def framed(value: float, *frames: float) -> Framewise:
    return Framewise(value, frames)


def test_windows_are_kept_and_their_gaps_counted(book: Book) -> None:
    book.cell("a", [framed(2.0, 1.0, math.nan, 3.0), framed(5.0, 5.0, 5.0, 5.0), 7.0])

    cell = book.row("a").cells["sdr"]

    assert cell.value == pytest.approx((2 + 5 + 7) / 3)
    assert (cell.windows, cell.undefined_windows) == (6, 1)


def test_a_protocol_may_average_the_windows_otherwise(book: Book) -> None:
    book.cell(
        "a", [framed(1.0, 0.0, 1.0, 8.0), framed(5.0, math.nan, 5.0)], aggregate={"frames": "mean"}
    )

    table = book.table()

    assert book.row("a").cells["sdr"].value == pytest.approx((3.0 + 5.0) / 2)
    assert table.aggregate == "mean over windows, then mean over items"


def test_an_improvement_subtracts_the_mixture_averaged_the_same_way(book: Book) -> None:
    rule = {"frames": "mean", "items": "median"}
    mixture(book, framed(0.0, 0.0, 0.0, 3.0), aggregate=rule)
    book.cell("a", [framed(2.0, 1.0, 2.0, 6.0)], aggregate=rule)

    assert book.row("a").cells["sdri"].value == pytest.approx(3.0 - 1.0)


def test_windows_beyond_the_noise_floor_count_as_the_floor(book: Book) -> None:
    book.cell(
        "a",
        [{"sar": framed(70.0, 20.0, 70.0, math.inf)}],
        cards=(RATIO,),
        aggregate={"frames": "mean"},
    )

    assert book.row("a").cells["sar"].value == pytest.approx((20 + 60 + 60) / 3)


def test_a_workspace_of_the_first_words_is_read_as_before(book: Book) -> None:
    book.cell("a", [1.0, 2.0, 9.0])
    with book.workspace._database.transaction() as connection:
        connection.execute("UPDATE cells SET aggregate = 'median'")

    assert book.row("a").cells["sdr"].value == 2.0


def test_windows_without_a_mean_are_counted_as_infinite(book: Book) -> None:
    rule = {"frames": "mean"}
    mixture(book, framed(0.0, 0.0, math.inf, 0.0), framed(0.0, 0.0, 1.0), aggregate=rule)
    book.cell(
        "a", [framed(2.0, 2.0, math.inf, 3.0), framed(1.0, -math.inf, math.inf)], aggregate=rule
    )

    gain, value = book.row("a").cells["sdri"], book.row("a").cells["sdr"]

    assert (gain.averaged, gain.infinite) == (0, 2)
    assert (value.averaged, value.infinite) == (0, 2)


def test_a_group_that_no_item_has_is_said_below_the_table(book: Book) -> None:
    rule = {"items": "median", "within": "lable"}
    mixture(book, 1.0, 2.0, aggregate=rule)
    book.cell("a", [1.0, 2.0], aggregate=rule)

    assert book.table().notes == (
        "no item has 'lable', by which this protocol groups them; they are one group",
    )
