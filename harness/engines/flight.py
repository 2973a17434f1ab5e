"""A scene on its way through the processes: its blocks, and how far each item has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sepbench.harness.engines.arena import Block
from sepbench.harness.engines.children import (
    ItemMessage,
    PairMessage,
    SceneMessage,
    ScoreScene,
)
from sepbench.harness.engines.contract import CellJob, SceneWork
from sepbench.harness.engines.outcomes import outcome_of
from sepbench.harness.records import Failure, ItemOutcome
from sepbench.harness.stages.load import LoadedScene
from sepbench.harness.stages.requests import PairResult
from sepbench.harness.stages.score import ItemScores


@dataclass(kw_only=True, slots=True, eq=False)
class Flight:
    """One scene in flight.

    Attributes:
        loaded: facts of the scene; its audio lives in the blocks.
        estimates: one block an item.
        waiting: indices of items still to be separated.
        abandoned: indices whose model was given up before it came to them.
        lane_deaths: index -> separation processes that ended while they held the item.
        scorer_deaths: scoring processes that ended while they held this scene.
    """

    job: CellJob
    work: SceneWork
    loaded: LoadedScene
    mixture: Block
    sources: dict[str, Block]
    estimates: list[Block]
    waiting: list[int]
    pairs: list[PairResult] = field(default_factory=list)
    peak_memory: int = 0
    lane_deaths: Counter[int] = field(default_factory=Counter)
    scorer_deaths: int = 0
    abandoned: set[int] = field(default_factory=set)

    def abandon(self) -> None:
        """Leave the items that are still waiting unrecorded, for another run."""
        self.abandoned.update(self.waiting)
        self.waiting.clear()

    @property
    def blocks(self) -> list[Block]:
        """All blocks it holds."""
        return [self.mixture, *self.sources.values(), *self.estimates]

    def scene_message(self, indices: Sequence[int]) -> SceneMessage:
        """What the separation process is told."""
        return SceneMessage(
            mixture=self.mixture,
            sample_rate=self.loaded.sample_rate,
            downmix=self.job.protocol.model_channels == "downmix",
            pairs=tuple(
                PairMessage(
                    query=self.work.items[i].query,
                    seed=self.work.items[i].seed,
                    out=self.estimates[i],
                    reference=self._reference(i) if self.job.needs_references else None,
                )
                for i in indices
            ),
        )

    @property
    def scorable(self) -> list[int]:
        """Indices of items with an estimate that the metrics look at; none for context alone."""
        found = [
            i
            for i, item in enumerate(self.work.items)
            if self.pairs[i].failure is None and item.scored and i not in self.abandoned
        ]
        return found if any(self.work.items[i].metrics for i in found) else []

    def score_message(self) -> ScoreScene:
        """What a scorer is told."""
        items = self.work.items
        return ScoreScene(
            mixture=self.mixture,
            sources=self.sources,
            items=tuple(
                ItemMessage(
                    target=items[i].target,
                    reference=self._reference(i),
                    estimate=self.estimates[i],
                    metrics=items[i].metrics,
                    check=items[i].check,
                    text=items[i].query.words or None,
                    context=items[i].context,
                )
                for i in self.scorable
            ),
            sample_rate=self.loaded.sample_rate,
            keep=self.job.keep,
        )

    def outcomes(self, scored: Sequence[ItemScores]) -> list[ItemOutcome]:
        """The records of all items, given the scores of the scorable ones in their order."""
        by_index = dict(zip(self.scorable, scored, strict=True))
        return [
            outcome_of(
                self.job,
                item,
                loaded=self.loaded,
                pair=self.pairs[i],
                scored=by_index.get(i),
                peak_memory=self.peak_memory,
            )
            for i, item in enumerate(self.work.items)
            if item.metrics and i not in self.abandoned
        ]

    def failed(self, failure: Failure) -> list[ItemOutcome]:
        """The records when scoring could not be done at all."""
        return self.outcomes([ItemScores(failure=failure)] * len(self.scorable))

    def _reference(self, index: int) -> Block | None:
        item = self.work.items[index]
        return None if item.absent else self.sources[item.target]
