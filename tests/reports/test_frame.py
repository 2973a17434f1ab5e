from __future__ import annotations

import dataclasses

import pytest

from sepbench.reports.contract import Leaderboard
from sepbench.reports.frame import board_frame, styled_table


def test_a_board_as_a_frame_has_a_row_a_cell_and_column(board: Leaderboard) -> None:
    frame = board_frame(board).set_index(["model", "column"])

    assert len(frame) == 8
    assert frame.loc[("net_a", "si_sdr"), "value"] == 6.0
    assert bool(frame.loc[("net_a", "si_sdr"), "best"])
    assert frame["best"].sum() == 1


def test_the_styled_table_marks_the_best_value_and_escapes_names(board: Leaderboard) -> None:
    pytest.importorskip("jinja2")
    row = dataclasses.replace(board.tables[0].rows[2], label="<script>")
    table = dataclasses.replace(board.tables[0], rows=(*board.tables[0].rows[:2], row))

    html = styled_table(dataclasses.replace(board, tables=(table,))).to_html()

    assert "font-weight: bold" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "–" in html


def test_an_empty_board_is_an_empty_table() -> None:
    assert board_frame(Leaderboard(tables=())).empty
    assert styled_table(Leaderboard(tables=())).data.empty
