"""`bench check`: a model, dataset or metric through its contract on tiny data, in seconds."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from sepbench.harness.api import BaselineCard, Example, Query, Samples, Undefined
from sepbench.harness.errors import (
    STRANGER_ERRORS,
    BenchError,
    MissingExtraError,
    MissingNetworkError,
    MissingRootError,
    SettingError,
    UnknownNameError,
)
from sepbench.harness.metrics.catalog import card_of, score_scene
from sepbench.harness.metrics.contract import ScoredItem, ScoredScene
from sepbench.harness.protocols import load_protocol
from sepbench.harness.run.catalogs import DATASETS, METRICS, MODELS
from sepbench.harness.run.corpora import open_dataset
from sepbench.harness.run.models import ModelRequest, plan_model, spec_of
from sepbench.harness.settings import RunSettings
from sepbench.harness.stages.load import load_scene
from sepbench.harness.stages.requests import PairInput, SceneInput
from sepbench.harness.stages.separate import SeparationStage

# Batches may sum in another order; anything above this is a model that looks across its batch.
BATCH_TOLERANCE = 1e-4
_RATE = 16000


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the check."""

    verdict: Literal["ok", "skipped", "FAILED"]
    what: str
    detail: str = ""


def check(name: str, settings: RunSettings) -> Iterator[CheckResult]:
    """Check whatever has this name.

    Raises:
        UnknownNameError: no model, dataset or metric has it.
    """
    checks: list[tuple[Any, Callable[[], Iterator[CheckResult]]]] = [
        (MODELS, lambda: _model(name, settings)),
        (DATASETS, lambda: _dataset(name, settings)),
        (METRICS, lambda: _metric(name)),
    ]
    found = [run for registry, run in checks if name in registry.entries]
    if "=" in name or ":" in name:
        found = [lambda: _model(name, settings)]
    if not found:
        known = [n for registry, _ in checks for n in registry.entries]
        raise UnknownNameError("model, dataset or metric", name, known)
    label = ModelRequest.parse(name).label
    for section, given in (
        ("models", settings.model_settings),
        ("datasets", settings.dataset_settings),
    ):
        for other in sorted(set(given) - {label}):
            raise SettingError(f"{section}.{other}… sets what is not checked here: {label} is.")
    for run in found:
        yield from run()


def _step(what: str, step: Callable[[], str | None]) -> CheckResult:
    try:
        with redirect_stdout(sys.stderr):  # what a plugin prints is not a verdict
            return CheckResult("ok", what, step() or "")
    except (MissingExtraError, MissingNetworkError, MissingRootError) as error:
        return CheckResult("skipped", what, str(error))
    except BenchError as error:
        return CheckResult("FAILED", what, str(error))
    except STRANGER_ERRORS as error:  # a stranger's code may raise anything; it is what we look for
        where = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        return CheckResult("FAILED", what, detail)


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise BenchError(message)


# --- models -------------------------------------------------------------------------------


def _model(name: str, settings: RunSettings) -> Iterator[CheckResult]:
    planned: list[Any] = []

    def make() -> str:
        planned.append(plan_model(ModelRequest.parse(name), settings))
        card: BaselineCard = planned[0].card
        return f"version {card.version}, {'/'.join(card.query_kinds) or 'no query'}"

    result = _step("imports, card and constructor", make)
    yield result
    if result.verdict != "ok":
        return
    card: BaselineCard = planned[0].card
    # A postprocess belongs to a whole scene's queries; here the model is checked by itself.
    stage = SeparationStage(replace(spec_of(planned[0], settings), postprocess=""))

    def load() -> str:
        facts = stage.load()
        count = "no networks" if facts.parameters is None else f"{facts.parameters:,} parameters"
        return f"{facts.device}, {facts.load_seconds:.1f} s, {count}"

    result = _step("loads", load)
    yield result
    if result.verdict != "ok":
        return
    for kind in card.query_kinds or ("none",):
        queries = _queries(kind, card)
        yield _step(f"separates ({kind} query), one second", partial(_shape, stage, queries))
        yield _step(
            f"odd length, silence ({kind} query)",
            partial(_extremes, stage, queries),
        )
        yield _step(f"batch of two equals singles ({kind} query)", partial(_batch, stage, queries))
        yield _step(f"same again gives the same ({kind} query)", partial(_repeat, stage, queries))


def _queries(kind: str, card: BaselineCard) -> list[Query]:
    import torch

    if kind == "text":
        return [Query(text="a dog barking"), Query(text="rain falling on a roof")]
    if kind == "label":
        return [Query(label="dog"), Query(label="sea_waves")]
    if kind == "none":
        return [Query(), Query()]
    rate = card.sample_rate or _RATE
    return [
        Query(
            text="a dog barking" if kind == "text+audio" else None,
            examples=(
                Example(
                    clip_id=f"noise-{seed}",
                    waveform=torch.from_numpy(_noise(1, 2 * rate, seed)),
                    sample_rate=rate,
                ),
            ),
        )
        for seed in (1, 2)
    ]


