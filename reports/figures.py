"""Figures for papers: box plots, bars by class, quality against cost, spectrogram grids.

Each is written as PDF, SVG and PNG, without dates and with fixed ids, so that the same board gives
the same bytes. Needs the board's items; spectrogram grids also its audio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.aggregate import Column, Row, Table
from sepbench.harness.averages import Sample, bootstrap_intervals
from sepbench.harness.resampling import Recordings
from sepbench.reports.contract import CellItems, Leaderboard, ProtocolItems
from sepbench.reports.spectrogram_grid import short_name, spectrogram_grid

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Floats = npt.NDArray[np.float64]

KINDS = ("pdf", "svg", "png")
PALETTE = ("#4269d0", "#e08a00", "#e5484d", "#159a9c", "#3ca951", "#d6409f", "#8e4ec6", "#9c6b4e")
BOUND = "#8b929c"
INK = "#1b1e23"
MOST_CLASSES = 30
_AROUND = ((7, 4), (7, -10), (-7, 4), (-7, -10), (7, 14), (7, -20), (-7, 14), (-7, -20))
MOST_POINTS = 1000  # of a row; more dots than that are a smear
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
                    figures["spectrograms"] = spectrogram_grid(board, table, items)
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


def _name(row: Row) -> str:
    """As figures call a row; what was not scored on all items says so."""
    return short_name(row.label) + (" (partial)" if row.scored < row.expected else "")


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
    """A box a row; with many items, whiskers to the outer percentiles instead of dots."""
    series = _series(table, column, items)
    if not series:
        return None
    figure, axes = _figure(5.2, 1.1 + 0.42 * len(series))
    colours = _colours(table)
    finite = [values[np.isfinite(values)] for _, _, values in series]
    many = max(len(values) for values in finite) > MOST_POINTS
    parts = axes.boxplot(
        finite,
        orientation="horizontal",
        tick_labels=[_name(row) for row, _, _ in series],
        patch_artist=True,
        widths=0.55,
        whis=(1, 99) if many else 1.5,
        showfliers=not many,
        showmeans=True,
        medianprops={"color": INK, "linewidth": 1.4},
        meanprops={
            "marker": "D",
            "markersize": 4,
            "markerfacecolor": "white",
            "markeredgecolor": INK,
        },
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": BOUND},
    )
    for box, (row, _, _) in zip(parts["boxes"], series, strict=True):
        box.set(facecolor=colours[row.cell_id], alpha=0.55)
    axes.invert_yaxis()
    axes.axvline(0, color=BOUND, linewidth=0.8, zorder=0)
    reach = "1st to 99th percentile" if many else "1.5 interquartile ranges"
    axes.set(title=_title(table))
    axes.set_xlabel(
        f"{_axis(column)}\nbox: quartiles, diamond: mean, whiskers: {reach}", fontsize=8
    )
    axes.grid(visible=False, axis="y")
    return figure


def _classes(table: Table, column: Column, items: ProtocolItems) -> Figure | None:
    """Means by class with 95 % intervals over recordings, the easiest class first."""
    series = [s for s in _series(table, column, items) if s[0].role == "model"]
    names, known = _shown_classes(items)
    if len(names) < 2 or not series:
        return None
    colours = _colours(table)
    width = 0.8 / len(series)
    means = [_class_means(cell, values, items, names) for _, cell, values in series]
    ease = [np.array([m for m, _, _ in each]) for each in zip(*means, strict=True)]
    there = [place for place, of in enumerate(ease) if not np.isnan(of).all()]
    order = sorted(there, key=lambda place: -float(np.nanmean(ease[place])))
    if len(order) < 2:
        return None
    figure, axes = _figure(max(5.2, (0.16 * len(series) + 0.3) * len(order) + 1.5), 3.3)
    for k, ((row, _, _), of) in enumerate(zip(series, means, strict=True)):
        places = np.arange(len(order)) + (k - (len(series) - 1) / 2) * width
        middle, low, high = np.array([of[place] for place in order]).T
        axes.bar(places, middle, width, label=_name(row), color=colours[row.cell_id])
        axes.errorbar(
            places,
            middle,
            yerr=(middle - low, high - middle),
            fmt="none",
            ecolor=INK,
            elinewidth=0.8,
        )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(
        np.arange(len(order)),
        [short_name(names[place]) for place in order],
        rotation=40,
        ha="right",
    )
    part = f", the {len(names)} largest of {known} classes" if known > len(names) else ""
    axes.set(ylabel=_axis(column), title=f"{_title(table)}: mean by class, 95 % intervals{part}")
    axes.grid(visible=False, axis="x")
    axes.legend(frameon=False, fontsize=8, ncols=max(1, len(series) // 2))
    return figure


def _shown_classes(items: ProtocolItems) -> tuple[list[str], int]:
    """The classes with the most targets, and how many classes there are."""
    counts = Counter(target.label or target.target for target in items.targets)
    shown = sorted(counts, key=lambda name: (-counts[name], name))[:MOST_CLASSES]
    return sorted(shown), len(counts)


def _class_means(
    cell: CellItems, values: Floats, items: ProtocolItems, names: Sequence[str]
) -> list[tuple[float, float, float]]:
    """Mean and interval of each class; NaN for a class without, the mean for no interval."""
    targets = [items.targets[place] for place in cell.targets]
    recordings = Recordings(target.cluster for target in targets)
    codes = recordings.codes([target.cluster for target in targets])
    classes = np.array([target.label or target.target for target in targets], dtype=object)
    use = [np.isfinite(values) & (classes == name) for name in names]
    samples = [Sample(values=values[each], clusters=codes[each]) for each in use]
    found = []
    for sample, interval in zip(samples, bootstrap_intervals(samples, recordings), strict=True):
        mean = float(np.mean(sample.values)) if len(sample.values) else float("nan")
        found.append((mean, *(interval or (mean, mean))))
    return found


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
    for row in table.rows:
        level = row.cells[column.name].value if column.name in row.cells else None
        if row.role != "model" and level is not None:
            axes.axhline(level, color=BOUND, linestyle="--", linewidth=0.8)
            axes.annotate(
                short_name(row.label),
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
    _annotate(figure, axes, [(_name(row), cost, value) for row, _, value, cost in drawn])
    return figure


def _annotate(figure: Figure, axes: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Names beside points, each in the first place around its point where nothing else is."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # places are known from here on
    where = axes.transData.transform([(x, y) for _, x, y in points])
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in where]
    for name, x, y in points:
        text = axes.annotate(name, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=8)
        text.set_in_layout(False)  # or the places would not be those any more
        for across, up in (*_AROUND, _AROUND[0]):  # the first again where all are taken
            text.set(position=(across, up), ha="left" if across > 0 else "right")
            box = text.get_window_extent()
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
