"""Where detectors hear a class in one clip, with answers known by hand."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sepbench.harness.api import EncoderCard
from sepbench.harness.errors import BaselineError, BenchError, QueryError
from sepbench.harness.probing.location_picture import draw_locations
from sepbench.harness.probing.locations import (
    Location,
    Locations,
    locate,
    render_locations,
    write_locations,
)

RATE = 100


class Stairs:
    """Hears class k with probability k / 10 in general, and with 1 in its own second."""

    card = EncoderCard(name="stairs", kind="audio", dimension=5, sample_rate=RATE)
    class_names = ("a", "b", "c", "d", "e")

    def load(self, device: str) -> None:
        """Nothing to load."""

    def clipwise(self, clips: Any) -> torch.Tensor:
        return torch.arange(5).expand(len(clips), 5) / 10

    def locate(self, clip: torch.Tensor, class_index: int) -> Any:
        if class_index == 4:
            raise QueryError("Encoder stairs: the clip is too short.")
        framewise = torch.full((50,), class_index / 10)
        framewise[class_index * 10 : (class_index + 1) * 10] = 1.0
        return SimpleNamespace(start=class_index, end=class_index + 1.0, framewise=framewise)


SIGNAL = torch.zeros(5 * RATE)


def row(**changes: Any) -> Location:
    facts = {
        **{"detector": "stairs", "event": "b", "start": 1.0, "end": 2.0},
        **{"in_clip": 0.1, "in_segment": 1.0, "framewise": np.linspace(0, 1, 50)},
    }
    return Location(**(facts | changes))


def test_a_class_has_its_place_and_its_probability_there() -> None:
    (found,) = locate("mine", Stairs(), SIGNAL, RATE, [2])

    assert (found.detector, found.event, found.start, found.end) == ("mine", "c", 2.0, 3.0)
    assert found.in_clip == pytest.approx(0.2)
    assert found.in_segment == pytest.approx(1.0)


def test_without_classes_the_likeliest_come_first() -> None:
    class Deaf(Stairs):
        def clipwise(self, clips: Any) -> torch.Tensor:
            return torch.tensor([[0.1, 0.9, 0.3, 0.2, 0.0]])

    found = locate("mine", Deaf(), SIGNAL, RATE)

    assert [each.event for each in found] == ["b", "c", "d"]


def test_a_segment_shorter_than_a_step_takes_the_nearest() -> None:
    class Brief(Stairs):
        def locate(self, clip: torch.Tensor, class_index: int) -> Any:
            return SimpleNamespace(start=4.9999, end=5.0, framewise=torch.linspace(0, 1, 5))

    (found,) = locate("mine", Brief(), SIGNAL, RATE, [0])

    assert found.in_segment == 1.0


def test_a_detectors_own_refusal_is_passed_on_and_its_crash_named() -> None:
    class Broken(Stairs):
        def locate(self, clip: torch.Tensor, class_index: int) -> Any:
            raise RuntimeError("out of luck")

    with pytest.raises(QueryError, match="too short"):
        locate("mine", Stairs(), SIGNAL, RATE, [4])
    with pytest.raises(BaselineError, match=r"'mine' failed .* RuntimeError: out of luck"):
        locate("mine", Broken(), SIGNAL, RATE, [0])


def test_the_table_is_aligned_with_notes_below() -> None:
    found = Locations(clip="dog.wav", seconds=5.0, rows=(row(),), notes=("no class for x.",))

    assert render_locations(found).splitlines() == [
        "dog.wav · 5.00 s (probabilities of a class)",
        "",
        "Detector  Class  Start s  End s  In clip  In segment",
        "stairs    b         1.00   2.00    0.100       1.000",
        "",
        "no class for x.",
    ]


def test_a_csv_has_a_row_a_class(tmp_path: Path) -> None:
    path = tmp_path / "locations.csv"

    write_locations(path, Locations(clip="a, b.wav", seconds=5.0, rows=(row(), row(event="c"))))

    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [each["class"] for each in rows] == ["b", "c"]
    assert rows[0]["clip"] == "a, b.wav"
    assert float(rows[0]["in_clip"]) == 0.1
    with pytest.raises(BenchError, match="cannot be written"):
        write_locations(tmp_path / "none" / "a.csv", Locations(clip="a", seconds=1.0, rows=()))


def test_a_clip_is_drawn_with_a_row_a_detector(tmp_path: Path) -> None:
    rows = (row(), row(event="c", start=3.0, end=4.0), row(detector="other"))
    samples = np.sin(np.arange(500)).astype(np.float32)

    draw_locations(
        tmp_path / "a.png", samples, Locations(clip="dog.wav", seconds=5.0, rows=rows[:2])
    )
    draw_locations(tmp_path / "b.png", samples, Locations(clip="dog.wav", seconds=5.0, rows=rows))

    heights = [
        int.from_bytes((tmp_path / name).read_bytes()[20:24], "big") for name in ("a.png", "b.png")
    ]
    assert heights[0] < heights[1]
