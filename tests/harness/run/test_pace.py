"""Rates and shares over the last minute."""

from __future__ import annotations

import pytest

from sepbench.harness.run.pace import Pace


def paced(points: list[tuple[float, float]]) -> Pace:
    pace = Pace()
    for along, count in points:
        pace.add(along, count)
    return pace


@pytest.mark.parametrize(
    ("points", "slope"),
    [
        ([], None),
        ([(5, 0)], None),
        ([(0, 0), (10, 0), (20, 0)], None),
        ([(0, 0), (10, 20)], 2.0),
        # Loading for a hundred seconds does not count.
        ([(0, 0), (100, 0), (110, 20)], 2.0),
        # The minute before is all that counts: 1 a second, then 3 a second.
        ([(t, max(t, 3 * t - 200)) for t in range(0, 201, 10)], 3.0),
        # An item every ten minutes has a rate, and a standstill lowers it.
        ([(0, 0), (600, 1)], 1 / 600),
        ([(0, 0), (600, 1), (1200, 1)], 1 / 1200),
        # Another run begins at nothing.
        ([(0, 0), (10, 100), (1, 0), (2, 5)], 5.0),
    ],
)
def test_the_slope_is_that_of_the_last_minute(
    points: list[tuple[float, float]], slope: float | None
) -> None:
    assert paced(points).slope == (None if slope is None else pytest.approx(slope))


def test_a_standstill_takes_no_memory() -> None:
    pace = paced([(0, 0), (1, 1), *((t, 1) for t in range(2, 100_000))])

    assert len(pace._points) <= 3
    assert pace.slope == pytest.approx(1 / 99_999)
