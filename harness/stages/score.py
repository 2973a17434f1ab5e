"""Stage 4: from references and estimates to values, a scene at a time."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sepbench.harness.api import Samples, Undefined, Value
from sepbench.harness.audio import write_wav
from sepbench.harness.errors import (
    STRANGER_ERRORS,
    BenchError,
    EstimateError,
    StorageError,
    WorkspaceError,
)
from sepbench.harness.metrics.catalog import card_of, score_scene
from sepbench.harness.metrics.contract import ScoredItem, ScoredScene
from sepbench.harness.records import Failure, Status
from sepbench.harness.storage.places import as_remote
from sepbench.harness.storage.remote_path import RemotePath

# A score already recorded must come out again when metrics are added to an old result; estimates
# of one cell agree within this much whatever the batch size or worker count.
REPEAT_TOLERANCE_DB = 1e-2


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemInput:
    """One estimate to score.

    Attributes:
        target: name of its reference.
        reference: (C, N); silence for an absent target.
        estimate: (C, N).
        metrics: ids to compute.
        check: a recorded (metric id, value) that must come out again; None for a new item.
        text: the words of the query, for metrics that compare with them.
        context: it is scored already, and here for metrics that look at a whole scene.
    """

    target: str
    reference: Samples
    estimate: Samples
    metrics: tuple[str, ...]
    check: tuple[str, float] | None = None
    text: str | None = None
    context: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemScores:
    """Values of one item, or why scoring failed."""

    scores: Mapping[str, Value] = field(default_factory=dict)
    failure: Failure | None = None
    seconds: float = 0.0
    estimate_sha256: str = ""

    @property
    def status(self) -> Status:
        """`undefined` only where no metric has a value."""
        if self.failure is not None:
            return "failed"
        values = self.scores.values()
        if values and all(isinstance(value, Undefined) for value in values):
            return "undefined"
        return "scored"


def score_items(
    mixture: Samples,
    sources: Mapping[str, Samples],
    items: Sequence[ItemInput],
    sample_rate: int,
    keep: Path | None = None,
) -> list[ItemScores]:
    """Score the estimates of one scene together.

    Args:
        mixture: (C, N).
        sources: every known reference of the scene, (C, N) each.
        items: what to score.
        sample_rate: Hz.
        keep: folder of kept estimates; None keeps none.
    """
    started = time.perf_counter()
    wanted = list(dict.fromkeys(m for item in items for m in _wanted(item)))
    scene = ScoredScene(
        sample_rate=sample_rate,
        mixture=mixture,
        references=sources,
        items=tuple(
            ScoredItem(target=i.target, reference=i.reference, estimate=i.estimate, text=i.text)
            for i in items
        ),
    )
    try:
        values = score_scene(scene, wanted)
    except STRANGER_ERRORS as error:  # a metric plugin may raise anything
        if len(items) > 1 and _separable(wanted):  # find out which item it cannot score
            alone = (score_items(mixture, sources, [i], sample_rate, keep) for i in items)
            return [scores for (scores,) in alone]
        return [ItemScores(failure=Failure.of(error)) for _ in items]
    share = (time.perf_counter() - started) / len(items)
    answers = []
    for item, found in zip(items, values, strict=True):
        try:
            _check_repeats(item, found)
            place = None if item.context else keep
            kept = keep_estimate(item.estimate, sample_rate, place) if place is not None else ""
        except (EstimateError, WorkspaceError) as error:
            answers.append(ItemScores(failure=Failure.of(error), seconds=share))
            continue
        answers.append(
            ItemScores(
                scores={m: found[m] for m in item.metrics}, seconds=share, estimate_sha256=kept
            )
        )
    return _trusted(items, answers)


def keep_estimate(estimate: Samples, sample_rate: int, folder: Path) -> str:
    """Store an estimate under the digest of its samples; returns the digest.

    The file appears whole or not at all, also when the process is killed.

    Raises:
        WorkspaceError: it cannot be written.
    """
    samples = np.ascontiguousarray(estimate, dtype=np.float32)
    sha256 = hashlib.sha256(f"{samples.shape} {sample_rate} ".encode() + samples.tobytes())
    name = sha256.hexdigest()
    path = folder / name[:2] / f"{name}.wav"
    remote = as_remote(path)
    if remote is not None:
        _upload(remote, samples, sample_rate)
    elif not path.exists():
        unfinished = path.with_name(f"{name}.{os.getpid()}.part.wav")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_wav(unfinished, samples, sample_rate)
            if unfinished.stat().st_size < samples.nbytes:
                raise OSError("only a part could be written")
            unfinished.replace(path)
        except (OSError, RuntimeError) as error:  # libsndfile's errors are RuntimeErrors
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise WorkspaceError(
                f"The estimate cannot be kept in {folder}: {error}. Free some space, or run "
                "without keep_audio."
            ) from error
    return name


def _upload(path: RemotePath, samples: Samples, sample_rate: int) -> None:
    """Write an estimate to storage, unless it is there whole already."""
    buffer = io.BytesIO()
    write_wav(buffer, samples, sample_rate)
    data = buffer.getvalue()
    try:
        # Not every protocol writes whole or not at all; the length tells, as the name is a digest.
        if path.size_now() != len(data):
            path.write_bytes(data)
    except StorageError as error:
        raise WorkspaceError(f"The estimate cannot be kept: {error}") from error


def _separable(metrics: Sequence[str]) -> bool:
    """Whether all these metrics look at one item at a time."""
    try:
        return all(card_of(metric).scope == "item" for metric in metrics)
    except BenchError:
        return False


def _trusted(items: Sequence[ItemInput], answers: list[ItemScores]) -> list[ItemScores]:
    """The answers; none where the estimates beside them are not the ones scored before.

    A metric of a whole scene would mix the estimates of two models.
    """
    pairs = zip(items, answers, strict=True)
    changed = next((answer for item, answer in pairs if item.context and answer.failure), None)
    return answers if changed is None else [a if a.failure else changed for a in answers]


def _wanted(item: ItemInput) -> tuple[str, ...]:
    return (*item.metrics, item.check[0]) if item.check else item.metrics


def _check_repeats(item: ItemInput, found: Mapping[str, Value]) -> None:
    if item.check is None:
        return
    metric, before = item.check
    now = found[metric]
    if isinstance(now, Undefined) or abs(now - before) > REPEAT_TOLERANCE_DB:
        shown = now.reason if isinstance(now, Undefined) else f"{now:.4f}"
        raise EstimateError(
            f"The estimate is not the one scored before: {metric} was {before:.4f}, now {shown}. "
            "New metrics are not added to it. Raise the model's card version, or use a new "
            "workspace."
        )
