"""Stage 3: from mixtures and queries to estimates, at the protocol's rate.

Here, and not in the models, live resampling, channel policy, chunking with overlap and
cross-fade, batching over scenes of equal length, precision, the checks of what comes back, and
what is done where memory runs out: smaller batches, which change nothing, and then, where
`degrade` allows it, shorter pieces or the CPU, which the estimate is marked with.

Shapes: B batch, C channels, N samples at the protocol's rate, M samples at the model's rate.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.api import Samples
from sepbench.harness.errors import STRANGER_ERRORS, BaselineLoadError, EstimateError
from sepbench.harness.records import CellFacts, Failure
from sepbench.harness.stages.batching import BatchSizer, Shape
from sepbench.harness.stages.condition import ConditionCache
from sepbench.harness.stages.degrade import MilderWays
from sepbench.harness.stages.device import is_out_of_memory, release_memory
from sepbench.harness.stages.model import LoadedModel
from sepbench.harness.stages.postprocess import PostprocessStage
from sepbench.harness.stages.requests import ModelSpec, PairInput, PairResult, SceneInput
from sepbench.harness.stages.signal import OverlapAdd, chunk_starts, resample, stack_key

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(slots=True)
class _Pair:
    """A pair under way at the model's rate; `left` units of it are still to be separated."""

    scene: SceneInput
    source: PairInput
    result: PairResult
    condition: Any
    added: list[OverlapAdd] = field(default_factory=list)
    left: int = 0


@dataclass(frozen=True, slots=True)
class _Unit:
    """One call's share: a stretch of one unit of one pair."""

    pair: _Pair
    part: int
    start: int
    audio: Tensor  # (c, M')


