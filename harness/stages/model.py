"""One loaded model and how it is called: units in, checked estimates out, at the model's rate.

Shapes: B batch, Q queries, c channels of a unit, M samples at the model's rate.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sepbench.harness.api import BaselineCard, QuerySeparator, Samples, SceneSeparator
from sepbench.harness.errors import STRANGER_ERRORS, BaselineLoadError, EstimateError, PluginError
from sepbench.harness.records import CellFacts
from sepbench.harness.registry import import_target
from sepbench.harness.stages.cost import count_flops, count_parameters
from sepbench.harness.stages.device import autocast, pick_device, versions
from sepbench.harness.stages.requests import ModelSpec, PairInput, SceneInput
from sepbench.harness.stages.signal import channel_units, resample, stack_key
from sepbench.harness.stages.transfer import Transfers

if TYPE_CHECKING:
    from torch import Tensor


class LoadedModel:
    """A model on its device.

    Attributes:
        by_query: it answers one query a mixture; otherwise everything about a scene at once.
        facts: the first call adds what only use can tell (FLOPs, and the parameters of encoders
            that load when they are first asked).

    Raises:
        BaselineLoadError: it cannot be made or loaded; the cause is chained.
        PluginError: it is neither kind of separator.
    """

    def __init__(self, spec: ModelSpec) -> None:
        started = time.perf_counter()
        self.spec = spec
        try:
            self.device = pick_device(spec.device, spec.precision)
            self.model: Any = import_target(spec.target, f"model '{spec.label}'")(**spec.settings)
            self.model.load(str(self.device))
        except STRANGER_ERRORS as error:  # a stranger's loader may raise anything
            raise BaselineLoadError(
                f"Model '{spec.label}' cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        self.by_query = not isinstance(self.model, SceneSeparator)
        if self.by_query and not isinstance(self.model, QuerySeparator):
            raise PluginError(
                f"Model '{spec.label}' ({spec.target}) is neither a QuerySeparator (card, load, "
                "condition, separate) nor a SceneSeparator (card, load, separate_scene)."
            )
        self._takes_seeds = (
            self.by_query and "seeds" in inspect.signature(self.model.separate).parameters
        )
        self._used = False
        self.transfers = Transfers(self.device)
        self.facts = CellFacts(
            device=str(self.device),
            precision=spec.precision,
            parameters=count_parameters(self.model),
            load_seconds=time.perf_counter() - started,
            versions=versions(self.device),
        )

    @property
    def card(self) -> BaselineCard:
        """The model's own."""
        card: BaselineCard = self.model.card
        return card

    def units(self, samples: Samples, scene: SceneInput) -> list[Tensor]:
        """A signal of the scene as the model's units at its rate: each (c, M)."""
        import torch

        card = self.card
        audio = self.transfers.upload(samples)  # (C, N)
        if card.sample_rate is not None:
            audio = resample(audio, scene.sample_rate, card.sample_rate)
        try:
            units = channel_units(audio, card.channels, downmix=scene.downmix)
        except EstimateError as error:
            raise EstimateError(f"{self.spec.label} {error}") from None
        short = card.min_samples - audio.shape[1]
        return [torch.nn.functional.pad(u, (0, short)) if short > 0 else u for u in units]

    def pieces(self, total: int, rate: int, longest: float | None = None) -> tuple[int, int]:
        """Length and overlap of the pieces of `total` samples.

        Args:
            total: length of the signal.
            rate: Hz, of the signal.
            longest: seconds, where memory allows no longer ones than these.
        """
        seconds, overlap = self.spec.chunk_seconds, self.spec.overlap_seconds
        if longest is not None and longest < seconds:
            seconds, overlap = longest, min(overlap, longest / 2)
        if self.card.chunking != "harness":
            return total, round(overlap * rate)
        size = min(max(self.card.min_samples, round(seconds * rate)), total)
        return size, round(overlap * rate)

    def separate(self, mixture: Tensor, conditions: Sequence[Any], seeds: Sequence[int]) -> Tensor:
        """One call of a query separator: (B, c, M) -> (B, c, M).

        Raises:
            EstimateError: what comes back is not such a tensor.
        """
        import torch

        condition: Any = conditions[0]
        if stack_key(condition) is not None:
            condition = torch.stack(list(conditions)).to(self.device)  # (B, …)
        more = {"seeds": list(seeds)} if self._takes_seeds else {}
        work = mixture.shape[0] * mixture.shape[-1]
        with autocast(self.device, self.spec.precision), self._first_use(work):
            estimates = self.model.separate(mixture, condition, **more)
        return self._checked(estimates, tuple(mixture.shape))

    def separate_scene(
        self, unit: Tensor, pairs: Sequence[PairInput], references: Tensor | None
    ) -> Tensor:
        """One call of a scene separator: (c, M) and references (Q, c, M) -> (Q, c, M).

        Raises:
            EstimateError: what comes back is not such a tensor.
        """
        work = len(pairs) * unit.shape[-1]
        with autocast(self.device, self.spec.precision), self._first_use(work):
            estimates = self.model.separate_scene(
                unit,
                [pair.query for pair in pairs],
                references=references,
                seeds=[pair.seed for pair in pairs],
            )
        return self._checked(estimates, (len(pairs), *unit.shape))

    @contextmanager
    def _first_use(self, num_samples: int) -> Iterator[None]:
        """Around the first call of a network: count its work, then compile it if asked to.

        Args:
            num_samples: that the call separates, times queries.
        """
        if self._used or self.facts.parameters is None:
            yield
            return
        with count_flops() as counted:
            yield
        self._used = True
        rate = self.card.sample_rate
        seconds = num_samples / rate if rate else 0.0
        compiled = self.spec.compile and hasattr(self.model, "compile_network")
        if compiled:
            import torch._dynamo

            # A kernel that cannot be built leaves its part of the network as it was.
            torch._dynamo.config.suppress_errors = True
            self.model.compile_network()
        self.facts = replace(
            self.facts,
            parameters=count_parameters(self.model),
            flops_per_second=counted.flops / seconds if seconds else None,
            compiled=compiled,
        )

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
        return estimates.float().to(self.device)
