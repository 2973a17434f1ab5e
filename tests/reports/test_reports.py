"""A board written by hand, and what each format makes of it, to the byte."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sepbench.harness.aggregate import Cell, Column, Row, Table
from sepbench.harness.run.catalogs import REPORTS
from sepbench.reports import markdown, text
from sepbench.reports.contract import Leaderboard

COLUMNS = (
    Column(name="si_sdr", title="SI-SDR", unit="dB", identity="si_sdr@1", metric="si_sdr"),
    Column(
        name="si_sdri",
        title="SI-SDRi",
        unit="dB",
        identity="si_sdr@1 minus the mixture's",
        metric="si_sdr",
        improvement=True,
    ),
    Column(
        name="bss_sir",
        title="SIR (BSS Eval v3)",
        unit="dB",
        identity="bss_sir@1 (taps=512)",
        metric="bss_sir",
    ),
    Column(
        name="bss_siri",
        title="SIRi (BSS Eval v3)",
        unit="dB",
        identity="bss_sir@1 (taps=512) minus the mixture's",
        metric="bss_sir",
        improvement=True,
    ),
)


def row(label: str, **fields: Any) -> Row:
    usual: dict[str, Any] = {
        "baseline": label,
        "version": "1",
        "role": "model",
        "query": "text",
        "status": "active",
        "reason": "",
        "cells": {},
    }
    return Row(label=label, **(usual | fields))


MIXTURE = row(
    "mixture",
    role="lower",
    query="–",
    scored=4,
    expected=4,
    complete=True,
    cells={
        "si_sdr": Cell(value=-0.001, low=-1.0, high=1.0, averaged=4),
        "bss_sir": Cell(value=0.5, averaged=4, noise_floor=60.0),
    },
)
NET = row(
    "net",
    query="audio ×3",
    scored=3,
    expected=4,
    failed=1,
    real_time_factor=0.01234,
    peak_memory=1_234_567_890,
    parameters=28_050_000,
    flops_per_second=27.5e9,
    device="cuda:0",
    precision="float32",
    notes=("partial: 3 of 4 items, 1 failed; not comparable",),
    cells={
        "si_sdr": Cell(
            value=1 / 3, low=-0.1, high=0.7, averaged=2, undefined_reference=1, infinite=1
        ),
        "si_sdri": Cell(value=5.0, low=4.0, high=6.5, averaged=1, unpaired=1),
        "bss_sir": Cell(value=60.0, averaged=3, capped=3, noise_floor=60.0),
        "bss_siri": Cell(value=12.0, averaged=3, noise_floor=60.0),
    },
)
TWIN = dataclasses.replace(NET, label="twin", baseline="net", failed=0, cells={})
REFUSED = row(
    "asked",
    status="not applicable",
    reason="takes audio",
    notes=("not applicable: takes audio queries",),
)
BOARD = Leaderboard(
    tables=(
        Table(
            protocol="kit",
            dataset="data",
            aggregate="mean over items",
            columns=COLUMNS,
            rows=(MIXTURE, NET, TWIN, REFUSED),
            notes=("1 rows of an earlier list revision or rate are not shown",),
        ),
    ),
    provenance=("sepbench 0.1.0", "Python 3.11.7"),
)

MARKDOWN = """\
### data · kit

| Model | Query | SI-SDR [dB] | SI-SDRi [dB] | SIR (BSS Eval v3) [dB] | SIRi (BSS Eval v3) [dB] \
| Scored | RTF | Memory | Params | FLOP/s | Device |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| mixture *lower bound* | – | 0.00 ±1.00 | – | 0.50 | – | 4/4 ✓ | – | – | – | – | – |
| net<sup>1</sup><sup>2</sup><sup>3</sup><sup>4</sup><sup>5</sup> | audio ×3 | 0.33 ±0.40 \
| 5.00 ±1.25 | >60 | 12.00 | 3/4 (1 failed) | 0.012 | 1,235 MB | 28.1 M | 27.5 G | cuda:0 float32 |
| twin<sup>1</sup> | audio ×3 | – | – | – | – | 3/4 | 0.012 | 1,235 MB | 28.1 M | 27.5 G | \
cuda:0 float32 |
| asked<sup>6</sup> | text | – | – | – | – | n/a | – | – | – | – | – |

Mean over items ± half the 95 % bootstrap interval, clustered by target recording. SI-SDR = \
`si_sdr@1`; SIR (BSS Eval v3) = `bss_sir@1 (taps=512)`. A trailing i is the improvement over the \
mixture, pair by (scene, target). RTF: seconds of separation per second of audio. Memory: peak of \
the model's process. FLOP/s: operations per second of audio and query, products and convolutions. \
✓: every expected item is there and scored.

1 rows of an earlier list revision or rate are not shown.

