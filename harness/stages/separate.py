"""Stage 3: from mixtures and queries to estimates, at the protocol's rate.

Here, and not in the models, live resampling, channel policy, chunking with overlap and
cross-fade, batching over scenes of equal length, precision, and the checks of what comes back.

Shapes: B batch, C channels, N samples at the protocol's rate, M samples at the model's rate.
"""

from __future__ import annotations

import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.api import QuerySeparator, Samples, SceneSeparator
from sepbench.harness.errors import STRANGER_ERRORS, BaselineLoadError, EstimateError, PluginError
from sepbench.harness.records import CellFacts, Failure
from sepbench.harness.registry import import_target
from sepbench.harness.stages.condition import ConditionCache
from sepbench.harness.stages.cost import count_flops, count_parameters
from sepbench.harness.stages.device import autocast, pick_device, versions
from sepbench.harness.stages.requests import ModelSpec, PairInput, PairResult, SceneInput
from sepbench.harness.stages.signal import (
    OverlapAdd,
    channel_units,
    chunk_starts,
    resample,
    stack_key,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(slots=True)
class _Pair:
    """A pair under way at the model's rate."""

    scene: SceneInput
    source: PairInput
    result: PairResult
    condition: Any
    added: list[OverlapAdd] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Unit:
    """One call's share: a stretch of one unit of one pair."""

    pair: _Pair
    part: int
    start: int
    audio: Tensor  # (c, M')


class SeparationStage:
    """One model, loaded once, for many scenes.

    Attributes:
        facts: of the loaded model; the first batch adds what only use can tell (FLOPs, and the
            parameters of encoders that load when they are first asked).
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._model: Any = None
        self._device: Any = None
        self._cache: ConditionCache | None = None
        self._takes_seeds = False
        self._used = False
        self.facts: CellFacts | None = None

    def load(self) -> CellFacts:
        """Make the model and put it on its device.

        Raises:
            BaselineLoadError: it cannot be made or loaded; the cause is chained.
        """
        started = time.perf_counter()
        spec = self.spec
        try:
            self._device = pick_device(spec.device, spec.precision)
            self._model = import_target(spec.target, f"model '{spec.label}'")(**spec.settings)
            self._model.load(str(self._device))
        except STRANGER_ERRORS as error:  # a stranger's loader may raise anything
            raise BaselineLoadError(
                f"Model '{spec.label}' cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        if isinstance(self._model, SceneSeparator):
            self._takes_seeds = True
        elif isinstance(self._model, QuerySeparator):
            self._cache = ConditionCache(self._model)
            self._takes_seeds = "seeds" in inspect.signature(self._model.separate).parameters
        else:
            raise PluginError(
                f"Model '{spec.label}' ({spec.target}) is neither a QuerySeparator (card, load, "
                "condition, separate) nor a SceneSeparator (card, load, separate_scene)."
            )
        self.facts = CellFacts(
            device=str(self._device),
            precision=spec.precision,
            parameters=count_parameters(self._model),
            load_seconds=time.perf_counter() - started,
            versions=versions(self._device),
        )
        return self.facts

    def separate(self, scenes: Sequence[SceneInput]) -> list[list[PairResult]]:
        """Write the estimates of all pairs; one that fails harms no other."""
        import torch

        with torch.inference_mode():
            if self._cache is None:
                return [self._separate_scene(scene) for scene in scenes]
            return self._separate_pairs(scenes)

    # --- one answer per query -----------------------------------------------------------

    def _separate_pairs(self, scenes: Sequence[SceneInput]) -> list[list[PairResult]]:
        assert self._cache is not None
        flat = [(scene, pair) for scene in scenes for pair in scene.pairs]
        conditions = self._cache.get([pair.query for _, pair in flat])
        results: list[PairResult] = []
        ready: list[_Pair] = []
        for (scene, pair), made in zip(flat, conditions, strict=True):
            result = PairResult(
                failure=made.failure,
                condition_seconds=made.seconds,
                example_files=made.example_files,
            )
            results.append(result)
            if made.failure is None:
                ready.append(_Pair(scene, pair, result, made.condition))
        self._run(ready)
        for done in ready:
            if done.result.failure is None:
                self._guard(done.result, partial(self._finish, done))
        counts = iter(results)
        return [[next(counts) for _ in scene.pairs] for scene in scenes]

    def _to_model(self, samples: Samples, scene: SceneInput) -> list[Tensor]:
        """A signal of the scene as the model's units at its rate: each (c, M)."""
        import torch

        card = self._model.card
        audio = torch.from_numpy(samples).to(self._device)  # (C, N)
        if card.sample_rate is not None:
            audio = resample(audio, scene.sample_rate, card.sample_rate)
        try:
            units = channel_units(audio, card.channels, downmix=scene.downmix)
        except EstimateError as error:
            raise EstimateError(f"{self.spec.label} {error}") from None
        short = card.min_samples - audio.shape[1]
        return [torch.nn.functional.pad(u, (0, short)) if short > 0 else u for u in units]

    def _run(self, pairs: Sequence[_Pair]) -> None:
        """Separate all units, those of equal shape together, `batch_size` at a time."""
        groups: dict[Any, list[_Unit]] = defaultdict(list)
        mixtures: dict[int, list[Tensor]] = {}  # by scene: its queries share what is resampled
        for pair in pairs:
            self._guard(pair.result, partial(self._cut, pair, groups, mixtures))
        for key, units in groups.items():
            step = self.spec.batch_size if key[2] is not None else 1
            for first in range(0, len(units), step):
                self._run_batch(units[first : first + step])

    def _cut(
        self, pair: _Pair, groups: dict[Any, list[_Unit]], mixtures: dict[int, list[Tensor]]
    ) -> None:
        scene = pair.scene
        rate = self._model.card.sample_rate or scene.sample_rate
        if id(scene) not in mixtures:
            mixtures[id(scene)] = self._to_model(scene.mixture, scene)
        for part, unit in enumerate(mixtures[id(scene)]):
            channels, total = unit.shape
            size, overlap = self._chunk(total, rate)
            pair.added.append(OverlapAdd(channels, total, size, overlap, self._device))
            groups[(channels, size, stack_key(pair.condition))] += [
                _Unit(pair, part, start, unit[:, start : start + size])
                for start in chunk_starts(total, size, overlap)
            ]

    def _chunk(self, total: int, rate: int) -> tuple[int, int]:
        """Length and overlap of the pieces of `total` samples."""
        card, spec = self._model.card, self.spec
        overlap = round(spec.overlap_seconds * rate)
        if card.chunking != "harness":
            return total, overlap
        return min(max(card.min_samples, round(spec.chunk_seconds * rate)), total), overlap

    def _run_batch(self, units: Sequence[_Unit]) -> None:
        units = [unit for unit in units if unit.pair.result.failure is None]
        if not units:
            return
        started = time.perf_counter()
        try:
            estimates = self._call(units)  # (B, c, M')
        except STRANGER_ERRORS as error:  # a stranger's network may raise anything
            if len(units) == 1:
                units[0].pair.result.failure = Failure.of(error)
            else:  # find out whose fault it is
                for unit in units:
                    self._run_batch([unit])
            return
        share = (time.perf_counter() - started) / len(units)
        for unit, estimate in zip(units, estimates, strict=True):
            unit.pair.result.separate_seconds += share
            unit.pair.added[unit.part].add(estimate, unit.start)

    def _call(self, units: Sequence[_Unit]) -> Tensor:
        import torch

        mixture = torch.stack([unit.audio for unit in units])  # (B, c, M')
        conditions = [unit.pair.condition for unit in units]
        condition: Any = conditions[0]
        if stack_key(condition) is not None:
            condition = torch.stack(conditions).to(self._device)  # (B, …)
        seeds = {"seeds": [unit.pair.source.seed for unit in units]} if self._takes_seeds else {}
        work = mixture.shape[0] * mixture.shape[-1]
        with autocast(self._device, self.spec.precision), self._first_use(work):
            estimates = self._model.separate(mixture, condition, **seeds)
        return self._checked(estimates, tuple(mixture.shape))

    @contextmanager
    def _first_use(self, num_samples: int) -> Iterator[None]:
        """Around the first call of a network: count its work, then compile it if asked to.

        Args:
            num_samples: that the call separates, times queries.
        """
        if self._used or self.facts is None or self.facts.parameters is None:
            yield
            return
        with count_flops() as counted:
            yield
        self._used = True
        rate = self._model.card.sample_rate
        seconds = num_samples / rate if rate else 0.0
        compiled = self.spec.compile and hasattr(self._model, "compile_network")
        if compiled:
            import torch._dynamo

            # A kernel that cannot be built leaves its part of the network as it was.
            torch._dynamo.config.suppress_errors = True
            self._model.compile_network()
        self.facts = replace(
            self.facts,
            parameters=count_parameters(self._model),
            flops_per_second=counted.flops / seconds if seconds else None,
            compiled=compiled,
        )

    def _finish(self, pair: _Pair) -> None:
        """Channels together, back to the protocol's rate and length, written out."""
        import torch

        channels, length = pair.scene.mixture.shape
        estimate = torch.cat([added.result() for added in pair.added])  # (c·parts, M)
        rate = self._model.card.sample_rate or pair.scene.sample_rate
        self._write(pair.source.out, estimate, rate, pair.scene.sample_rate, channels, length)

    # --- everything about a scene at once -----------------------------------------------

    def _separate_scene(self, scene: SceneInput) -> list[PairResult]:
        results = [PairResult() for _ in scene.pairs]
        self._run_scene(scene, scene.pairs, results)
        return results

    def _run_scene(
        self, scene: SceneInput, pairs: Sequence[PairInput], results: Sequence[PairResult]
    ) -> None:
        started = time.perf_counter()
        failure = self._guard(results[0], partial(self._call_scene, scene, pairs, results))
        if failure is not None and len(pairs) > 1 and not self._model.card.joint:
            for pair, result in zip(pairs, results, strict=True):  # find out whose fault it is
                result.failure = None
                self._run_scene(scene, [pair], [result])
            return
        share = (time.perf_counter() - started) / len(pairs)
        for result in results:
            result.failure = failure or result.failure
            result.separate_seconds = share

    def _call_scene(
        self, scene: SceneInput, pairs: Sequence[PairInput], results: Sequence[PairResult]
    ) -> None:
        import torch

        card = self._model.card
        rate = card.sample_rate or scene.sample_rate
        references: list[list[Tensor]] = []  # Q lists of units
        if card.needs_references:
            silence = np.zeros_like(scene.mixture)
            for pair in pairs:
                known = silence if pair.reference is None else pair.reference
                references.append(self._to_model(known, scene))
        parts = [
            self._call_unit(unit, rate, pairs, [units[number] for units in references])
            for number, unit in enumerate(self._to_model(scene.mixture, scene))
        ]
        channels, length = scene.mixture.shape
        estimates = torch.cat(parts, dim=1)  # (Q, c·parts, M)
        for pair, result, estimate in zip(pairs, results, estimates, strict=True):
            write = partial(self._write, pair.out, estimate, rate, scene.sample_rate)
            self._guard(result, partial(write, channels, length))

    def _call_unit(
        self, unit: Tensor, rate: int, pairs: Sequence[PairInput], references: Sequence[Tensor]
    ) -> Tensor:
        """One unit (c, M), chunk by chunk -> (Q, c, M)."""
        import torch

        channels, total = unit.shape
        size, overlap = self._chunk(total, rate)
        added = OverlapAdd(len(pairs) * channels, total, size, overlap, self._device)
        for start in chunk_starts(total, size, overlap):
            # Copies: a model may work in place, and the scene is still to be scored.
            cut = [signal[:, start : start + size].clone() for signal in (unit, *references)]
            work = len(pairs) * cut[0].shape[-1]
            with autocast(self._device, self.spec.precision), self._first_use(work):
                estimates = self._model.separate_scene(
                    cut[0],
                    [pair.query for pair in pairs],
                    references=torch.stack(cut[1:]) if references else None,
                    seeds=[pair.seed for pair in pairs],
                )
            checked = self._checked(estimates, (len(pairs), *cut[0].shape))
            added.add(checked.flatten(0, 1), start)
        return added.result().reshape(len(pairs), channels, total)

    # --- shared -------------------------------------------------------------------------

    def _write(
        self, out: Samples, estimate: Tensor, rate: int, protocol_rate: int, channels: int, n: int
    ) -> None:
        import torch

        estimate = resample(estimate, rate, protocol_rate)[:, :n]
        if estimate.shape[0] != channels:  # downmixed for the model, or spread over its channels
            estimate = estimate.mean(0, keepdim=True).expand(channels, -1)
        estimate = torch.nn.functional.pad(estimate, (0, n - estimate.shape[1]))
        if not bool(torch.isfinite(estimate).all()):
            raise EstimateError(f"{self.spec.label} returned NaN or infinite samples.")
        out[...] = estimate.cpu().numpy()

    def _checked(self, estimates: object, shape: tuple[int, ...]) -> Tensor:
        import torch

        if not isinstance(estimates, torch.Tensor):
            raise EstimateError(
                f"{self.spec.label} returned {type(estimates).__name__}; expected a tensor."
            )
        if not estimates.is_floating_point():
            raise EstimateError(
                f"{self.spec.label} returned {estimates.dtype}; expected floating-point samples."
            )
        if tuple(estimates.shape) != shape:
            raise EstimateError(
                f"{self.spec.label} returned shape {tuple(estimates.shape)}; expected {shape} "
                "(estimates are as long as the mixture, one for each query)."
            )
        return estimates.float().to(self._device)

    @staticmethod
    def _guard(result: PairResult, step: Callable[[], None]) -> Failure | None:
        try:
            step()
        except (
            STRANGER_ERRORS
        ) as error:  # whatever a model's output does, it is that item's failure
            result.failure = Failure.of(error)
            return result.failure
        return None
