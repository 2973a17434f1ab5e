"""Everything in this process, one scene after another: for debugging, small tests and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

import numpy as np

from sepbench.harness.api import Samples
from sepbench.harness.engines.contract import CellJob, EngineContext, ItemWork, SceneWork, Sink
from sepbench.harness.engines.events import EngineSnapshot
from sepbench.harness.engines.ledger import Ledger
from sepbench.harness.engines.outcomes import (
    kept_estimates,
    outcome_of,
    read_kept,
    refuse_changed_examples,
    require_all_sources,
)
from sepbench.harness.errors import STRANGER_ERRORS, BenchError, DatasetError
from sepbench.harness.records import Failure, ItemOutcome
from sepbench.harness.stages.device import peak_memory
from sepbench.harness.stages.load import LoadedScene, load_scene
from sepbench.harness.stages.requests import PairInput, PairResult, SceneInput
from sepbench.harness.stages.score import ItemInput, score_items
from sepbench.harness.stages.separate import SeparationStage


class InlineEngine:
    """The stages in their order, without processes, threads or timeouts."""

    def __init__(self, context: EngineContext) -> None:
        self._device = context.devices[0]

    def run(self, jobs: Iterable[CellJob], sink: Sink) -> None:
        """Carry out all jobs; consecutive ones of one model share the loaded model."""
        ledger = Ledger(sink)
        try:
            self._run(jobs, sink, ledger)
        finally:
            ledger.tell(partial(_snapshot, ledger), last=True)

    def _run(self, jobs: Iterable[CellJob], sink: Sink, ledger: Ledger) -> None:
        for spec, group in groupby(jobs, key=lambda job: job.model):
            stage = SeparationStage(replace(spec, device=self._device))
            facts = None
            for job in group:
                for work in job.scenes:
                    if sink.stop:
                        return
                    if facts is None:
                        try:
                            facts = stage.load()
                        except BenchError as error:
                            sink.cell_failed(job.cell_id, Failure.of(error))
                            break
                    outcomes = self._scene(job, work, stage, sink)
                    sink.cell_loaded(job.cell_id, stage.facts or facts)
                    ledger.add(outcomes)
                    ledger.flush()
                    ledger.tell(partial(_snapshot, ledger))

    def _scene(
        self, job: CellJob, work: SceneWork, stage: SeparationStage, sink: Sink
    ) -> list[ItemOutcome]:
        failure: Failure | None = None
        try:
            loaded = load_scene(job.dataset, work.row, job.protocol)
            require_all_sources(job, work, loaded)
        except STRANGER_ERRORS as error:  # a plugin dataset may raise anything; its items fail
            failure = Failure.of(error)
        else:
            try:
                sink.check_files(job.protocol.dataset, loaded.files)
            except DatasetError as error:
                failure = Failure.of(error)
        if failure is not None:
            return [outcome_of(job, item, failure=failure) for item in work.items if item.metrics]
        estimates = [np.zeros_like(loaded.mixture) for _ in work.items]
        results = self._separate(job, work.items, loaded, estimates, stage)
        refuse_changed_examples(job, results, sink)
        good = [k for k, r in enumerate(results) if r.failure is None and work.items[k].scored]
        scores = (
            score_items(
                loaded.mixture,
                loaded.sources,
                [
                    ItemInput(
                        target=work.items[k].target,
                        reference=_reference(loaded, work.items[k]),
                        estimate=estimates[k],
                        metrics=work.items[k].metrics,
                        check=work.items[k].check,
                        text=work.items[k].query.words or None,
                        context=work.items[k].context,
                    )
                    for k in good
                ],
                loaded.sample_rate,
                job.keep,
            )
            if good
            else []
        )
        by_index = dict(zip(good, scores, strict=True))
        peak = peak_memory("cpu")
        return [
            outcome_of(
                job,
                item,
                loaded=loaded,
                pair=result,
                scored=by_index.get(k),
                peak_memory=peak,
            )
            for k, (item, result) in enumerate(zip(work.items, results, strict=True))
            if item.metrics
        ]

    def _separate(
        self,
        job: CellJob,
        items: Sequence[ItemWork],
        loaded: LoadedScene,
        estimates: Sequence[Samples],
        stage: SeparationStage,
    ) -> list[PairResult]:
        results = [PairResult() for _ in items]
        kept = kept_estimates(job, items)
        for k, path in kept.items():
            try:
                estimates[k][...] = read_kept(path, loaded)
            except STRANGER_ERRORS as error:  # an unreadable file fails its item
                results[k].failure = Failure.of(error)
        asked = [k for k in range(len(items)) if k not in kept]
        if asked:
            scene = SceneInput(
                mixture=loaded.mixture,
                sample_rate=loaded.sample_rate,
                downmix=job.protocol.model_channels == "downmix",
                pairs=tuple(
                    PairInput(
                        query=items[k].query,
                        seed=items[k].seed,
                        out=estimates[k],
                        reference=_reference(loaded, items[k]) if job.needs_references else None,
                    )
                    for k in asked
                ),
            )
            for k, result in zip(asked, stage.separate([scene])[0], strict=True):
                results[k] = result
        return results


def _snapshot(ledger: Ledger, seconds: float) -> EngineSnapshot:
    return EngineSnapshot(seconds=seconds, cells=dict(ledger.cells), stages=dict(ledger.stages))


def _reference(loaded: LoadedScene, item: ItemWork) -> Samples:
    return np.zeros_like(loaded.mixture) if item.absent else loaded.sources[item.target]
