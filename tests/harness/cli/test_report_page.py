"""`bench report --heard` and `--item`: how much of the page can be heard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.machine import run

Bench = Callable[..., Any]
KIT = ["datasets.kit.scenes=3", "metrics=[sdr]", "keep_audio=true"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Three scenes of two targets, all estimates kept."""
    run(tmp_path / "work", settings=KIT)
    return tmp_path / "work"


def drawn(work: Path) -> list[str]:
    media = work / "reports" / "html" / "media"
    return sorted(path.parent.name for path in media.glob("*/*/mixture.png"))


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ([], ["0", "1", "2", "3", "4", "5"]),
        (["--heard", "2"], ["0", "1"]),
        (["--heard", "0"], []),
        (["--heard", "all"], ["0", "1", "2", "3", "4", "5"]),
        (["--heard", "0", "--item", "scene-00001~rain"], ["3"]),
        (["--heard", "1", "--item", "scene-00001~rain", "--item", "scene-00002~dog"], list("034")),
    ],
)
def test_as_many_targets_are_drawn_as_were_asked_for(
    bench: Bench, work: Path, options: list[str], places: list[str]
) -> None:
    done = bench("report", "-w", work, "--format", "html", *options)

    assert done.code == 0
    assert done.out.strip() == str(work / "reports" / "html" / "index.html")
    assert drawn(work) == places


def test_asking_for_more_to_hear_asks_for_the_page(bench: Bench, work: Path) -> None:
    done = bench("report", "-w", work, "--heard", "1", "--format", "csv")

    assert [Path(line).name for line in done.out.splitlines()] == ["leaderboard.csv", "index.html"]


@pytest.mark.parametrize("number", ["-1", "some", "1.5", "²", ""])
def test_a_number_of_targets_that_is_none_is_refused(bench: Bench, work: Path, number: str) -> None:
    done = bench("report", "-w", work, "--heard", number)

    assert done.code == 2
    assert "give a number of targets, 0 or more, or all" in done.err


def test_an_item_that_is_not_there_is_refused(bench: Bench, work: Path) -> None:
    done = bench("report", "-w", work, "--item", "scene-00001~cat")

    assert done.code == 2
    assert "No item 'scene-00001~cat' with a kept estimate" in done.err
    assert drawn(work) == []
