"""What runs in the child processes, and the messages that go to and fro.

Both mains answer every message with one message, so the driver always knows who is busy with
what; a scorer first says that it is ready. Text that a model prints goes to stderr: stdout is
data.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sepbench.harness.api import Query
from sepbench.harness.engines.arena import Block, BlockReader
from sepbench.harness.errors import STRANGER_ERRORS
from sepbench.harness.records import CellFacts, Failure
from sepbench.harness.stages.requests import ModelSpec, PairInput, PairResult, SceneInput
from sepbench.harness.stages.score import ItemInput, ItemScores, score_items
from sepbench.harness.stages.separate import SeparationStage


@dataclass(frozen=True, slots=True)
class PairMessage:
    """One estimate to make into `out`."""

    query: Query
    seed: int
    out: Block
    reference: Block | None


@dataclass(frozen=True, slots=True)
class SceneMessage:
    """A mixture and what is asked of it."""

    mixture: Block
    sample_rate: int
    downmix: bool
    pairs: tuple[PairMessage, ...]


@dataclass(frozen=True, slots=True)
class LoadMessage:
    """Make and load the model.

    Attributes:
        device: where, instead of the one in `spec`.
        learned: batch sizes that a process before found out.
    """

    spec: ModelSpec
    device: str
    learned: Mapping[tuple[int, int], int]


@dataclass(frozen=True, slots=True)
class SeparateMessage:
    """Separate these scenes together."""

    scenes: tuple[SceneMessage, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Answer to `LoadMessage`."""

    facts: CellFacts | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Separated:
    """Answer to `SeparateMessage`: per scene, per pair.

    Attributes:
        busy_seconds: from the message to this answer; idle_seconds: waited for the message.
        resident_bytes: of the process now.
        wanted: pairs that the next message should hold.
        learned: batch sizes found out so far.
    """

    results: list[list[PairResult]]
    peak_memory: int
    facts: CellFacts | None
    busy_seconds: float
    idle_seconds: float
    resident_bytes: int
    wanted: int
    learned: Mapping[tuple[int, int], int]


@dataclass(frozen=True, slots=True)
class Ready:
    """First word of a scorer: its imports are done."""


@dataclass(frozen=True, slots=True)
class ItemMessage:
    """One estimate to score; `reference` None means silence, `context` as in `ItemWork`."""

    target: str
    reference: Block | None
    estimate: Block
    metrics: tuple[str, ...]
    check: tuple[str, float] | None
    text: str | None
    context: bool = False


@dataclass(frozen=True, slots=True)
class ScoreScene:
    """One scene to score."""

    mixture: Block
    sources: Mapping[str, Block]
    items: tuple[ItemMessage, ...]
    sample_rate: int
    keep: Path | None


@dataclass(frozen=True, slots=True)
class ScoreMessage:
    """Score these scenes, each by itself."""

    scenes: tuple[ScoreScene, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """Answer to `ScoreMessage`: per scene, per item."""

    results: list[list[ItemScores]]
    busy_seconds: float


# What asks a run to stop comes to the children too, and is for the driver alone.
ASKS_TO_STOP = (signal.SIGINT, signal.SIGTERM)

Message: TypeAlias = LoadMessage | SeparateMessage | ScoreMessage
Answer: TypeAlias = Loaded | Separated | Ready | Scored


def separation_main(connection: Connection, threads: int) -> None:
    """The process of one model: load once, then separate until the driver hangs up."""
    _settle()
    import torch

    from sepbench.harness.stages.device import peak_memory, resident_bytes

    torch.set_num_threads(threads)
    stage: SeparationStage | None = None
    device = "cpu"
    reader = BlockReader()
    free = time.perf_counter()
    while (message := _receive(connection)) is not None:
        began = time.perf_counter()
        if isinstance(message, LoadMessage):
            stage = SeparationStage(replace(message.spec, device=message.device), message.learned)
            try:
                facts = stage.load()
            except STRANGER_ERRORS as error:  # told to the driver, which ends the cell
                connection.send(Loaded(None, Failure.of(error)))
                continue
            device = facts.device
            connection.send(Loaded(facts, None))
        elif isinstance(message, SeparateMessage) and stage is not None:
            scenes = [_scene_input(scene, reader) for scene in message.scenes]
            results = stage.separate(scenes)
            del scenes
            answer = Separated(
                results=results,
                peak_memory=peak_memory(device),
                facts=stage.facts,
                busy_seconds=time.perf_counter() - began,
                idle_seconds=began - free,
                resident_bytes=resident_bytes(),
                wanted=stage.wanted,
                learned=stage.learned,
            )
            connection.send(answer)
        free = time.perf_counter()


def scoring_main(connection: Connection) -> None:
    """One scorer: score until the driver hangs up."""
    _settle()
    reader = BlockReader()
    connection.send(Ready())
    while (message := _receive(connection)) is not None:
        if isinstance(message, ScoreMessage):
            began = time.perf_counter()
            results = [_score(scene, reader) for scene in message.scenes]
            connection.send(Scored(results, time.perf_counter() - began))


def _scene_input(scene: SceneMessage, reader: BlockReader) -> SceneInput:
    return SceneInput(
        mixture=reader.array(scene.mixture),
        sample_rate=scene.sample_rate,
        downmix=scene.downmix,
        pairs=tuple(
            PairInput(
                query=pair.query,
                seed=pair.seed,
                out=reader.array(pair.out),
                reference=reader.array(pair.reference) if pair.reference else None,
            )
            for pair in scene.pairs
        ),
    )


def _score(scene: ScoreScene, reader: BlockReader) -> list[ItemScores]:
    mixture = reader.array(scene.mixture)
    items = [
        ItemInput(
            target=item.target,
            reference=reader.array(item.reference) if item.reference else np.zeros_like(mixture),
            estimate=reader.array(item.estimate),
            metrics=item.metrics,
            check=item.check,
            text=item.text,
            context=item.context,
        )
        for item in scene.items
    ]
    sources = {name: reader.array(block) for name, block in scene.sources.items()}
    return score_items(mixture, sources, items, scene.sample_rate, scene.keep)


def _settle() -> None:
    """Make a child a good one: quiet, deaf to requests to stop, and gone when its driver is."""
    os.dup2(2, 1)
    # The driver decides what Ctrl-C and SIGTERM mean. A terminal sends the one to every process
    # of the group, Slurm, systemd and kill -- -PGID the other. A child ends by its pipe or SIGKILL.
    for number in ASKS_TO_STOP:
        signal.signal(number, signal.SIG_IGN)
    # Held back since before it began, see `Child`; none of them means anything from now on.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKS_TO_STOP)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)  # the driver was killed; a computation in progress must not outlive it

    threading.Thread(target=watch, daemon=True).start()


def _receive(connection: Connection) -> Any:
    try:
        return connection.recv()
    except (EOFError, ConnectionResetError):
        return None
