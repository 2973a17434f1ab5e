"""From a model as asked for to a planned one: name, class, settings, identity."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sepbench.baselines.weights import installed, known_sha256
from sepbench.harness.api import (
    BaselineCard,
    PostprocessCard,
    QueryKind,
    QuerySeparator,
    SceneSeparator,
)
from sepbench.harness.errors import (
    STRANGER_ERRORS,
    BenchError,
    PluginError,
    SettingError,
    near_matches,
)
from sepbench.harness.identity import baseline_identity, file_sha256, source_digest
from sepbench.harness.plan import PlannedModel
from sepbench.harness.protocols import KINDS
from sepbench.harness.registry import import_target
from sepbench.harness.run.catalogs import MODELS, POSTPROCESSES
from sepbench.harness.settings import RunSettings
from sepbench.harness.stages.requests import ModelSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRequest:
    """A model as named on the command line.

    Attributes:
        label: what tables call it.
        name: in the registry, or "module:Class".
    """

    label: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ModelRequest:
        """`name`, `label=name`, or `label=module:Class`."""
        label, separator, name = text.partition("=")
        if separator and not (label and name):
            raise SettingError(f"Model '{text}': expected NAME or LABEL=NAME.")
        return cls(label=label, name=name or label)


def open_class(name: str) -> tuple[str, Any]:
    """The target and the class a model name stands for.

    Raises:
        UnknownNameError, DuplicateNameError, PluginError: as the registry.
    """
    if ":" in name:
        return name, import_target(name, f"model '{name}'")
    return MODELS.entry(name).target, MODELS.load(name)


def plan_models(settings: RunSettings) -> list[PlannedModel]:
    """The grid's models, the bounds first, each with its identity.

    Raises:
        UsageError: unknown names or settings, or one label for two models.
    """
    requests = [ModelRequest.parse(text) for text in settings.models]
    asked = {request.label for request in requests}
    bounds = [ModelRequest(label=name, name=name) for name in settings.bounds if name not in asked]
    planned: dict[str, PlannedModel] = {}
    for request in [*bounds, *requests]:
        model = plan_model(request, settings)
        before = planned.get(model.label)
        if before is not None and before.identity != model.identity:
            raise SettingError(
                f"Two models are called '{model.label}'. Name a variant: -m OTHER={model.name}."
            )
        twin = next((m for m in planned.values() if m.identity == model.identity), None)
        if twin is not None and twin.label != model.label:
            raise SettingError(
                f"'{twin.label}' and '{model.label}' are one model with the same settings. Ask for "
                f"one of them, or set them apart: models.{model.label}.SETTING=VALUE."
            )
        planned[model.label] = model
    unused = set(settings.model_settings) - set(planned)
    if unused:
        name = sorted(unused)[0]
        raise SettingError(
            f"models.{name}… sets a model that is not in this run.{near_matches(name, planned)}"
        )
    return list(planned.values())


def plan_model(request: ModelRequest, settings: RunSettings) -> PlannedModel:
    """One model with its settings checked against its constructor."""
    target, made = open_class(request.name)
    given = dict(settings.model_settings.get(request.label, {}))
    step, step_identity = find_postprocess(made, given, request.label)
    complete = complete_settings(made, given, request.label)
    found = find_open_weights(made, complete)
    given, complete = {**given, **found}, {**complete, **found}
    card: BaselineCard = make_model(made, complete, request.label).card
    if step:
        after = step_identity["postprocess"]["name"]
        card = replace(card, joint=True, summary=f"{card.summary}; then {after}")
    return PlannedModel(
        label=request.label,
        name=request.name,
        target=target,
        card=card,
        settings=given,
        identity=baseline_identity(
            request.name,
            card,
            source=source_digest(made.__module__),
            settings=complete,
            precision=settings.precision,
            chunk_seconds=settings.chunk_seconds,
            overlap_seconds=settings.overlap_seconds,
            sha256=_sha256,
        )
        | step_identity,
        postprocess=step,
        weights_of_kinds=_weights_of_kinds(made, request.label),
    )


def _weights_of_kinds(made: Any, label: str) -> dict[str, tuple[QueryKind, ...]]:
    """Settings whose weights only some kinds of query need, as the class says.

    They count in no cell of another kind: installing them makes no other model of it there.

    Raises:
        PluginError: the class says it in another way.
    """
    said = getattr(made, "weights_of_kinds", {})
    known = {*KINDS, "text+audio"}
    if not isinstance(said, Mapping) or not all(
        isinstance(kinds, tuple | list) and all(kind in known for kind in kinds)
        for kinds in said.values()
    ):
        raise PluginError(
            f"Model '{label}': weights_of_kinds is {said!r}; expected setting -> a tuple of "
            f"{', '.join(KINDS)}, text+audio."
        )
    return {str(setting): tuple(kinds) for setting, kinds in said.items()}


def find_postprocess(
    made: Any, given: dict[str, Any], label: str
) -> tuple[str, dict[str, Mapping[str, str]]]:
    """The step that `postprocess` among a model's settings names: its target and its identity.

    It is the harness's own setting, taken out of `given`, unless the constructor has one of that
    name.

    Raises:
        SettingError: the setting holds no name.
        UnknownNameError, PluginError: as the registry, or the step has no card.
    """
    if "postprocess" not in given or "postprocess" in inspect.signature(made).parameters:
        return "", {}
    name = given.pop("postprocess")
    if name is None:
        return "", {}
    if not isinstance(name, str) or not name:
        raise SettingError(f"models.{label}.postprocess={name!r}: expected a name, or null.")
    if ":" in name:
        target, step = name, import_target(name, f"postprocess '{name}'")
    else:
        target, step = POSTPROCESSES.entry(name).target, POSTPROCESSES.load(name)
    card = getattr(step, "card", None)
    if not isinstance(card, PostprocessCard):
        raise PluginError(f"Postprocess '{name}': its card is not a PostprocessCard.")
    source = source_digest(target.partition(":")[0])
    return target, {"postprocess": {"name": name, "version": card.version, "source": source}}


def complete_settings(made: Any, given: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Given settings over the constructor's defaults.

    Raises:
        PluginError: nothing that can be called.
        SettingError: the constructor has no such parameter, or one is missing.
    """
    if not callable(made):
        raise PluginError(f"Model '{label}' names {made!r}; expected a class.")
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(made).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    for name in given:
        if name not in parameters:
            raise SettingError(
                f"Model '{label}' has no setting '{name}'.{near_matches(name, parameters)}"
            )
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and name not in given
    ]
    if missing:
        raise SettingError(
            f"Model '{label}' needs {', '.join(missing)}; give models.{label}.{missing[0]}=VALUE."
        )
    defaults = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
    return {**defaults, **given}


