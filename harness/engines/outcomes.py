"""From what the stages say of an item to the record of it; shared by all engines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepbench.harness.api import Samples
from sepbench.harness.audio import read_audio
from sepbench.harness.engines.contract import CellJob, ItemWork, SceneWork, Sink
from sepbench.harness.errors import (
    AudioMismatchError,
    DatasetError,
    ItemTimeoutError,
    NotApplicableError,
)
from sepbench.harness.records import Failure, ItemOutcome, Status
from sepbench.harness.stages.load import LoadedScene
from sepbench.harness.stages.requests import PairResult
from sepbench.harness.stages.score import ItemScores


def outcome_of(
    job: CellJob,
    item: ItemWork,
    *,
    failure: Failure | None = None,
    loaded: LoadedScene | None = None,
    pair: PairResult | None = None,
    scored: ItemScores | None = None,
    peak_memory: int = 0,
) -> ItemOutcome:
    """One record from as many stages as the item went through."""
    pair = pair or PairResult()
    failure = failure or pair.failure or (scored.failure if scored else None)
    status: Status = "failed" if scored is None else scored.status
    if failure is not None and failure.error_type == ItemTimeoutError.__name__:
        status = "timed-out"
    rate = loaded.sample_rate if loaded else 1
    return ItemOutcome(
        cell_id=job.cell_id,
        item_id=item.item_id,
        status=status,
        scores=scored.scores if scored and failure is None else {},
        failure=failure,
        audio_seconds=loaded.mixture.shape[1] / rate if loaded else 0.0,
        load_seconds=loaded.seconds if loaded else 0.0,
        condition_seconds=pair.condition_seconds,
        separate_seconds=pair.separate_seconds,
        score_seconds=scored.seconds if scored else 0.0,
        peak_memory=peak_memory,
        degraded=pair.degraded if failure is None else "",
        files=loaded.files if loaded else {},
        example_files=pair.example_files,
        estimate_sha256=scored.estimate_sha256 if scored else "",
    )


def kept_estimates(job: CellJob, items: Sequence[ItemWork]) -> dict[int, Path]:
    """Item index -> kept estimate to score instead of separating.

    A joint model gets all queries of a scene or none: with one to separate, it gets all.
    """
    kept = {k: item.estimate for k, item in enumerate(items) if item.estimate is not None}
    return kept if not job.joint or len(kept) == len(items) else {}


def require_all_sources(job: CellJob, work: SceneWork, loaded: LoadedScene) -> None:
    """Refuse a scene with a source that nobody asks for, where the model has a postprocess.

    Raises:
        NotApplicableError: names it.
    """
    unasked = sorted(set(loaded.sources) - {item.target for item in work.items})
    if job.model.postprocess and unasked:
        raise NotApplicableError(
            f"Scene {work.row.scene_id}: a postprocess needs queries for all sources of a scene; "
            f"nobody asks for {', '.join(unasked)}. Switch it off for this list "
            f"(models.{job.model.label}.postprocess=null)."
        )


def refuse_changed_examples(job: CellJob, pairs: Sequence[PairResult], sink: Sink) -> None:
    """Fail the estimates whose query examples have other contents than those scored before."""
    for pair in pairs:
        if pair.failure is None and pair.example_files:
            files = {f"example {clip}": sha256 for clip, sha256 in pair.example_files.items()}
            try:
                sink.check_files(job.protocol.dataset, files)
            except DatasetError as error:
                pair.failure = Failure.of(error)


def read_kept(path: Path, loaded: LoadedScene) -> Samples:
    """A kept estimate, which must fit its mixture.

    Raises:
        AudioMismatchError: it has another shape.
    """
    estimate = read_audio(path, max_channels=loaded.mixture.shape[0]).samples
    if estimate.shape != loaded.mixture.shape:
        raise AudioMismatchError(
            f"Kept estimate {path} has shape {estimate.shape}, its mixture {loaded.mixture.shape}."
        )
    return estimate
