"""Rules under which a list is scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sepbench.harness.api.words import QueryKind


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryRule:
    """Which queries a protocol asks.

    Attributes:
        kinds: in order of preference; a model gets the first kind its card supports.
        shots: audio examples per query.
        pool: name handed to `Dataset.clips`.
        template: text made of a label, with `{label}` in it; "" = the words of the label.
    """

    kinds: tuple[QueryKind, ...] = ("text", "label", "audio")
    shots: int = 1
    pool: str = ""
    template: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringProtocol:
    """Rules under which a list is scored. Data, not code: `configs/protocol/*.yaml`.

    Attributes:
        channels: "mono" downmixes by the mean over channels on reading; "native" keeps them.
        model_channels: what a mono model gets of a multichannel scene.
        metrics: ids; their versions are recorded with every score.
        aggregate: "mean" or "median" over items.
    """

    name: str
    dataset: str
    list_name: str
    sample_rate: int
    metrics: tuple[str, ...]
    channels: Literal["mono", "native"] = "mono"
    model_channels: Literal["per-channel", "downmix"] = "per-channel"
    query: QueryRule = field(default_factory=QueryRule)
    aggregate: Literal["mean", "median"] = "mean"
    expected_items: int | None = None
    summary: str = ""
    published: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
