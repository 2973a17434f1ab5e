"""What runs on the nodes of a Ray cluster, and the messages that go to and fro.

Audio is read, separated and scored here and passes between nodes through Ray's object store: a
call answers with a small message and, beside it, one object with a scene's audio and one with its
estimates. The driver keeps the references and never fetches them. All objects belong to the
driver, so that what a process has answered outlives it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sepbench.harness.api import Samples
from sepbench.harness.engines.children import Loaded
from sepbench.harness.engines.contract import CellJob, ItemWork, SceneWork
from sepbench.harness.engines.loading import Arrival, read_scene
from sepbench.harness.errors import STRANGER_ERRORS, PluginError
from sepbench.harness.records import CellFacts, Failure
from sepbench.harness.stages.load import LoadedScene
from sepbench.harness.stages.requests import ModelSpec, PairInput, PairResult, SceneInput
from sepbench.harness.stages.score import ItemInput, ItemScores, score_items
from sepbench.harness.stages.separate import SeparationStage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneAsk:
    """Some items of one scene.

    Attributes:
        cell: reference to the cell, in a list so that Ray does not fetch it with each call.
        indices: items to separate; kept estimates are read in any case.
    """

    cell_id: int
    cell: list[Any]
    work: SceneWork
    indices: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneAnswer:
    """What became of it; its audio and estimates are objects beside this.

    Attributes:
        failure: the scene could not be read.
        shape, sample_rate, files, load_seconds: as `LoadedScene`; nbytes: of both objects.
        item_failures: index -> why its kept estimate or its examples cannot be read.
        pairs: in the order of `SceneAsk.indices`.
    """

    failure: Failure | None = None
    shape: tuple[int, int] = (1, 0)
    sample_rate: int = 1
    files: Mapping[str, str]
    load_seconds: float = 0.0
    nbytes: int = 0
    item_failures: Mapping[int, Failure]
    pairs: tuple[PairResult, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchAnswer:
    """One call's scenes, and how the process is doing: as `Separated` of the local engine."""

    scenes: tuple[SceneAnswer, ...]
    facts: CellFacts | None = None
    peak_memory: int = 0
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    resident_bytes: int = 0
    wanted: int = 1
    learned: Mapping[tuple[int, int], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneAudio:
    """The audio of a scene: mixture (C, N), sources by name."""

    mixture: Samples
    sources: Mapping[str, Samples]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreAsk:
    """Items of one scene to score; `parts` objects with estimates follow its audio."""

    items: tuple[tuple[int, ItemWork], ...]
    parts: int
    sample_rate: int
    keep: Path | None


class SeparationActor:
    """One model in a process of its own: the next batch is read while this one is separated.

    Batches are separated in the order of their numbers, all in one thread.
    """

    def __init__(self, threads: int, loaders: int) -> None:
        self._threads, self._loaders = threads, loaders
        self._stage: SeparationStage | None = None
        self._device = "cpu"
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._turn = 0
        self._turns = threading.Condition()
        self._free = time.perf_counter()

    def where(self) -> tuple[str, int]:
        """Node and process id."""
        import ray

        return str(ray.get_runtime_context().get_node_id()), os.getpid()

    def load(self, spec: ModelSpec, device: str, learned: Mapping[tuple[int, int], int]) -> Loaded:
        """Make and load the model."""
        return self._model_thread.submit(self._load, spec, device, learned).result()

    def _load(self, spec: ModelSpec, device: str, learned: Mapping[tuple[int, int], int]) -> Loaded:
        import torch

        torch.set_num_threads(self._threads)
        self._stage = SeparationStage(replace(spec, device=device), learned)
        try:
            facts = self._stage.load()
        except STRANGER_ERRORS as error:  # told to the driver, which ends the cell
            return Loaded(None, Failure.of(error))
        self._device = facts.device
        self._free = time.perf_counter()
        return Loaded(facts, None)

    def separate(self, number: int, asks: Sequence[SceneAsk]) -> list[Any]:
        """The answer, then for each scene its audio and its estimates by item."""
        with self._in_turn(number) as my_turn:
            with ThreadPoolExecutor(self._loaders) as pool:
                arrivals = list(pool.map(_read, asks))
            my_turn()
            return self._model_thread.submit(self._separate, asks, arrivals).result()

    @contextmanager
    def _in_turn(self, number: int) -> Iterator[Any]:
        def wait() -> None:
            with self._turns:
                self._turns.wait_for(lambda: self._turn >= number)

        try:
            yield wait
        finally:
            wait()
            with self._turns:
                self._turn = number + 1
                self._turns.notify_all()

    def _separate(self, asks: Sequence[SceneAsk], arrivals: Sequence[Arrival]) -> list[Any]:
        from sepbench.harness.stages.device import peak_memory, resident_bytes

        assert self._stage is not None
        began = time.perf_counter()
        estimates = [_room(a, ask.indices) for a, ask in zip(arrivals, asks, strict=True)]
        found: list[dict[int, PairResult]] = [{} for _ in asks]
        inputs: list[SceneInput] = []
        places: list[tuple[int, tuple[int, ...]]] = []
        for k, (ask, arrival) in enumerate(zip(asks, arrivals, strict=True)):
            if arrival.loaded is None:
                continue
            bad = arrival.item_failures
            found[k] = {i: PairResult(failure=bad[i]) for i in ask.indices if i in bad}
            good = tuple(i for i in ask.indices if i not in bad)
            if good:
                places.append((k, good))
                inputs.append(_input(arrival.job, ask.work, arrival.loaded, estimates[k], good))
        if inputs:
            for (k, good), pairs in zip(places, self._stage.separate(inputs), strict=True):
                found[k].update(zip(good, pairs, strict=True))
        answer = BatchAnswer(
            scenes=tuple(
                _answer(ask, arrival, found[k], estimates[k])
                for k, (ask, arrival) in enumerate(zip(asks, arrivals, strict=True))
            ),
            facts=self._stage.facts,
            peak_memory=peak_memory(self._device),
            busy_seconds=time.perf_counter() - began,
            idle_seconds=began - self._free,
            resident_bytes=resident_bytes(),
            wanted=self._stage.wanted,
            learned=dict(self._stage.learned),
        )
        self._free = time.perf_counter()
        return [answer, *_objects(arrivals, estimates)]


def read_only(asks: Sequence[SceneAsk]) -> list[Any]:
    """As `SeparationActor.separate`, for scenes whose estimates are all kept."""
    arrivals = [_read(ask) for ask in asks]
    estimates = [_room(arrival, ()) for arrival in arrivals]
    scenes = tuple(
        _answer(ask, arrival, {}, kept)
        for ask, arrival, kept in zip(asks, arrivals, estimates, strict=True)
    )
    return [BatchAnswer(scenes=scenes, learned={}), *_objects(arrivals, estimates)]


def score(asks: Sequence[ScoreAsk], *objects: Any) -> tuple[list[list[ItemScores]], float]:
    """Scores of each scene's items, and the seconds spent.

    Args:
        asks: one a scene.
        objects: for each scene its `SceneAudio`, then so many mappings from items to estimates.
    """
    # What comes out of the object store is read-only, and nobody writes to it here.
    warnings.filterwarnings("ignore", message=".*not writable.*")
    began = time.perf_counter()
    rest = iter(objects)
    return [_score(ask, rest) for ask in asks], time.perf_counter() - began


def _score(ask: ScoreAsk, objects: Iterator[Any]) -> list[ItemScores]:
    audio: SceneAudio = next(objects)
    estimates: dict[int, Samples] = {}
    for _ in range(ask.parts):
        estimates.update(next(objects))
    items = [
        ItemInput(
            target=item.target,
            reference=_reference(item, audio.mixture, audio.sources),
            estimate=estimates[index],
            metrics=item.metrics,
            check=item.check,
            text=item.query.words or None,
            context=item.context,
        )
        for index, item in ask.items
    ]
    return score_items(audio.mixture, audio.sources, items, ask.sample_rate, ask.keep)


# --- reading ------------------------------------------------------------------------------

# Cells that a process keeps unpacked: a model's scenes come cell by cell, and batches may mix few.
CELLS_KEPT = 4
_cells: dict[int, tuple[Any, CellJob]] = {}
_cells_lock = threading.Lock()


def _read(ask: SceneAsk) -> Arrival:
    try:
        job = _cell(ask)
    except STRANGER_ERRORS as error:  # what unpacking a stranger's dataset raises
        text = (
            f"The dataset cannot be unpacked on {os.uname().nodename}: {type(error).__name__}: "
            f"{error}. Every node needs the same packages, plugins included."
        )
        logger.warning(text)
        failure = Failure.of(PluginError(text))
        nothing: Any = None  # the job is what could not be had
        return Arrival(job=nothing, work=ask.work, failure=failure, kept={}, item_failures={})
    return read_scene(job, ask.work)


def _cell(ask: SceneAsk) -> CellJob:
    """The cell, unpacked once while it is in use: a corpus may hold long lists."""
    import ray

    known = _cells.get(ask.cell_id)
    if known is None or known[0] != ask.cell[0]:
        known = (ask.cell[0], ray.get(ask.cell[0]))
    with _cells_lock:
        _cells.pop(ask.cell_id, None)
        _cells[ask.cell_id] = known  # the latest comes last
        while len(_cells) > CELLS_KEPT:
            del _cells[next(iter(_cells))]
    return known[1]


def _room(arrival: Arrival, indices: Iterable[int]) -> dict[int, Samples]:
    """Kept estimates, and room for those that are to be made."""
    if arrival.loaded is None:
        return {}
    mixture = arrival.loaded.mixture
    return {**arrival.kept, **{i: np.zeros_like(mixture) for i in indices}}


def _input(
    job: CellJob,
    work: SceneWork,
    loaded: LoadedScene,
    estimates: Mapping[int, Samples],
    indices: Iterable[int],
) -> SceneInput:
    return SceneInput(
        mixture=loaded.mixture,
        sample_rate=loaded.sample_rate,
        downmix=job.protocol.model_channels == "downmix",
        pairs=tuple(
            PairInput(
                query=work.items[i].query,
                seed=work.items[i].seed,
                out=estimates[i],
                reference=_reference(work.items[i], loaded.mixture, loaded.sources)
                if job.needs_references
                else None,
            )
            for i in indices
        ),
    )


def _reference(item: ItemWork, mixture: Samples, sources: Mapping[str, Samples]) -> Samples:
    return np.zeros_like(mixture) if item.absent else sources[item.target]


def _answer(
    ask: SceneAsk,
    arrival: Arrival,
    pairs: Mapping[int, PairResult],
    estimates: Mapping[int, Samples],
) -> SceneAnswer:
    loaded = arrival.loaded
    if loaded is None:
        lost = tuple(PairResult(failure=arrival.failure) for _ in ask.indices)
        return SceneAnswer(failure=arrival.failure, files={}, item_failures={}, pairs=lost)
    channels, length = loaded.mixture.shape
    return SceneAnswer(
        shape=(channels, length),
        sample_rate=loaded.sample_rate,
        files=dict(loaded.files),
        load_seconds=loaded.seconds,
        nbytes=loaded.nbytes + sum(estimate.nbytes for estimate in estimates.values()),
        item_failures=dict(arrival.item_failures),
        pairs=tuple(pairs[i] for i in ask.indices),
    )


def _objects(
    arrivals: Sequence[Arrival], estimates: Sequence[Mapping[int, Samples]]
) -> Iterator[Any]:
    for arrival, made in zip(arrivals, estimates, strict=True):
        loaded = arrival.loaded
        yield loaded and SceneAudio(mixture=loaded.mixture, sources=dict(loaded.sources))
        yield made
