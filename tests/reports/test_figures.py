from __future__ import annotations

import dataclasses
from itertools import combinations
from pathlib import Path

from PIL import Image

from sepbench.reports import figures
from sepbench.reports.contract import Leaderboard

FIGURES = ("boxes", "classes", "cost", "spectrograms")


def test_every_figure_is_there_in_three_formats_with_the_same_bytes_again(
    board: Leaderboard, tmp_path: Path
) -> None:
    (tmp_path / "again").mkdir()

    written = figures.REPORT.write(board, tmp_path)
    again = figures.REPORT.write(board, tmp_path / "again")

    names = {f"kit-{kind}.{ending}" for kind in FIGURES for ending in figures.KINDS}
    assert {path.name for path in written} == names
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in again]
    picture = Image.open(tmp_path / "figures" / "kit-spectrograms.png").convert("RGB")
    assert len(picture.getcolors(maxcolors=1 << 24) or []) > 100


def test_names_of_strangers_are_neither_formulas_nor_paths(
    board: Leaderboard, tmp_path: Path
) -> None:
    rows = [
        dataclasses.replace(row, label="$\\frac{$ <b>") if row.role == "model" else row
        for row in board.tables[0].rows
    ]
    table = dataclasses.replace(board.tables[0], rows=tuple(rows), protocol="../../up")

    written = figures.REPORT.write(dataclasses.replace(board, tables=(table,)), tmp_path)

    assert {path.parent for path in written} == {tmp_path / "figures"}
    assert "..-..-up-cost.pdf" in {path.name for path in written}


def test_without_items_there_is_the_cost_plot_and_without_cost_nothing(
    board: Leaderboard, tmp_path: Path
) -> None:
    bare = dataclasses.replace(board, items=None, audio=None)
    free = [dataclasses.replace(row, real_time_factor=None) for row in board.tables[0].rows]
    table = dataclasses.replace(board.tables[0], rows=tuple(free))

    with_cost = figures.REPORT.write(bare, tmp_path)
    without = figures.REPORT.write(dataclasses.replace(bare, tables=(table,)), tmp_path)

    assert [path.name for path in with_cost] == ["kit-cost.pdf", "kit-cost.svg", "kit-cost.png"]
    assert without == []


def test_the_cost_plot_names_partial_rows_and_writes_no_name_over_another(
    board: Leaderboard,
) -> None:
    table = board.tables[0]
    models = [
        dataclasses.replace(table.rows[1], label=f"model-{k}", scored=4 - k, expected=4)
        for k in range(3)
    ]
    crowded = dataclasses.replace(table, rows=(table.rows[0], *models, table.rows[3]))
    column = table.columns[1]

    figure = figures._cost(crowded, column)

    assert figure is not None
    names = [text for text in figure.axes[0].texts if text.get_text().startswith("model")]
    assert [text.get_text() for text in names] == [
        "model-0",
        "model-1 (partial)",
        "model-2 (partial)",
    ]
    boxes = [text.get_window_extent() for text in names]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
