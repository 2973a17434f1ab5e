"""What follows separation where a model's setting asks for it: one step over a scene's estimates.

It works on the estimates as they are scored, at the protocol's rate and channels, so it can follow
any model, batched or not.

Shapes: Q queries of a scene, C channels, N samples at the protocol's rate.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sepbench.harness.api import Postprocess
from sepbench.harness.errors import STRANGER_ERRORS, EstimateError, PluginError
from sepbench.harness.records import Failure
from sepbench.harness.registry import import_target
from sepbench.harness.stages.requests import ModelSpec, PairResult, SceneInput

if TYPE_CHECKING:
    from torch import Tensor


class PostprocessStage:
    """The step that a model's setting names, over scenes whose estimates are written.

    Args:
        spec: its `postprocess` is "module:Class".
        device: where the step computes.

    Raises:
        PluginError: what is named is no postprocess.
    """

    def __init__(self, spec: ModelSpec, device: Any) -> None:
        what = f"postprocess of model '{spec.label}'"
        step = import_target(spec.postprocess, what)()
        if not isinstance(step, Postprocess):
            raise PluginError(f"The {what} ({spec.postprocess}) lacks one of card, process.")
        self._step = step
        self._device = device

    def run(self, scene: SceneInput, results: Sequence[PairResult]) -> None:
        """Put new estimates into the place of a scene's; all fail where one of them is missing."""
        failed = next((result.failure for result in results if result.failure is not None), None)
        started = time.perf_counter()
        failure: Failure | None = None
        if failed is not None:
            failure = Failure.of(
                EstimateError(
                    f"{self._step.card.name} needs all estimates of a scene, and one of them "
                    f"failed: {failed.error_type}: {failed.error}"
                )
            )
        else:
            try:
                self._process(scene)
            except STRANGER_ERRORS as error:  # a stranger's step may raise anything
                failure = Failure.of(error)
        share = (time.perf_counter() - started) / len(results)
        for result in results:
            result.failure = result.failure or failure
            result.separate_seconds += share

    def _process(self, scene: SceneInput) -> None:
        import torch

        mixture = torch.from_numpy(scene.mixture).to(self._device)  # (C, N)
        estimates = torch.stack([torch.from_numpy(pair.out) for pair in scene.pairs])
        made = self._step.process(
            mixture.clone(), estimates.to(self._device), sample_rate=scene.sample_rate
        )
        for pair, estimate in zip(scene.pairs, self._checked(made, estimates), strict=True):
            pair.out[...] = estimate.cpu().numpy()

    def _checked(self, made: object, estimates: Tensor) -> Tensor:
        """New estimates (Q, C, N) that can be scored.

        Raises:
            EstimateError: no such tensor, or NaN or infinite samples.
        """
        import torch

        name = self._step.card.name
        if not isinstance(made, torch.Tensor) or made.shape != estimates.shape:
            shape = tuple(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__
            raise EstimateError(f"{name} returned {shape}; expected {tuple(estimates.shape)}.")
        if not bool(torch.isfinite(made).all()):
            raise EstimateError(f"{name} returned NaN or infinite samples.")
        return made.float()