<sup>1</sup> partial: 3 of 4 items, 1 failed; not comparable.

<sup>2</sup> SI-SDR: 1 item at ±inf, not averaged.

<sup>3</sup> SI-SDR: 1 item undefined because of the reference, left out for every model alike.

<sup>4</sup> SI-SDRi: 1 item without a value of the mixture's, not averaged.

<sup>5</sup> SIR (BSS Eval v3): 3 items above 60 dB, which is rounding noise, averaged as 60.

<sup>6</sup> not applicable: takes audio queries.

Made with sepbench 0.1.0; Python 3.11.7.
"""

TEXT = """\
data · kit (mean over items, dB)
Model    Query     SI-SDR     SI-SDRi  BSS SIR  Scored    RTF
-------  --------  ------  ----------  -------  ------  -----
mixture  –           0.00           –     0.50     4/4      –
net      audio ×3    0.33  5.00 ±1.25      >60     3/4  0.012
twin     audio ×3       –           –        –     3/4  0.012
asked    text           –           –        –     n/a      –
  net: partial: 3 of 4 items, 1 failed; not comparable
  twin: partial: 3 of 4 items, 1 failed; not comparable
  asked: not applicable: takes audio queries
  1 rows of an earlier list revision or rate are not shown
"""


def write(board: Leaderboard, name: str, folder: Path) -> str:
    (path,) = REPORTS.load(name).write(board, folder)
    written = path.read_bytes().decode("utf-8")
    assert path.parent == folder
    return written


def nasty(label: str, **fields: Any) -> Leaderboard:
    """The board with one row, and text that strangers chose."""
    table = dataclasses.replace(BOARD.tables[0], rows=(row(label, **fields),), notes=())
    return Leaderboard(tables=(table,))


# --- Markdown -------------------------------------------------------------------------------


def test_the_markdown_of_a_board(tmp_path: Path) -> None:
    assert write(BOARD, "md", tmp_path) == MARKDOWN


@pytest.mark.parametrize("name", ["md", "csv"])
def test_the_same_board_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / "again").mkdir()

    assert write(BOARD, name, tmp_path) == write(BOARD, name, tmp_path / "again")


def test_a_footnote_that_two_rows_share_is_numbered_once() -> None:
    rendered = markdown.render(BOARD)

    assert rendered.count("partial: 3 of 4 items") == 1
    assert "| net<sup>1</sup>" in rendered
    assert "| twin<sup>1</sup> |" in rendered


@pytest.mark.parametrize(
    ("given", "escaped"),
    [
        ("a|b", "a\\|b"),
        ("<script>", "&lt;script>"),
        ("&lt;b>", "&amp;lt;b>"),
        ("`code`", "\\`code\\`"),
        ("*a* _b_", "\\*a\\* \\_b\\_"),
        ("[x](y)", "\\[x\\](y)"),
        ("a\\|b", "a\\\\\\|b"),
        ("two\nlines\r\n", "two lines"),
    ],
)
def test_text_of_strangers_is_escaped(given: str, escaped: str) -> None:
    assert markdown.escape(given) == escaped


HOSTILE = "<img src=x>|\n| fake | row |"


@pytest.mark.parametrize(
    "board",
    [
        nasty(HOSTILE),
        nasty("a", query=HOSTILE),
        nasty("a", notes=(HOSTILE,)),
        Leaderboard(tables=(dataclasses.replace(BOARD.tables[0], dataset=HOSTILE),)),
        Leaderboard(
            tables=(
                dataclasses.replace(
                    BOARD.tables[0],
                    columns=(dataclasses.replace(COLUMNS[0], title=HOSTILE, unit=HOSTILE),),
                ),
            )
        ),
        Leaderboard(
            tables=(
                dataclasses.replace(
                    BOARD.tables[0],
                    columns=(dataclasses.replace(COLUMNS[0], identity="a`<img src=x>\n| fake |"),),
                ),
            )
        ),
    ],
    ids=["label", "query", "note", "dataset", "title and unit", "identity"],
)
def test_no_text_can_bring_markup_or_rows(board: Leaderboard) -> None:
    rendered = markdown.render(board)

    outside_code = "".join(rendered.split("`")[::2])
    assert "<img" not in outside_code
    assert "\n| fake" not in rendered


def test_rows_have_as_many_cells_as_the_header_whatever_the_label() -> None:
    rendered = markdown.render(nasty("a|b"))

    table = [line.replace("\\|", "") for line in rendered.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {13}


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (Cell(value=60.0, noise_floor=60.0), ">60"),
        (Cell(value=59.994, noise_floor=60.0), "59.99"),
        (Cell(value=75.0), "75.00"),
        (Cell(value=-0.004), "0.00"),
        (Cell(), "–"),
        (Cell(value=1.0, low=0.5, high=2.0), "1.00 ±0.75"),
    ],
)
def test_numbers_as_they_are_shown(cell: Cell, shown: str) -> None:
    rendered = markdown.render(nasty("a", cells={"si_sdr": cell}))

    assert f"| a | text | {shown} | – |" in rendered


def test_an_empty_board_is_an_empty_page() -> None:
    assert markdown.render(Leaderboard(tables=())) == "\n"


def test_a_median_is_called_so() -> None:
    table = dataclasses.replace(BOARD.tables[0], aggregate="median over items")

    assert "\nMedian over items ±" in markdown.render(Leaderboard(tables=(table,)))
    assert "(median over items, dB)" in text.render(Leaderboard(tables=(table,)))


def test_a_terminal_names_units_by_column_where_they_differ() -> None:
    columns = (
        *BOARD.tables[0].columns[:1],
        dataclasses.replace(BOARD.tables[0].columns[0], unit="1"),
    )
    table = dataclasses.replace(BOARD.tables[0], columns=columns)
    named = dataclasses.replace(table.rows[1], label="net\nof two lines")

    lines = text.render(
        Leaderboard(tables=(dataclasses.replace(table, rows=(named,)),))
    ).splitlines()

    assert lines[0] == "data · kit (mean over items)"
    assert "[dB]" in lines[1]
    assert "[1]" in lines[1]
    assert lines[3].startswith("net of two lines")


# --- text -----------------------------------------------------------------------------------


def test_the_text_of_a_board() -> None:
    assert text.render(BOARD) == TEXT


def test_a_note_of_several_lines_stays_on_one() -> None:
    rendered = text.render(nasty("a", notes=("first\n  second",)))

    assert rendered.endswith("\n  a: first second\n")


# --- CSV ------------------------------------------------------------------------------------


def frame(board: Leaderboard, folder: Path) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(write(board, "csv", folder), newline=""))


def test_the_csv_is_read_by_pandas_with_full_precision(tmp_path: Path) -> None:
    read = frame(BOARD, tmp_path)

    assert read["model"].tolist() == ["mixture", "net", "twin", "asked"]
    assert read.loc[1, "si_sdr"] == 1 / 3
    assert read.loc[1, "si_sdr_low"] == -0.1
    assert read["si_sdr"].isna().tolist() == [False, False, True, True]


def test_the_csv_holds_every_count(tmp_path: Path) -> None:
    net = frame(BOARD, tmp_path).iloc[1]

    assert net[["scored", "expected", "failed", "missing"]].tolist() == [3, 4, 1, 0]
    assert net["si_sdr_averaged"] == 2
    assert net["si_sdr_undefined_reference"] == 1
    assert net["si_sdr_undefined_estimate"] == 0
    assert net["real_time_factor"] == 0.01234
    assert net["peak_memory_bytes"] == 1_234_567_890
    assert net["metric_identities"] == "si_sdr@1; bss_sir@1 (taps=512)"
    assert net["notes"] == "partial: 3 of 4 items, 1 failed; not comparable"


def test_any_label_survives_the_csv(tmp_path: Path) -> None:
    label = 'a,"b"\n|<c>'

    assert frame(nasty(label), tmp_path)["model"].tolist() == [label]


def test_tables_with_other_columns_share_one_csv(tmp_path: Path) -> None:
    other = dataclasses.replace(
        BOARD.tables[0],
        protocol="other",
        columns=COLUMNS[2:3],
        rows=(row("a", cells={"bss_sir": Cell(value=1.0)}),),
    )

    read = frame(Leaderboard(tables=(BOARD.tables[0], other)), tmp_path)

    assert read["protocol"].tolist() == ["kit"] * 4 + ["other"]
    assert pd.isna(read.loc[4, "si_sdr"])
    assert read.loc[4, "bss_sir"] == 1.0


def test_no_line_of_the_csv_differs_in_length(tmp_path: Path) -> None:
    rows = list(csv.reader(io.StringIO(write(BOARD, "csv", tmp_path), newline="")))

    assert {len(cells) for cells in rows} == {len(rows[0])}
    assert len(set(rows[0])) == len(rows[0])


def test_two_metrics_that_would_share_a_short_name_are_told_apart_by_their_ids() -> None:
    columns = tuple(
        dataclasses.replace(COLUMNS[0], name=name, metric=name, title=title)
        for name, title in (("sdr", "SDR"), ("audiosep_sdr", "SDR (AudioSep)"), ("stoi", "STOI"))
    )
    table = dataclasses.replace(BOARD.tables[0], columns=columns)

    head = text.render(Leaderboard(tables=(table,))).splitlines()[1].split()

    assert head == ["Model", "Query", "sdr", "audiosep_sdr", "STOI", "Scored", "RTF"]
