"""What is tried for an item that does not fit into memory, as far as a run allows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sepbench.harness.errors import STRANGER_ERRORS, DeviceMemoryError
from sepbench.harness.records import Failure
from sepbench.harness.stages.model import LoadedModel
from sepbench.harness.stages.requests import ModelSpec, PairResult, SceneInput

SHORTEST_PIECE = 1.0  # seconds; no separator says anything useful about less


class MilderWays:
    """Ways that need less memory; each may show in the estimate, and is noted with it.

    Args:
        spec: its `degrade` says what is allowed, in this order.
        model: as it was loaded.
    """

    def __init__(self, spec: ModelSpec, model: LoadedModel) -> None:
        self._spec, self._model = spec, model
        self._on_cpu: LoadedModel | None = None

    def of(
        self, result: PairResult, scene: SceneInput
    ) -> Iterator[tuple[LoadedModel, float | None, str]]:
        """A model, the longest piece in seconds, and words for the record.

        For as long as `result` says that memory ran out; whoever is given a way tries it.
        """
        if not result.exhausted:
            return
        first = self._model
        seconds = scene.mixture.shape[1] / scene.sample_rate
        for way in self._spec.degrade:
            longest = min(self._spec.chunk_seconds, seconds) / 2
            while way == "chunks" and first.card.chunking == "harness" and result.exhausted:
                if longest < SHORTEST_PIECE:
                    break
                result.failure, result.exhausted = None, False
                yield first, longest, f"pieces of {longest:g} s"
                longest /= 2
            if way == "cpu" and first.device.type != "cpu" and result.exhausted:
                result.failure, result.exhausted = None, False
                try:
                    model = self._cpu_model()
                except STRANGER_ERRORS as error:  # a stranger's loader may raise anything
                    result.failure, result.degraded = Failure.of(error), ""
                    return
                yield model, None, "on the CPU"
        if result.exhausted:
            result.degraded = ""
            result.failure = Failure.of(self._no_memory(seconds))

    def _cpu_model(self) -> LoadedModel:
        """The same model on the CPU, loaded when it is first needed."""
        if self._on_cpu is None:
            spec = replace(self._spec, device="cpu", compile=False)
            if spec.precision in ("tf32", "fp16"):  # which the CPU has not
                spec = replace(spec, precision="float32")
            self._on_cpu = LoadedModel(spec)
        return self._on_cpu

    def _no_memory(self, seconds: float) -> DeviceMemoryError:
        spec = self._spec
        tried = f" Tried and not enough: {', '.join(spec.degrade)}." if spec.degrade else ""
        return DeviceMemoryError(
            f"Model '{spec.label}' ran out of memory on {self._model.device} with one item of "
            f"{seconds:.1f} s.{tried} Use a device with more memory, or a smaller chunk.seconds "
            "(another cell). engine.degrade=[chunks,cpu] allows shorter pieces and the CPU for "
            "such items, and marks them."
        )
