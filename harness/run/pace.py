"""How fast something goes lately: a sliding window over two counters that only grow."""

from __future__ import annotations

from collections import deque

SECONDS = 60.0


class Pace:
    """The slope of one counter over another in the last minute.

    Items over seconds is a rate; busy seconds over seconds with a model is a share. The window
    grows as far as it must to hold some progress, so slow models have a rate too; what came before
    the first progress (starting, loading) does not count.

    Args:
        window: how far back, in units of the counter below.
    """

    def __init__(self, window: float = SECONDS) -> None:
        self._window = window
        self._points: deque[tuple[float, float]] = deque()

    def add(self, along: float, count: float) -> None:
        """Note where both counters are."""
        points = self._points
        if points and (along < points[-1][0] or count < points[-1][1]):
            points.clear()  # another run
        if len(points) == 1 and points[0][1] == count:
            points.clear()  # nothing has happened yet
        if len(points) > 1 and points[-1][1] == points[-2][1] == count:
            points.pop()  # a standstill is its two ends
        points.append((along, count))
        while len(points) > 2 and points[1][0] <= along - self._window and points[1][1] < count:
            points.popleft()

    @property
    def slope(self) -> float | None:
        """None before any progress."""
        if len(self._points) < 2:
            return None
        (start, before), (end, now) = self._points[0], self._points[-1]
        return (now - before) / (end - start) if end > start else None
