"""Refusals of setting values, worded alike for every baseline and for every recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sepbench.harness.api.training import RecipeFacts
from sepbench.harness.errors import SettingError

MOST_SIZES = 12  # halvings of the longest frame that leave something of it
LARGEST_SIZE = 8192  # a convolution between two of them holds 2.4 GB
LONGEST_FRAME = 65_536


def whole_number(baseline: str, setting: str, value: object, *, low: int, high: int) -> int:
    """A whole number within [low, high].

    Raises:
        SettingError: it is not one.
    """
    return _whole_number(f"Baseline {baseline}: {setting}", value, low=low, high=high)


def number(baseline: str, setting: str, value: object, *, low: float, high: float) -> float:
    """A finite number within [low, high].

    Raises:
        SettingError: it is not one.
    """
    return _number(f"Baseline {baseline}: {setting}", value, low=low, high=high)


def frame_sizes(baseline: str, n_fft: object, hop: object) -> tuple[int, int]:
    """A frame length and hop from which a signal can be put together again.

    Raises:
        SettingError: `n_fft` is odd or out of range, or `hop` exceeds half of it.
    """
    size = whole_number(baseline, "n_fft", n_fft, low=16, high=LONGEST_FRAME)
    if size % 2:
        raise SettingError(
            f"Baseline {baseline}: n_fft={size} is odd. Give an even number of samples, such as "
            f"{size + 1}."
        )
    return size, whole_number(baseline, "hop", hop, low=1, high=size // 2)


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The refusals of one recipe, by the keys as its user gives them.

    Attributes:
        recipe: its name.
    """

    recipe: str

    def whole_number(
        self, key: str, value: object, *, low: int, high: int, multiple: int = 1
    ) -> int:
        """A whole number within [low, high].

        Args:
            key: under `network`.
            value: as given.
            low: smallest.
            high: largest.
            multiple: of which it has to be one.

        Raises:
            SettingError: it is not one.
        """
        return _whole_number(self._at(key), value, low=low, high=high, multiple=multiple)

    def number(self, key: str, value: object, *, low: float, high: float) -> float:
        """A finite number within [low, high].

        Raises:
            SettingError: it is not one.
        """
        return _number(self._at(key), value, low=low, high=high)

    def sizes(
        self, key: str, value: object, *, fewest: int = 1, most: int = MOST_SIZES
    ) -> tuple[int, ...]:
        """A list of `fewest` to `most` whole numbers above 0.

        Raises:
            SettingError: it is not one.
        """
        listed = isinstance(value, Sequence) and not isinstance(value, str)
        given = list(value) if listed else []  # type: ignore[call-overload]  # `listed` says so
        if not fewest <= len(given) <= most or not all(map(_is_size, given)):
            count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            example = ",".join(["8"] * max(fewest, 2))
            raise SettingError(
                f"{self._at(key)}={value!r} is not possible. Give a list of {count} whole numbers "
                f"from 1 to {LARGEST_SIZE}, such as network.{key}=[{example}]."
            )
        return tuple(given)

    def frame(self, n_fft: object, *, widths: Sequence[int], multiple: int) -> int:
        """A frame length that a U-Net can halve as often as it has blocks.

        Args:
            n_fft: as given.
            widths: of the blocks.
            multiple: of which so many blocks take one.

        Raises:
            SettingError: it is out of range, or no such multiple.
        """
        size = self.whole_number("n_fft", n_fft, low=16, high=LONGEST_FRAME)
        if size % multiple:
            raise SettingError(
                f"{self._at('n_fft')}={size} does not fit {len(widths)} widths. Give a multiple "
                f"of {multiple}, or fewer of network.widths."
            )
        return size

    def refuse_length(self, facts: RecipeFacts, *, shortest: int, longest: int = 0) -> None:
        """Refuse examples that the network cannot hear.

        Args:
            facts: of the data.
            shortest: samples of an example.
            longest: likewise; 0 for any.

        Raises:
            SettingError: they are too short or too long.
        """
        rate = facts.sample_rate
        given = f"Recipe {self.recipe}: data.seconds={facts.segment / rate:g}"
        if facts.segment < shortest:
            least = math.ceil(1000 * shortest / rate) / 1000
            raise SettingError(f"{given} is too short for the network. Give {least:g} or more.")
        if longest and facts.segment > longest:
            most = math.floor(1000 * longest / rate) / 1000
            raise SettingError(f"{given} is too long for the network. Give {most:g} or less.")

    def _at(self, key: str) -> str:
        return f"Recipe {self.recipe}: network.{key}"


def _whole_number(what: str, value: object, *, low: int, high: int, multiple: int = 1) -> int:
    # bool is an int to Python, and never meant as a number by whoever writes it.
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not low <= value <= high or value % multiple:  # type: ignore[operator]  # `whole` says it is one
        kind = "whole number" if multiple == 1 else f"multiple of {multiple}"
        raise SettingError(f"{what}={value!r} is not possible. Give a {kind} from {low} to {high}.")
    return int(value)  # type: ignore[call-overload, no-any-return]  # as above


def _number(what: str, value: object, *, low: float, high: float) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]  # `good` says it is a number
        raise SettingError(
            f"{what}={value!r} is not possible. Give a number from {low:g} to {high:g}."
        )
    return float(value)  # type: ignore[arg-type]  # as above


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_SIZE
