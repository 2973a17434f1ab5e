"""`bench compare`, `bench report --by` and `bench list published` as a user meets them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.book import LOUD, Book

import sepbench.harness as sb
from sepbench.harness.api import MetricCard, Undefined

Bench = Callable[..., Any]
MUTE = Undefined(cause="estimate", reason="the estimate is silent")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two models and the mixture on six scenes; `weak` fails once."""
    book = Book(tmp_path / "work", scenes=6)
    book.cell("mixture", [0.0] * 12, role="lower")
    book.cell("strong", [5.0 + k for k in range(12)])
    book.cell("weak", [MUTE, *(1.0 + k for k in range(11))])
    book.close()
    return tmp_path / "work"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_two_rows_are_compared_with_what_to_listen_to_first(bench: Bench, work: Path) -> None:
    done = bench("compare", "strong", "weak", "-w", work)

    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0] == "kit · kit by SDR (sdr@1), one p"
    assert lines[3].split()[:8] == [
        "strong",
        "weak",
        "+5.00",
        "+5.00",
        "to",
        "+5.00",
        "+5.00",
        "12/0/0",
    ]
    assert lines[3].split()[-1] == "strong"
    assert (
        "12 targets of 12 recordings; weak gave no usable estimate for 1, a loss each" in lines[4]
    )
    assert "scene-00000" in done.out.partition("Most for strong")[2].splitlines()[2]
    assert "failed" in done.out
    assert "No target for weak." in done.out


def test_without_names_the_board_is_compared_and_corrected(bench: Bench, work: Path) -> None:
    models = bench("compare", "-w", work).out
    everything = bench("compare", "-w", work, "--bounds").out

    assert models.splitlines()[0].endswith("one p")
    assert everything.splitlines()[0].endswith("p of 3 comparisons corrected")
    assert [line.split()[:2] for line in everything.splitlines()[3:6]] == [
        ["mixture", "strong"],
        ["mixture", "weak"],
        ["strong", "weak"],
    ]


def test_two_rows_are_compared_by_every_metric_they_share(bench: Bench, tmp_path: Path) -> None:
    book = Book(tmp_path / "both", scenes=6)
    cards = (LOUD, MetricCard(metric_id="sar", version=1, title="SAR", unit="1"))
    book.cell("one", [{"sdr": 5.0 + k, "sar": 1.0} for k in range(12)], cards=cards)
    book.cell("other", [{"sdr": 1.0 + k, "sar": 3.0} for k in range(12)], cards=cards)
    book.close()

    done = bench("compare", "one", "other", "-w", tmp_path / "both", "--csv", tmp_path / "c.csv")

    lines = done.out.splitlines()
    assert lines[0] == "kit · kit: A = one, B = other, one p"
    assert [line.split()[0] for line in lines[3:5]] == ["sdr@1", "sar@1"]
    assert [line.split()[-1] for line in lines[3:5]] == ["one", "other"]
    assert lines[3].split()[1:4] == ["dB", "±0.1", "+4.00"]
    assert lines[5] == "  each: 12 targets of 12 recordings"
    assert [row["metric"] for row in rows((tmp_path / "c.csv").read_text("utf-8"))] == [
        "sdr@1",
        "sar@1",
    ]


def test_a_board_of_three_has_a_table_a_metric(bench: Bench, tmp_path: Path) -> None:
    book = Book(tmp_path / "three", scenes=6)
    cards = (LOUD, MetricCard(metric_id="sar", version=1, title="SAR"))
    for level, name in enumerate("abc"):
        values = [{"sdr": float(level), "sar": float(-level)} for _ in range(12)]
        book.cell(name, values, cards=cards)
    book.close()

    lines = bench("compare", "-w", tmp_path / "three").out.splitlines()

    heads = [line for line in lines if line.startswith("kit ·")]
    assert heads == [
        "kit · kit by SDR (sdr@1), p of 3 comparisons corrected",
        "kit · kit by SAR (sar@1), p of 3 comparisons corrected",
    ]


