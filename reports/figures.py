"""Figures for papers: box plots, bars by class, quality against cost, spectrogram grids.

Each is written as PDF, SVG and PNG, without dates and with fixed ids, so that the same board gives
the same bytes. Needs the board's items; spectrogram grids also its audio.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.aggregate import Column, Row, Table
from sepbench.reports.contract import CellItems, Leaderboard, ProtocolItems, Recording
from sepbench.reports.page_media import chosen_targets
from sepbench.reports.spectrograms import COLOURS, RANGE_DB, decibels, mel_edges, mel_spectrogram

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Floats = npt.NDArray[np.float64]

KINDS = ("pdf", "svg", "png")
PALETTE = ("#4269d0", "#e08a00", "#e5484d", "#159a9c", "#3ca951", "#d6409f", "#8e4ec6", "#9c6b4e")
BOUND = "#8b929c"
MOST_CLASSES = 30
MOST_LETTERS = 28
GRID_ROWS = 4
_STYLE: Any = {  # names of settings are a Literal of five hundred
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e6e9",
    "grid.linewidth": 0.6,
    "pdf.fonttype": 42,
    "svg.hashsalt": "sepbench",
    "svg.fonttype": "path",
    "text.parse_math": False,  # names of strangers are no formulas
    "figure.constrained_layout.use": True,
}
_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None},
    "svg": {"Date": None},
    "png": {"Software": None},
}


class FiguresReport:
    """`figures/PROTOCOL-KIND.pdf`, `.svg` and `.png`."""

    name = "figures"
    summary = "box plots, bars by class, cost plot and spectrograms as PDF, SVG and PNG"

    def write(self, board: Leaderboard, folder: Path) -> list[Path]:
        """Write the folder `figures`; what there is no data for is not written."""
        import matplotlib as mpl

        target = folder / "figures"
        target.mkdir(exist_ok=True)
        written: list[Path] = []
        with mpl.rc_context(_STYLE):
            for table in board.tables:
                column = _main_column(table)
                if column is None:
                    continue
                items = board.items(table) if board.items is not None else None
                figures = {"cost": _cost(table, column)}
                if items is not None:
                    figures["boxes"] = _boxes(table, column, items)
                    figures["classes"] = _classes(table, column, items)
                    figures["spectrograms"] = _grid(board, table, items)
                for kind, figure in figures.items():
                    if figure is not None:
                        written += _save(figure, target / f"{_file_name(table)}-{kind}")
        return written


REPORT = FiguresReport()


def _main_column(table: Table) -> Column | None:
    """SI-SDR improvement where there is one, else the first column."""
    known = {column.name: column for column in table.columns}
    return known.get("si_sdri") or next(iter(table.columns), None)


def _title(table: Table) -> str:
    return ", ".join(dict.fromkeys([table.dataset, table.protocol]))


def _short(text: str) -> str:
    """A name that leaves room for the figure."""
    words = " ".join(text.replace("_", " ").split())
    return words if len(words) <= MOST_LETTERS else words[: MOST_LETTERS - 1] + "…"


def _file_name(table: Table) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in table.protocol)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = []
    for kind in KINDS:
        path = stem.with_name(f"{stem.name}.{kind}")
        figure.savefig(path, format=kind, dpi=200, metadata=_METADATA[kind])
        paths.append(path)
    return paths


def _colours(table: Table) -> dict[int, str]:
    models = [row.cell_id for row in table.rows if row.role == "model"]
    return {
        row.cell_id: PALETTE[models.index(row.cell_id) % len(PALETTE)]
        if row.role == "model"
        else BOUND
        for row in table.rows
    }


def _axis(column: Column) -> str:
    return f"{column.title} [{column.unit}]" if column.unit else column.title


def _series(
    table: Table, column: Column, items: ProtocolItems
) -> list[tuple[Row, CellItems, Floats]]:
    """Rows that have finite values of a column, with them as (I,)."""
    cells = {cell.cell_id: cell for cell in items.cells}
    found = []
    for row in table.rows:
        cell = cells.get(row.cell_id)
        if cell is not None and column.name in cell.values:
            values = cell.values[column.name]
            if np.isfinite(values).any():
                found.append((row, cell, values))
    return found


def _boxes(table: Table, column: Column, items: ProtocolItems) -> Figure | None:
    series = _series(table, column, items)
    if not series:
        return None
    figure, axes = _figure(5.2, 0.9 + 0.42 * len(series))
    colours = _colours(table)
    parts = axes.boxplot(
        [values[np.isfinite(values)] for _, _, values in series],
        orientation="horizontal",
        tick_labels=[_short(row.label) for row, _, _ in series],
        patch_artist=True,
        widths=0.55,
        medianprops={"color": "#1b1e23", "linewidth": 1.4},
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": "#8b929c"},
    )
    for box, (row, _, _) in zip(parts["boxes"], series, strict=True):
        box.set(facecolor=colours[row.cell_id], alpha=0.55)
    axes.invert_yaxis()
    axes.set(xlabel=_axis(column), title=_title(table))
    axes.grid(visible=False, axis="y")
    return figure


def _classes(table: Table, column: Column, items: ProtocolItems) -> Figure | None:
    series = [s for s in _series(table, column, items) if s[0].role == "model"]
    means = [_class_means(cell, values, items) for _, cell, values in series]
    names = sorted({name for of in means for name in of})[:MOST_CLASSES]
    if len(names) < 2:
        return None
    figure, axes = _figure(max(5.2, 0.35 * len(names) + 1.5), 3.2)
    colours = _colours(table)
    width = 0.8 / len(series)
    for k, ((row, _, _), of) in enumerate(zip(series, means, strict=True)):
        places = np.arange(len(names)) + (k - (len(series) - 1) / 2) * width
        heights = [of.get(name, np.nan) for name in names]
        axes.bar(places, heights, width, label=_short(row.label), color=colours[row.cell_id])
    axes.axhline(0, color="#1b1e23", linewidth=0.8)
    axes.set_xticks(np.arange(len(names)), [_short(name) for name in names], rotation=40)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
    axes.set(ylabel=_axis(column), title=f"{_title(table)}: mean by class")
    axes.grid(visible=False, axis="x")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _class_means(cell: CellItems, values: Floats, items: ProtocolItems) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for place, value in zip(cell.targets, values.tolist(), strict=True):
        target = items.targets[place]
        if np.isfinite(value):
            groups.setdefault(target.label or target.target, []).append(value)
    return {name: float(np.mean(found)) for name, found in groups.items()}


def _cost(table: Table, column: Column) -> Figure | None:
    points = [
        (row, row.cells[column.name], row.real_time_factor)
        for row in table.rows
        if row.role == "model" and column.name in row.cells and row.real_time_factor
    ]
    drawn = [(row, cell, cell.value, cost) for row, cell, cost in points if cell.value is not None]
    if not drawn:
        return None
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, axes = _figure(4.4, 3.2)
    colours = _colours(table)
    for row, cell, value, cost in drawn:
        if cell.low is not None and cell.high is not None:
            axes.vlines(cost, cell.low, cell.high, color=colours[row.cell_id], alpha=0.5)
        axes.plot(cost, value, "o", color=colours[row.cell_id])
        axes.annotate(
            _short(row.label), (cost, value), xytext=(6, 4), textcoords="offset points", fontsize=8
        )
    for row in table.rows:
        level = row.cells[column.name].value if column.name in row.cells else None
        if row.role != "model" and level is not None:
            axes.axhline(level, color=BOUND, linestyle="--", linewidth=0.8)
            axes.annotate(
                _short(row.label),
                (0.01, level),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                fontsize=7,
                color="#646b75",
            )
    axes.set_xscale("log")
    axes.margins(x=0.35, y=0.1)
    costs = [cost for _, _, _, cost in drawn]
    # Powers of ten are written as formulas, which are off; a short range has no power inside.
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    if max(costs) > 100 * min(costs):
        axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(
        xlabel="real-time factor, log scale",
        ylabel=_axis(column),
        title=_title(table),
    )
    return figure


def _grid(board: Leaderboard, table: Table, items: ProtocolItems) -> Figure | None:
    """Mixture, target and each row's estimate, an item a line, one colour scale a line."""
    places, _ = chosen_targets(board, table, items)
    if board.audio is None or not places:
        return None
    step = max(1, len(places) // GRID_ROWS)
    opened = []
    for place in places[::step][:GRID_ROWS]:
        target = items.targets[place]
        recording = board.audio.open(table.protocol, target.scene, target.target)
        if recording is not None:
            opened.append((target, recording))
    rows = [row for row in table.rows if row.role != "lower" and row.status == "active"]
    if not opened:
        return None
    from matplotlib.figure import Figure

    heads = ["mixture", "target", *(_short(row.label) for row in rows)]
    figure = Figure(figsize=(1.75 * len(heads) + 0.6, 1.35 * len(opened) + 0.4))
    panes = figure.subplots(len(opened), len(heads), squeeze=False)
    for line, (target, recording) in enumerate(opened):
        _draw_line(panes[line], recording, [row.cell_id for row in rows])
        panes[line, 0].set_ylabel(_short(target.label or target.target)[:16] + "\nkHz")
    for head, pane in zip(heads, panes[0], strict=True):
        pane.set_title(head, fontsize=8)
    for pane in panes[-1]:
        pane.set_xlabel("s")
    return figure


def _draw_line(panes: Any, recording: Recording, cells: list[int]) -> None:
    rate = recording.sample_rate
    first = {cell: query for cell, query in sorted(recording.estimates, reverse=True)}
    signals = [
        recording.mixture,
        recording.reference,
        *(recording.estimates.get((cell, first.get(cell, 0))) for cell in cells),
    ]
    loudest = float(mel_spectrogram(recording.mixture, rate).max(initial=0.0)) or 1.0
    seconds = recording.mixture.shape[1] / rate
    edges = mel_edges(rate)
    ticks = [hertz for hertz in (200, 1000, 5000) if hertz < rate / 2]
    for pane, signal in zip(panes, signals, strict=True):
        pane.grid(visible=False)
        pane.set_yticks([])
        if signal is None:
            pane.set_xticks([])
            pane.text(0.5, 0.5, "not kept", ha="center", va="center", transform=pane.transAxes)
            continue
        pane.imshow(
            decibels(mel_spectrogram(signal, rate), loudest),
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, len(edges)),
            cmap=COLOURS,
            vmin=-RANGE_DB,
            vmax=0,
            interpolation="nearest",
        )
        pane.tick_params(labelsize=7)
    panes[0].set_yticks(
        [float(np.searchsorted(edges, hertz)) for hertz in ticks],
        [f"{hertz / 1000:g}" for hertz in ticks],
    )