def find_open_weights(made: Any, settings: Mapping[str, Any]) -> dict[str, str]:
    """Paths of installed weights for the settings a class leaves to the harness.

    A class says so in its attribute `weights`: setting -> name known to `bench weights`. What is
    not installed stays open: the model's `load` then says what is missing.

    Raises:
        UnknownNameError: `bench weights` knows no such name.
    """
    asked = getattr(made, "weights", None)
    if not isinstance(asked, Mapping):  # none, or a plugin's own attribute of that name
        return {}
    open_settings = {
        setting: installed(name)
        for setting, name in asked.items()
        if setting in settings and settings[setting] is None
    }
    return {setting: str(there.path) for setting, there in open_settings.items() if there}


def _sha256(path: Path) -> str:
    """A file's sum: from the record of its installation, else read once a process."""
    stat = path.stat()
    return known_sha256(path) or _read_sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _read_sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Keyed by size and time too: a file that is written again is read again."""
    return file_sha256(path)


def make_model(made: Any, settings: Mapping[str, Any], label: str) -> Any:
    """An instance that keeps the contract of a separator. Loads nothing.

    Raises:
        PluginError: not a separator, or its constructor raises.
        BenchError: the constructor's own named errors.
    """
    try:
        instance = made(**settings)
    except BenchError:
        raise
    except STRANGER_ERRORS as error:  # a stranger's constructor may raise anything
        raise PluginError(
            f"Model '{label}' cannot be made: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(instance, QuerySeparator | SceneSeparator):
        raise PluginError(
            f"Model '{label}' is neither a QuerySeparator (card, load, condition, separate) nor a "
            "SceneSeparator (card, load, separate_scene)."
        )
    if not isinstance(instance.card, BaselineCard):
        raise PluginError(f"Model '{label}': its card is not a BaselineCard.")
    _check_card(instance.card, label)
    return instance


def _check_card(card: BaselineCard, label: str) -> None:
    """Refuse values that the stages could not work with.

    Raises:
        PluginError: names the field, what it holds and what is expected.
    """
    kinds = card.query_kinds
    whole = {
        "sample_rate": card.sample_rate,
        "channels": card.channels,
        "min_samples": card.min_samples,
    }
    problems = [
        (f"{field} is {value!r}", "a whole number of at least 1")
        for field, value in whole.items()
        if not (value is None and field != "min_samples")
        and (isinstance(value, bool) or not isinstance(value, int) or value < 1)
    ]
    if not isinstance(card.name, str) or not card.name:
        problems.append((f"name is {card.name!r}", "a word"))
    if not isinstance(card.version, str):
        problems.append((f"version is {card.version!r}", "text, for example '1'"))
    if isinstance(kinds, str) or any(kind not in (*KINDS, "text+audio") for kind in kinds):
        problems.append((f"query_kinds is {kinds!r}", f"a tuple of {', '.join(KINDS)}, text+audio"))
    for field, value, choices in (
        ("chunking", card.chunking, ("harness", "own", "none")),
        ("role", card.role, ("model", "lower", "upper")),
    ):
        if value not in choices:
            problems.append((f"{field} is {value!r}", f"one of {', '.join(choices)}"))
    for found, expected in problems:
        raise PluginError(f"Model '{label}', card: {found}; expected {expected}.")


def spec_of(model: PlannedModel, settings: RunSettings) -> ModelSpec:
    """What the engine needs to run a planned model."""
    return ModelSpec(
        label=model.label,
        name=model.name,
        target=model.target,
        settings=dict(model.settings),
        device=settings.device.partition(",")[0],  # an engine of several says which where
        precision=settings.precision,
        batch_size=settings.batch_size,
        chunk_seconds=settings.chunk_seconds,
        overlap_seconds=settings.overlap_seconds,
        degrade=settings.engine.degrade,
        postprocess=model.postprocess,
    )