class SeparationStage:
    """One model, loaded once, for many scenes.

    Args:
        spec: how to make and run it.
        learned: batch sizes that another process found for it.
    """

    def __init__(self, spec: ModelSpec, learned: Mapping[Shape, int] | None = None) -> None:
        self.spec = spec
        self._loaded: LoadedModel | None = None
        self._milder: MilderWays | None = None
        self._cache: ConditionCache | None = None
        self._together: PostprocessStage | None = None
        self._sizer = BatchSizer(spec.batch_size, learned)

    @property
    def facts(self) -> CellFacts | None:
        """Of the loaded model, as far as they are known; None before `load`."""
        return self._loaded.facts if self._loaded else None

    @property
    def wanted(self) -> int:
        """Pairs that the next call of `separate` should bring."""
        return self._sizer.wanted

    @property
    def learned(self) -> Mapping[Shape, int]:
        """Batch sizes found so far, for another process of this model."""
        return self._sizer.learned

    def load(self) -> CellFacts:
        """Make the model and put it on its device.

        Raises:
            BaselineLoadError: it cannot be made or loaded; the cause is chained.
            PluginError: it is neither kind of separator.
        """
        spec = self.spec
        loaded = LoadedModel(spec)
        if loaded.by_query:
            self._cache = ConditionCache(loaded.model)
        if spec.postprocess:
            try:
                self._together = PostprocessStage(spec, loaded.device)
            except STRANGER_ERRORS as error:  # a stranger's step may raise anything
                raise BaselineLoadError(
                    f"Model '{spec.label}' cannot be loaded: {type(error).__name__}: {error}"
                ) from error
        self._loaded, self._milder = loaded, MilderWays(self.spec, loaded)
        return loaded.facts

    def separate(self, scenes: Sequence[SceneInput]) -> list[list[PairResult]]:
        """Write the estimates of all pairs; one that fails harms no other."""
        import torch

        assert self._loaded is not None
        with torch.inference_mode():
            if self._cache is None:
                answers = [self._separate_scene(scene) for scene in scenes]
            else:
                answers = self._separate_pairs(scenes, self._cache)
            self._loaded.transfers.settle()
            if self._together is not None:
                for scene, results in zip(scenes, answers, strict=True):
                    self._together.run(scene, results)
        return answers

    # --- one answer per query -----------------------------------------------------------

    def _separate_pairs(
        self, scenes: Sequence[SceneInput], cache: ConditionCache
    ) -> list[list[PairResult]]:
        assert self._loaded is not None
        assert self._milder is not None
        flat = [(scene, pair) for scene in scenes for pair in scene.pairs]
        results: list[PairResult] = []
        ready: list[_Pair] = []
        for (scene, pair), made in zip(flat, cache.get([p.query for _, p in flat]), strict=True):
            result = PairResult(
                failure=made.failure,
                condition_seconds=made.seconds,
                example_files=made.example_files,
            )
            results.append(result)
            if made.failure is None:
                ready.append(_Pair(scene, pair, result, made.condition))
        self._run(ready, self._loaded)
        for under_way in ready:
            for model, longest, words in self._milder.of(under_way.result, under_way.scene):
                under_way.result.degraded = words
                self._run([under_way], model, longest)
        counts = iter(results)
        return [[next(counts) for _ in scene.pairs] for scene in scenes]

    def _run(
        self, pairs: Sequence[_Pair], model: LoadedModel, longest: float | None = None
    ) -> None:
        """Separate all units, those of equal shape together, as many at a time as is best."""
        groups: dict[Any, list[_Unit]] = defaultdict(list)
        mixtures: dict[int, list[Tensor]] = {}  # by scene: its queries share what is resampled
        for pair in pairs:
            self._guard(pair.result, partial(self._cut, pair, groups, mixtures, model, longest))
        for (channels, size, stackable), units in groups.items():
            while units:
                step = 1 if stackable is None else self._sizer.size((channels, size))
                batch = [unit for unit in units[:step] if unit.pair.result.failure is None]
                del units[:step]
                if batch:
                    self._run_batch(batch, model)

    def _cut(
        self,
        pair: _Pair,
        groups: dict[Any, list[_Unit]],
        mixtures: dict[int, list[Tensor]],
        model: LoadedModel,
        longest: float | None,
    ) -> None:
        scene = pair.scene
        rate = model.card.sample_rate or scene.sample_rate
        if id(scene) not in mixtures:
            mixtures[id(scene)] = model.units(scene.mixture, scene)
        pair.added, pair.left = [], 0
        for part, unit in enumerate(mixtures[id(scene)]):
            channels, total = unit.shape
            size, overlap = model.pieces(total, rate, longest)
            pair.added.append(OverlapAdd(channels, total, size, overlap, model.device))
            cut = [
                _Unit(pair, part, start, unit[:, start : start + size])
                for start in chunk_starts(total, size, overlap)
            ]
            pair.left += len(cut)
            groups[(channels, size, stack_key(pair.condition))] += cut

    def _run_batch(self, units: Sequence[_Unit], model: LoadedModel) -> None:
        import torch

        started = time.perf_counter()
        failure: Failure | None = None
        exhausted = False
        try:
            estimates = model.separate(
                torch.stack([unit.audio for unit in units]),  # (B, c, M')
                [unit.pair.condition for unit in units],
                [unit.pair.source.seed for unit in units],
            )
            model.transfers.synchronize()
        except STRANGER_ERRORS as error:  # a stranger's network may raise anything
            failure, exhausted = Failure.of(error), is_out_of_memory(error)
        # Outside the handler: what the failed call had made is free only now.
        if failure is not None:
            self._split(units, model, failure, exhausted=exhausted)
            return
        seconds = time.perf_counter() - started
        self._sizer.timed(_shape(units[0]), len(units), seconds)
        for unit, estimate in zip(units, estimates, strict=True):
            result = unit.pair.result
            result.separate_seconds += seconds / len(units)
            if result.failure is None:
                self._guard(result, partial(self._join, unit, estimate, model))
            if result.failure is not None:
                unit.pair.added = []  # what was joined of it takes room that others need

    def _join(self, unit: _Unit, estimate: Tensor, model: LoadedModel) -> None:
        """One piece into its pair's signal, which is as long as the whole track."""
        pair = unit.pair
        pair.added[unit.part].add(estimate, unit.start)
        pair.left -= 1
        if not pair.left:
            self._finish(pair, model)

    def _split(
        self, units: Sequence[_Unit], model: LoadedModel, failure: Failure, *, exhausted: bool
    ) -> None:
        """A call failed: half of it where memory ran out, else one by one; one alone has failed."""
        if exhausted:
            release_memory()
        if len(units) == 1:
            result = units[0].pair.result
            result.failure, result.exhausted = failure, exhausted
            return
        if exhausted:
            self._sizer.too_large(_shape(units[0]), len(units))
        step = -(-len(units) // 2) if exhausted else 1
        for first in range(0, len(units), step):
            part = [u for u in units[first : first + step] if u.pair.result.failure is None]
            if part:
                self._run_batch(part, model)

    def _finish(self, pair: _Pair, model: LoadedModel) -> None:
        """Channels together, back to the protocol's rate and length, written out."""
        import torch

        estimate = torch.cat([added.result() for added in pair.added])  # (c·parts, M)
        pair.added = []
        self._write(pair.scene, pair.source, pair.result, estimate, model)

    # --- everything about a scene at once -----------------------------------------------

    def _separate_scene(self, scene: SceneInput) -> list[PairResult]:
        results = [PairResult() for _ in scene.pairs]
        self._run_scene(scene, scene.pairs, results)
        return results

    def _run_scene(
        self, scene: SceneInput, pairs: Sequence[PairInput], results: Sequence[PairResult]
    ) -> None:
        assert self._loaded is not None
        assert self._milder is not None
        started = time.perf_counter()
        self._try_scene(scene, pairs, results, self._loaded)
        if results[0].failure is not None and len(pairs) > 1 and not self._loaded.card.joint:
            for pair, result in zip(pairs, results, strict=True):  # find out whose fault it is
                result.failure, result.exhausted = None, False
                self._run_scene(scene, [pair], [result])
            return
        for model, longest, words in self._milder.of(results[0], scene):
            for result in results:
                result.failure, result.degraded = None, words
            self._try_scene(scene, pairs, results, model, longest)
        if results[0].exhausted:  # nothing helped; all share the one call
            for result in results:
                result.failure, result.degraded = results[0].failure, ""
        share = (time.perf_counter() - started) / len(pairs)
        for result in results:
            result.separate_seconds = share

    def _try_scene(
        self,
        scene: SceneInput,
        pairs: Sequence[PairInput],
        results: Sequence[PairResult],
        model: LoadedModel,
        longest: float | None = None,
    ) -> None:
        """All pairs get their estimates, or the failure of the call they share."""
        failure: Failure | None = None
        exhausted = False
        try:
            estimates = self._call_scene(scene, pairs, model, longest)
            model.transfers.synchronize()
        except STRANGER_ERRORS as error:  # whatever a model does, it is these items' failure
            failure, exhausted = Failure.of(error), is_out_of_memory(error)
        if failure is not None:
            if exhausted:
                release_memory()
            for result in results:
                result.failure, result.exhausted = failure, exhausted
            return
        for pair, result, estimate in zip(pairs, results, estimates, strict=True):
            write = partial(self._write, scene, pair, result, estimate, model)
            self._guard(result, write)

    def _call_scene(
        self,
        scene: SceneInput,
        pairs: Sequence[PairInput],
        model: LoadedModel,
        longest: float | None,
    ) -> Tensor:
        """Estimates (Q, c·parts, M)."""
        import torch

        rate = model.card.sample_rate or scene.sample_rate
        references: list[list[Tensor]] = []  # Q lists of units
        if model.card.needs_references:
            silence = np.zeros_like(scene.mixture)
            for pair in pairs:
                known = silence if pair.reference is None else pair.reference
                references.append(model.units(known, scene))
        parts = []
        for number, unit in enumerate(model.units(scene.mixture, scene)):
            channels, total = unit.shape
            size, overlap = model.pieces(total, rate, longest)
            added = OverlapAdd(len(pairs) * channels, total, size, overlap, model.device)
            for start in chunk_starts(total, size, overlap):
                # Copies: a model may work in place, and the scene is still to be scored.
                signals = (unit, *(units[number] for units in references))
                cut = [signal[:, start : start + size].clone() for signal in signals]
                known_cut = torch.stack(cut[1:]) if references else None
                made = model.separate_scene(cut[0], pairs, known_cut)
                added.add(made.flatten(0, 1), start)
            parts.append(added.result().reshape(len(pairs), channels, total))
        return torch.cat(parts, dim=1)

    # --- shared -------------------------------------------------------------------------

    def _write(
        self,
        scene: SceneInput,
        source: PairInput,
        result: PairResult,
        estimate: Tensor,
        model: LoadedModel,
    ) -> None:
        """Back to the protocol's rate, channels and length, and off the device."""
        import torch

        channels, length = scene.mixture.shape
        rate = model.card.sample_rate or scene.sample_rate
        estimate = resample(estimate, rate, scene.sample_rate)[:, :length]
        if estimate.shape[0] != channels:  # downmixed for the model, or spread over its channels
            estimate = estimate.mean(0, keepdim=True).expand(channels, -1)
        estimate = torch.nn.functional.pad(estimate, (0, length - estimate.shape[1]))
        arrived = partial(self._arrived, source.out, result)
        model.transfers.download(estimate, arrived)

    def _arrived(self, out: Samples, result: PairResult, estimate: Tensor) -> None:
        samples = estimate.numpy()
        if np.isfinite(samples).all():
            out[...] = samples
        else:
            text = f"{self.spec.label} returned NaN or infinite samples."
            result.failure = Failure.of(EstimateError(text))

    @staticmethod
    def _guard(result: PairResult, step: Callable[[], None]) -> None:
        try:
            step()
        except STRANGER_ERRORS as error:  # whatever a model's output does, it is its item's failure
            result.failure = Failure.of(error)
            result.exhausted = is_out_of_memory(error)
        if result.exhausted:
            release_memory()


def _shape(unit: _Unit) -> Shape:
    channels, samples = unit.audio.shape
    return (channels, samples)
