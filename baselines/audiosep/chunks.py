"""AudioSep's own way with long audio: windows of 5 s of which the middle 3 s are kept.

The original returns zeros for anything that fits into one window (its loop never runs); here such
a signal is separated as the only, and so the last, window. The windows themselves, what is kept
of each, and the result are the original's.

Source: `chunk_inference` of AudioSep, revision 944583f.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

# B batch, N samples

# Seconds before, inside and after what is kept of a window.
LEFT, CENTRE, RIGHT = 1, 3, 1


class Window(NamedTuple):
    """Samples [start, stop) are separated; of the result [kept_from, kept_to) counts."""

    start: int
    stop: int
    kept_from: int
    kept_to: int


def windows(length: int, sample_rate: int) -> Iterator[Window]:
    """The windows of a signal; their kept parts follow each other without a gap.

    Args:
        length: N.
        sample_rate: Hz.
    """
    left, step, right = (seconds * sample_rate for seconds in (LEFT, CENTRE, RIGHT))
    start = 0
    while True:
        stop = min(start + left + step + right, length)
        last = stop == length
        yield Window(start, stop, start + left if start else 0, stop if last else stop - right)
        if last:
            return
        start += step


def separate_in_windows(
    separate: Callable[[Tensor, Sequence[Tensor]], Tensor],
    mixture: Tensor,
    shifts: Sequence[Tensor],
    *,
    sample_rate: int,
    at_once: int,
) -> Tensor:
    """Estimates (B, N) of a batch, window by window; windows of equal length share a call.

    Args:
        separate: as `InferenceNetwork`: (b, n), shifts -> (b, n).
        mixture: (B, N).
        shifts: made of the conditions once, (B, …) each.
        sample_rate: Hz.
        at_once: items a call may hold, which bounds the memory.
    """
    import torch

    estimate = torch.empty_like(mixture, dtype=torch.float32)
    batch = len(mixture)
    planned = list(windows(mixture.shape[-1], sample_rate))
    for _, alike in groupby(planned, key=lambda window: window.stop - window.start):
        group = list(alike)
        step = max(1, at_once // batch)
        for first in range(0, len(group), step):
            some = group[first : first + step]
            audio = torch.cat([mixture[:, window.start : window.stop] for window in some])
            repeated = [shift.repeat(len(some), *(1,) * (shift.ndim - 1)) for shift in shifts]
            found = torch.split(separate(audio, repeated), batch)
            for window, part in zip(some, found, strict=True):
                inside = slice(window.kept_from - window.start, window.kept_to - window.start)
                estimate[:, window.kept_from : window.kept_to] = part[:, inside]
    return estimate
