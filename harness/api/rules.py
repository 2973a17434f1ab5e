"""Rules under which a list is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sepbench.harness.api.words import QueryKind

Average: TypeAlias = Literal["mean", "median"]
AVERAGES: tuple[Average, ...] = ("mean", "median")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryRule:
    """Which queries a protocol asks.

    Attributes:
        kinds: in order of preference; a model gets the first kind its card supports.
        shots: audio examples per query.
        pool: name handed to `Dataset.clips`.
        draw: "seeded" draws for each item from other recordings; "first" takes the pool's first
            clips of the label for all items, as papers with one query a class do; "own" takes
            the one clip that is the target itself, the pool's clip of the name in its `cluster`:
            an upper bound for queries, as papers have it that evaluate as they train.
        template: text made of a label, with `{label}` in it; "" = the words of the label.
        prompts: label -> the text that asks for it, before the dataset's own texts.
    """

    kinds: tuple[QueryKind, ...] = ("text", "label", "audio")
    shots: int = 1
    pool: str = ""
    draw: Literal["seeded", "first", "own"] = "seeded"
    template: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregation:
    """How the items of a cell become one number of a table, inner step first.

    Attributes:
        frames: how an item's windows become its number, NaN windows left out and counted; None =
            as the metric itself does it. Metrics without windows are not concerned.
        items: over the items of a group.
        within: what makes a group: "target", or an attribute of the items ("label" is one where
            the dataset knows it); "" = all items are one group.
        groups: over the groups' numbers.
    """

    frames: Average | None = None
    items: Average = "mean"
    within: str = ""
    groups: Average = "mean"

    @property
    def words(self) -> str:
        """As captions say it."""
        steps = [f"{self.frames} over windows"] if self.frames else []
        if self.within:
            steps += [
                f"{self.items} over the items of each {self.within}",
                f"{self.groups} of those",
            ]
        else:
            steps.append(f"{self.items} over items")
        return ", then ".join(steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringProtocol:
    """Rules under which a list is scored. Data, not code: `configs/protocol/*.yaml`.

    Attributes:
        channels: "mono" downmixes by the mean over channels on reading; "native" keeps them.
        model_channels: what a mono model gets of a multichannel scene.
        metrics: ids; their versions are recorded with every score.
        aggregate: from items to one number.
    """

    name: str
    dataset: str
    list_name: str
    sample_rate: int
    metrics: tuple[str, ...]
    channels: Literal["mono", "native"] = "mono"
    model_channels: Literal["per-channel", "downmix"] = "per-channel"
    query: QueryRule = field(default_factory=QueryRule)
    aggregate: Aggregation = Aggregation()
    expected_items: int | None = None
    summary: str = ""
    published: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
