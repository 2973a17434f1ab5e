"""The two shapes a baseline can have, its card, and what may follow it for a whole scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from sepbench.harness.api.words import Query, QueryKind

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineCard:
    """Facts about a separator. Only `name` is needed.

    Attributes:
        version: raise it when the estimates change; scores of two versions never mix.
        query_kinds: what it can be asked with; empty means it needs no query (bounds).
            "text+audio" means a text and examples in one query, which is asked on demand only.
        sample_rate: Hz the model works at; None means any rate, so nothing is resampled.
        channels: 1 runs each channel by itself; None means any number together.
        needs_references: an oracle that is handed the true sources.
        joint: all queries of a scene must come in one call.
        chunking: "harness" cuts long audio with overlap and cross-fade; "own" means the model
            has a published rule of its own; "none" always gets the whole signal.
        min_samples: shortest input in samples at `sample_rate`; shorter ones are zero-padded.
        role: "lower" and "upper" bounds stand apart in tables.
    """

    name: str
    version: str = "1"
    summary: str = ""
    query_kinds: tuple[QueryKind, ...] = ()
    sample_rate: int | None = None
    channels: int | None = 1
    needs_references: bool = False
    joint: bool = False
    chunking: Literal["harness", "own", "none"] = "harness"
    min_samples: int = 1
    role: Literal["model", "lower", "upper"] = "model"
    generative: bool = False
    licence: str = ""
    paper: str = ""
    training_data: tuple[str, ...] = ()


@runtime_checkable
class QuerySeparator(Protocol):
    """One answer per query; the harness resamples, cuts, batches and caches conditions.

    `separate` may also take a keyword `seeds` (one int per item): the harness passes it to
    generative models only where the signature has it.
    """

    card: BaselineCard

    def load(self, device: str) -> None:
        """Put weights on the device. Nothing heavy before this call."""
        ...

    def condition(self, queries: Sequence[Query]) -> Sequence[Any]:
        """One condition per query; tensors of equal shape are stacked by the harness."""
        ...

    def separate(self, mixture: Tensor, condition: Any) -> Tensor:
        """Estimates for a batch.

        Args:
            mixture: (B, C, N) at `card.sample_rate`.
            condition: (B, …) stacked conditions.

        Returns:
            (B, C, N), same rate, same length.
        """
        ...


@runtime_checkable
class SceneSeparator(Protocol):
    """Everything about a scene at once: oracles, all-stems models, outside programs."""

    card: BaselineCard

    def load(self, device: str) -> None:
        """Put weights on the device. Nothing heavy before this call."""
        ...

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """Estimates for all queries of one scene.

        Args:
            mixture: (C, N) at `card.sample_rate` (or the protocol's rate where that is None).
            queries: Q queries.
            references: (Q, C, N), the true target of each query, only where
                `card.needs_references`; silence for an absent target.
            seeds: one per query.

        Returns:
            (Q, C, N).
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PostprocessCard:
    """Facts about a postprocess.

    Attributes:
        version: raise it when what it computes changes.
    """

    name: str
    version: str = "1"
    summary: str = ""
    paper: str = ""


@runtime_checkable
class Postprocess(Protocol):
    """A step over all estimates of a scene together, after whichever model made them.

    Chosen with models.NAME.postprocess. It is only asked where the queries of a scene ask for
    every one of its sources, once each.
    """

    card: PostprocessCard

    def process(self, mixture: Tensor, estimates: Tensor, *, sample_rate: int) -> Tensor:
        """New estimates.

        Args:
            mixture: (C, N).
            estimates: (Q, C, N), Q ≥ 2, of all sources of the mixture.
            sample_rate: Hz of both: the protocol's.

        Returns:
            (Q, C, N).
        """
        ...