def _noise(channels: int, length: int, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal((channels, length))).astype(np.float32)


def _separate(
    stage: SeparationStage, queries: list[Query], mixtures: list[Samples]
) -> list[Samples]:
    scenes, outputs = [], []
    for mixture in mixtures:
        outs = [np.zeros_like(mixture) for _ in queries]
        outputs += outs
        pairs = tuple(
            PairInput(query=query, seed=7, out=out, reference=mixture * np.float32(0.5))
            for query, out in zip(queries, outs, strict=True)
        )
        scenes.append(SceneInput(mixture=mixture, sample_rate=_RATE, downmix=False, pairs=pairs))
    for results in stage.separate(scenes):
        for result in results:
            if result.failure is not None:
                raise BenchError(f"{result.failure.error_type}: {result.failure.error}")
    return outputs


def _shape(stage: SeparationStage, queries: list[Query]) -> str:
    outputs = _separate(stage, queries[:1], [_noise(1, _RATE)])
    peak = float(np.abs(outputs[0]).max())
    return f"peak {peak:.3f}" if peak else "the estimate of noise is silent"


def _extremes(stage: SeparationStage, queries: list[Query]) -> None:
    _separate(stage, queries[:1], [_noise(1, 12347), np.zeros((1, _RATE), dtype=np.float32)])


def _batch(stage: SeparationStage, queries: list[Query]) -> str:
    mixtures = [_noise(1, _RATE, 3), _noise(1, _RATE, 4)]
    together = _separate(stage, queries, mixtures)
    alone = [
        out
        for mixture in mixtures
        for query in queries
        for out in _separate(stage, [query], [mixture])
    ]
    difference = max(float(np.abs(a - b).max()) for a, b in zip(together, alone, strict=True))
    _need(
        difference < BATCH_TOLERANCE,
        f"a batch differs from singles by {difference:.2g}; items must not influence each other",
    )
    return f"largest difference {difference:.1g}"


def _repeat(stage: SeparationStage, queries: list[Query]) -> str:
    first = _separate(stage, queries[:1], [_noise(1, _RATE)])
    second = _separate(stage, queries[:1], [_noise(1, _RATE)])
    difference = float(np.abs(first[0] - second[0]).max())
    _need(
        difference < BATCH_TOLERANCE,
        f"two runs with one seed differ by {difference:.2g}; take randomness from `seeds`",
    )
    return ""


# --- datasets and metrics -----------------------------------------------------------------


def _dataset(name: str, settings: RunSettings) -> Iterator[CheckResult]:
    opened: list[Any] = []

    def make() -> str:
        opened.append(open_dataset(name, settings.dataset_settings.get(name)))
        return f"lists: {', '.join(card.name for card in opened[0].card.lists)}"

    result = _step("imports, card and constructor", make)
    yield result
    if result.verdict != "ok":
        return
    dataset = opened[0]

    def first_scene() -> str:
        own = getattr(dataset, "protocols", None)
        protocol = load_protocol(dataset.default_protocol(), own)
        rows = dataset.scenes(protocol.list_name)
        _need(len(rows) > 0, f"list '{protocol.list_name}' is empty")
        ids = [row.scene_id for row in rows]
        _need(len(set(ids)) == len(ids), f"list '{protocol.list_name}' repeats scene ids")
        first, second = (load_scene(dataset, rows[0], protocol) for _ in range(2))
        _need(
            bool((first.mixture == second.mixture).all()),
            f"scene {ids[0]} is different when it is loaded again",
        )
        return f"{len(rows)} scenes; {ids[0]}: {first.mixture.shape} at {first.sample_rate} Hz"

    yield _step("default protocol, unique scenes, first scene loads twice alike", first_scene)


def _metric(name: str) -> Iterator[CheckResult]:
    def make() -> str:
        card = card_of(name)
        return f"{card.identity}, {card.unit}"

    result = _step("imports and card", make)
    yield result
    if result.verdict != "ok":
        return
    reference, other = _noise(1, _RATE, 1), _noise(1, _RATE, 2)

    def score(estimate: Samples, source: Samples) -> str:
        item = ScoredItem(target="a", reference=source, estimate=estimate)
        scene = ScoredScene(
            sample_rate=_RATE,
            mixture=source + other[:, : source.shape[1]],
            references={"a": source, "b": other[:, : source.shape[1]]},
            items=(item,),
        )
        value = score_scene(scene, [name])[0][name]
        _need(isinstance(value, Undefined) or value == value, "returned NaN; raise Undefined")
        return value.reason if isinstance(value, Undefined) else f"{value:.3f}"

    yield _step("good estimate", lambda: score(reference + 0.1 * other, reference))
    yield _step("mute estimate", lambda: score(reference * 0, reference))
    yield _step("silent reference", lambda: score(other, reference * 0))
    yield _step("100 samples", lambda: score(reference[:, :100] * 0.9, reference[:, :100]))
