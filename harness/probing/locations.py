"""Where in one clip a detector hears a class: found, as aligned text, and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.errors import STRANGER_ERRORS, BaselineError, BenchError
from sepbench.harness.probing.events import EventLocator

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    Floats = npt.NDArray[np.float64]

# N samples, T steps of time, E event classes

LIKELIEST = 3  # classes that are located where none is asked for
CSV_COLUMNS = ("clip", "detector", "class", "start", "end", "in_clip", "in_segment")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Location:
    """A class in a clip.

    Attributes:
        start: seconds.
        end: seconds.
        in_clip: probability that the class sounds anywhere in the clip.
        in_segment: mean of `framewise` between start and end.
        framewise: (T,) probabilities over the clip, in equal steps.
    """

    detector: str
    event: str
    start: float
    end: float
    in_clip: float
    in_segment: float
    framewise: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Locations:
    """All classes and detectors of one clip.

    Attributes:
        seconds: length of the clip.
        errors: detector -> why it located nothing.
        notes: lines of text below the table.
    """

    clip: str
    seconds: float
    rows: tuple[Location, ...]
    errors: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every detector answered."""
        return not self.errors


def locate(
    label: str,
    detector: EventLocator,
    signal: Tensor,
    sample_rate: int,
    classes: Sequence[int] = (),
) -> list[Location]:
    """Where classes sound in a clip, in the order they are given.

    Args:
        label: of the detector.
        detector: its weights loaded.
        signal: (N,) at the detector's rate.
        sample_rate: Hz.
        classes: numbers of the detector's classes; none = the likeliest of the clip.

    Raises:
        BaselineError: the detector failed, or its answers are none.
        BenchError: the detector's own named errors.
    """
    try:
        heard = np.asarray(detector.clipwise([signal])[0].detach().cpu().numpy(), np.float64)
        wanted = list(classes) or np.argsort(-heard, kind="stable")[:LIKELIEST].tolist()
        found = [(each, detector.locate(signal, each)) for each in wanted]
        rows = [
            Location(
                detector=label,
                event=detector.class_names[each],
                start=float(segment.start),
                end=float(segment.end),
                in_clip=float(heard[each]),
                in_segment=_mean(
                    framewise := np.asarray(segment.framewise.detach().cpu().numpy(), np.float64),
                    segment.start,
                    segment.end,
                    len(signal) / sample_rate,
                ),
                framewise=framewise,
            )
            for each, segment in found
        ]
    except BenchError:
        raise
    except STRANGER_ERRORS as error:  # a detector may come from anywhere
        raise BaselineError(
            f"Detector '{label}' failed on the clip: {type(error).__name__}: {error}"
        ) from error
    return rows


def render_locations(found: Locations) -> str:
    """Aligned text, ending with a line break."""
    lines = [["Detector", "Class", "Start s", "End s", "In clip", "In segment"]]
    lines += [
        [
            *(row.detector, row.event, f"{row.start:.2f}", f"{row.end:.2f}"),
            *(f"{row.in_clip:.3f}", f"{row.in_segment:.3f}"),
        ]
        for row in found.rows
    ]
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = [f"{found.clip} · {found.seconds:.2f} s (probabilities of a class)", ""]
    text += [
        "  ".join(
            cell.ljust(width) if k < 2 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([*text, *([""] if found.notes else []), *found.notes]) + "\n"


def write_locations(path: Path, found: Locations) -> None:
    """One row a detector and class.

    Raises:
        BenchError: the file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(CSV_COLUMNS)
            for row in found.rows:
                numbers = (row.start, row.end, row.in_clip, row.in_segment)
                writer.writerow([found.clip, row.detector, row.event, *numbers])
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror or error}.") from error


def _mean(framewise: Floats, start: float, end: float, seconds: float) -> float:
    """Mean over the steps that begin in the segment; of the nearest one in a segment without."""
    steps = len(framewise)
    first = min(round(start / seconds * steps), steps - 1)
    last = max(round(end / seconds * steps), first + 1)
    return float(framewise[first:last].mean())