def test_numbers_go_to_a_file_in_full(bench: Bench, work: Path, tmp_path: Path) -> None:
    bench("compare", "strong", "weak", "-w", work, "--csv", "pairs.csv")

    (row,) = rows((tmp_path / "pairs.csv").read_text("utf-8"))
    assert (row["a"], row["b"], row["mean"], row["lost_b"]) == ("strong", "weak", "5.0", "1")
    assert float(row["permutation"]) == 2 / 2**12
    assert row["better"] == "strong"


def test_the_same_command_prints_the_same(bench: Bench, work: Path) -> None:
    command = ("compare", "strong", "mixture", "-w", work)

    assert bench(*command).out == bench(*command).out


def test_python_compares_as_the_command_does(work: Path) -> None:
    (found,) = sb.compare(work, "strong", "weak", metric="sdr")

    assert found.test.mean == 5.0
    assert found.lost_b == 1


def test_a_row_is_held_against_published_ones(bench: Bench, work: Path, tmp_path: Path) -> None:
    done = bench("compare", "--to", "published", "mixture", "-w", work, "--csv", "held.csv")

    assert done.code == 0
    assert "other protocol: no row under sisec18" in done.out
    assert "nothing published is comparable under kit." in done.out
    held = rows((tmp_path / "held.csv").read_text("utf-8"))
    assert {row["protocol"] for row in held} == {"sisec18", "vbd-enhancement"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("strong",), "Name two rows, or none"),
        (("strong", "weka"), "Unknown row 'weka' under any protocol. Did you mean 'weak'"),
        (("--to", "published"), "--to published takes one row"),
        (("strong", "weak", "--metric", "sdrr"), "Unknown metric 'sdrr' under kit."),
    ],
)
def test_wrong_requests_leave_code_two(
    bench: Bench, work: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = bench("compare", *arguments, "-w", work)

    assert done.code == 2
    assert words in done.err
    assert done.out == ""


def test_a_report_in_parts_is_markdown_and_csv(bench: Bench, work: Path) -> None:
    done = bench("report", "--by", "label,number", "-w", work)

    assert [Path(line).name for line in done.out.splitlines()] == [
        *("by-label.md", "by-label.csv", "by-number.md", "by-number.csv")
    ]
    text = (work / "reports" / "by-label.md").read_text("utf-8")
    found = rows((work / "reports" / "by-label.csv").read_text("utf-8"))
    assert text.startswith("### kit · kit by label")
    assert "| dog | strong | – | 6 | 10.00 ±" in text
    weak = next(r for r in found if (r["group"], r["model"], r["column"]) == ("dog", "weak", "sdr"))
    assert (weak["averaged"], weak["items"], weak["undefined_estimate"]) == ("5", "6", "1")


def test_parts_can_be_printed_and_binned(bench: Bench, work: Path) -> None:
    done = bench("report", "--by", "number", "--bins", "2,4", "--stdout", "-w", work)

    assert "| &lt; 2 | strong" in done.out
    assert "| 2 to 4 | strong" in done.out
    assert "| >= 4 | strong" in done.out


def test_sensitivity_to_the_query_is_a_report(bench: Bench, tmp_path: Path) -> None:
    book = Book(tmp_path / "asked")
    book.cell("a", [7.0, 1.0, 3.0, 7.0, 5.0, 5.0], kinds=("text",))
    book.cell("a", [1.0] * 4, kinds=("label",), query={"kinds": ["label"]})
    book.close()

    done = bench("report", "--by", "query", "--stdout", "-w", tmp_path / "asked")

    assert "| a@text | 2 | 2.0 | 0.71 | 3.00 | 3.50 | 4.00 |" in done.out
    assert "| a@text | a@label | +4.25 |" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--by", "colour"), "The items of kit have no 'colour'. They have: "),
        (("--by", "number", "--bins", "1,x"), "--bins takes different numbers"),
    ],
)
def test_wrong_parts_leave_code_two(
    bench: Bench, work: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = bench("report", *arguments, "-w", work)

    assert done.code == 2
    assert words in done.err


def test_published_numbers_are_listed_when_asked_for(bench: Bench) -> None:
    lines = bench("list", "published").out.splitlines()

    assert len(lines) == 602
    assert "audiocaps-audiosep, audiosep_sdri of audiosep-clap ± 0.1" in "\n".join(lines)
    assert any("not comparable here; second hand; SECONDARY" in line for line in lines)
    assert "published:" not in bench("list").out
