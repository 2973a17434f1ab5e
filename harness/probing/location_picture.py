"""A clip over time, and below it what each detector hears of each class, its segment shaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.probing.locations import Location, Locations
from sepbench.harness.probing.picture import new_figure, save

if TYPE_CHECKING:
    import numpy.typing as npt

MOST_COLUMNS = 2000  # of the waveform's outline: more than the picture has dots


def draw_locations(path: Path, samples: npt.NDArray[np.float32], found: Locations) -> None:
    """The picture of a clip as PNG: a row a detector, a line a class.

    Args:
        path: of the file; its folder exists.
        samples: (N,) of the clip.
        found: at least one row.

    Raises:
        MissingExtraError: matplotlib is not installed.
        BenchError: the file cannot be written.
    """
    detectors = list(dict.fromkeys(row.detector for row in found.rows))
    events = list(dict.fromkeys(row.event for row in found.rows))
    figure, colormaps = new_figure(9, 1.6 + 2.2 * len(detectors))
    wave, *rest = figure.subplots(
        1 + len(detectors),
        1,
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": [1.2, *[2.2] * len(detectors)]},
    )[:, 0]
    _outline(wave, samples, found.seconds)
    wave.set_title(Path(found.clip).name)
    colours = colormaps["tab10"]
    for axes, detector in zip(rest, detectors, strict=True):
        for row in (row for row in found.rows if row.detector == detector):
            _line(axes, row, found.seconds, colours(events.index(row.event) % 10))
        axes.set_ylim(0, 1)
        axes.set_ylabel(detector)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    rest[-1].set_xlim(0, found.seconds)
    rest[-1].set_xlabel("seconds")
    save(figure, path)


def _outline(axes: Any, samples: npt.NDArray[np.float32], seconds: float) -> None:
    """Smallest and largest sample of each column."""
    parts = np.array_split(samples, min(MOST_COLUMNS, len(samples)))
    time = (np.arange(len(parts)) + 0.5) * seconds / len(parts)
    low, high = [part.min() for part in parts], [part.max() for part in parts]
    axes.fill_between(time, low, high, color="0.4", linewidth=0)
    axes.set_yticks([])


def _line(axes: Any, row: Location, seconds: float, colour: Any) -> None:
    time = (np.arange(len(row.framewise)) + 0.5) * seconds / len(row.framewise)
    label = f"{row.event} {row.start:.2f}–{row.end:.2f} s"
    axes.plot(time, row.framewise, color=colour, linewidth=1.2, label=label)
    axes.axvspan(row.start, row.end, color=colour, alpha=0.12, linewidth=0)
