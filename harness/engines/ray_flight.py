"""A scene on its way through a Ray cluster: references to its audio instead of the audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sepbench.harness.engines.arena import Block
from sepbench.harness.engines.contract import CellJob, SceneWork, Sink
from sepbench.harness.engines.flight import Flight
from sepbench.harness.engines.outcomes import kept_estimates
from sepbench.harness.engines.ray_worker import SceneAnswer, SceneAsk, ScoreAsk
from sepbench.harness.errors import DatasetError, ProcessDiedError
from sepbench.harness.records import Failure
from sepbench.harness.stages.load import LoadedScene
from sepbench.harness.stages.requests import PairResult

# A flight of the local engine has its audio in scratch files; one of this engine has none there.
_NO_BLOCK = Block("", 0, (1, 0))


@dataclass(kw_only=True, slots=True, eq=False)
class RayFlight(Flight):
    """One scene in flight.

    Attributes:
        cell: reference to its cell.
        audio: reference to its `SceneAudio`; parts: to the estimates made so far.
        nbytes: of what these refer to, summed.
        kept: indices of items whose estimates are read and not made.
        lost: why it had to start over, once for each time.
    """

    cell: Any
    audio: Any = None
    parts: list[Any] = field(default_factory=list)
    nbytes: int = 0
    kept: tuple[int, ...] = ()
    lost: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, job: CellJob, work: SceneWork, cell: Any) -> RayFlight:
        """A scene that nobody has read yet."""
        flight = cls(
            job=job,
            work=work,
            loaded=_unread(job),
            mixture=_NO_BLOCK,
            sources={},
            estimates=[],
            waiting=[],
            kept=tuple(kept_estimates(job, work.items)),
            cell=cell,
        )
        flight.begin_again()
        return flight

    def begin_again(self) -> None:
        """As if nothing had been done yet."""
        count = len(self.work.items)
        self.loaded = _unread(self.job)
        self.pairs = [PairResult() for _ in range(count)]
        self.waiting = [i for i in range(count) if i not in self.kept]
        self.release()

    def release(self) -> None:
        """Let the cluster forget its audio."""
        self.audio, self.nbytes = None, 0
        self.parts.clear()

    def ask(self, indices: Sequence[int]) -> SceneAsk:
        """What an actor is told."""
        return SceneAsk(
            cell_id=self.job.cell_id, cell=[self.cell], work=self.work, indices=tuple(indices)
        )

    def take(self, answer: SceneAnswer, audio: Any, part: Any, sink: Sink) -> list[PairResult]:
        """What an actor answered, with what of it fails for the driver's reasons."""
        failure = answer.failure
        if failure is None:
            try:
                sink.check_files(self.job.protocol.dataset, answer.files)
            except DatasetError as error:
                failure = Failure.of(error)
        if failure is not None:
            for index in self.kept:
                self.pairs[index].failure = failure
            return [PairResult(failure=failure) for _ in answer.pairs]
        self.loaded = LoadedScene(
            # The shape is all that the driver needs: one number, shown so often.
            mixture=np.broadcast_to(np.float32(0), answer.shape),
            sources={},
            sample_rate=answer.sample_rate,
            files=answer.files,
            seconds=answer.load_seconds,
        )
        self.audio = audio
        self.parts.append(part)
        self.nbytes += answer.nbytes
        for index in self.kept:
            self.pairs[index].failure = answer.item_failures.get(index)
        return list(answer.pairs)

    def score_ask(self) -> ScoreAsk:
        """What a scoring task is told; `objects` go with it."""
        return ScoreAsk(
            items=tuple((i, self.work.items[i]) for i in self.scorable),
            parts=len(self.parts),
            sample_rate=self.loaded.sample_rate,
            keep=self.job.keep,
        )

    @property
    def objects(self) -> list[Any]:
        """References to its audio and its estimates."""
        return [self.audio, *self.parts]

    def lose(self, reason: str, retries: int) -> bool:
        """Its audio or its place is gone: it starts over, and fails where that was too often.

        Returns:
            Whether it is to go again.
        """
        self.lost.append(reason)
        self.begin_again()
        if len(self.lost) <= retries:
            return True
        failure = Failure.of(
            ProcessDiedError(
                f"Lost {len(self.lost)} times on its way through the cluster "
                f"(engine.ray.retries={retries}): {'; '.join(self.lost)}."
            )
        )
        self.pairs = [PairResult(failure=failure) for _ in self.work.items]
        self.waiting.clear()
        return False


def _unread(job: CellJob) -> LoadedScene:
    return LoadedScene(
        mixture=np.zeros((1, 0), np.float32),
        sources={},
        sample_rate=job.protocol.sample_rate,
        files={},
        seconds=0.0,
    )
