"""Refusals of setting values, worded alike for every baseline."""

from __future__ import annotations

import math

from sepbench.harness.errors import SettingError


def whole_number(baseline: str, setting: str, value: object, *, low: int, high: int) -> int:
    """A whole number within [low, high].

    Raises:
        SettingError: it is not one.
    """
    # bool is an int to Python, and never meant as a number by whoever writes it.
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingError(
            f"Baseline {baseline}: {setting}={value!r} is not possible. "
            f"Give a whole number from {low} to {high}."
        )
    return value


def number(baseline: str, setting: str, value: object, *, low: float, high: float) -> float:
    """A finite number within [low, high].

    Raises:
        SettingError: it is not one.
    """
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]  # `good` says it is a number
        raise SettingError(
            f"Baseline {baseline}: {setting}={value!r} is not possible. "
            f"Give a number from {low:g} to {high:g}."
        )
    return float(value)  # type: ignore[arg-type]  # as above


def frame_sizes(baseline: str, n_fft: object, hop: object) -> tuple[int, int]:
    """A frame length and hop from which a signal can be put together again.

    Raises:
        SettingError: `n_fft` is odd or out of range, or `hop` exceeds half of it.
    """
    size = whole_number(baseline, "n_fft", n_fft, low=16, high=65536)
    if size % 2:
        raise SettingError(
            f"Baseline {baseline}: n_fft={size} is odd. Give an even number of samples, such as "
            f"{size + 1}."
        )
    return size, whole_number(baseline, "hop", hop, low=1, high=size // 2)
