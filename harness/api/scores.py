"""Facts about a metric, and what a score can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sepbench.harness.api.words import Attribute


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricCard:
    """Facts about one metric id.

    Attributes:
        version: raise it when a value changes; versions never share a column.
        parameters: what besides the version fixes the number (filter length, window, …).
        improvement: id of the column made by subtracting the mixture's value; None = none.
        scope: "scene" needs every estimate of the scene at once.
        noise_floor: dB above which values are rounding noise, shown as ">60" and averaged
            as that number; None = no such limit.
    """

    metric_id: str
    version: int
    title: str
    unit: str = "dB"
    higher_is_better: bool = True
    range: str = "(-inf, +inf)"
    min_samples: int = 1
    parameters: Mapping[str, Attribute] = field(default_factory=dict)
    needs_all_references: bool = False
    scope: Literal["item", "scene"] = "item"
    improvement: str | None = None
    noise_floor: float | None = None
    defined_for_mixture: bool = True
    silence: str = ""
    formula: str = ""
    source: str = ""

    @property
    def identity(self) -> str:
        """`id@version`, as tables and records name it."""
        return f"{self.metric_id}@{self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Undefined:
    """A score that does not exist, and why."""

    cause: Literal["reference", "estimate"]
    reason: str


class Framewise(float):
    """A score made of windows, with the windows' own values.

    Attributes:
        frames: one dB value a window in the order of time; NaN = undefined in that window.
    """

    frames: tuple[float, ...]

    def __new__(cls, value: float, frames: Sequence[float]) -> Framewise:
        """A finite or infinite value and its windows."""
        made = super().__new__(cls, value)
        made.frames = tuple(float(frame) for frame in frames)
        return made

    def __reduce__(self) -> tuple[type[Framewise], tuple[float, tuple[float, ...]]]:
        """Scores cross process borders."""
        return Framewise, (float(self), self.frames)


Value: TypeAlias = float | Undefined
