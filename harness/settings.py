"""Settings: packaged defaults < workspace file < environment < command line, resolved by Hydra.

The dataclasses own the meaning of each key; `configs/config.yaml` owns its default. Values are
data only: nothing is instantiated from a configuration, and unknown keys are refused.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, cast

from sepbench.harness.api import QueryKind
from sepbench.harness.errors import SettingError, UsageError, near_matches

WORKSPACE_FILE = "settings.yaml"
ENVIRONMENT_PREFIX = "SEPBENCH__"  # SEPBENCH__ENGINE__WORKERS=4 sets engine.workers
OPEN_SECTIONS = ("models", "datasets")  # keyed by names that only registries know
_CONFIGS = "sepbench.harness.configs"
MOST_WORKERS = 256
PRECISIONS = ("float32", "tf32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """Where and how the stages run. Nothing here can change a result."""

    name: Literal["local", "inline"] = "local"
    workers: int = 2
    loaders: int = 2
    threads: int = 2
    memory_bytes: int = 1 << 30
    item_timeout: float = 900.0
    load_timeout: float = 1800.0
    crash_limit: int = 10
    order: Literal["list", "shuffled"] = "list"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """One run, complete.

    Attributes:
        models: as given: a name, `variant=name`, or `variant=module:Class`.
        datasets: as given: a name or `name:protocol`.
        shots: each a cell of its own for audio queries; empty = the protocol's number.
        resolved: the whole configuration as plain data, kept with the run.
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    workspace: Path
    model_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dataset_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    bounds: tuple[str, ...] = ()
    metrics: tuple[str, ...] | None = None
    query_kind: QueryKind | None = None
    shots: tuple[int, ...] = ()
    chunk_seconds: float = 60.0
    overlap_seconds: float = 2.0
    device: str = "auto"
    precision: str = "float32"
    batch_size: int = 8
    limit: int | None = None
    keep_audio: bool = False
    max_failures: int | None = None
    engine: EngineSettings = field(default_factory=EngineSettings)
    resolved: Mapping[str, Any] = field(default_factory=dict)


def resolve(
    *,
    workspace: Path,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> RunSettings:
    """Compose the settings of one run.

    Args:
        workspace: its `settings.yaml`, where there is one, comes after the packaged defaults.
        models: replaces the default list where not empty.
        datasets: likewise.
        overrides: `key=value` in Hydra's grammar, strongest.
        environment: variables; `SEPBENCH__A__B=value` sets `a.b`. Default: the process's own.

    Raises:
        SettingError: an unknown key (near matches in the message) or a value of the wrong kind.
    """
    variables = os.environ if environment is None else environment
    from_environment = [
        f"{name[len(ENVIRONMENT_PREFIX) :].lower().replace('__', '.')}={value}"
        for name, value in sorted(variables.items())
        if name.startswith(ENVIRONMENT_PREFIX)
    ]
    file = workspace / WORKSPACE_FILE
    from_file = _read_workspace_file(file) if file.is_file() else {}
    config = _compose(from_file, str(file), [*from_environment, *overrides])
    if models:
        config["model"] = list(models)
    if datasets:
        config["dataset"] = list(datasets)
    return _typed(config, workspace)


def _read_workspace_file(file: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(file.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingError(f"{file} is not valid YAML: {error}") from error
    except OSError as error:
        raise SettingError(f"{file} cannot be read: {error.strerror}.") from error
    if not isinstance(data, dict):
        raise SettingError(f"{file} must hold KEY: VALUE pairs at its top.")
    return data


def _compose(from_file: dict[str, Any], file: str, overrides: Sequence[str]) -> dict[str, Any]:
    from hydra import compose
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    # Hydra has no layer between packaged defaults and the command line, so the file's keys go in
    # as the first, hence weakest, overrides.
    weakest = [f"{key}={_as_override(value)}" for key, value in _flatten(from_file)]
    prepared = [_open_sections(text) for text in [*weakest, *overrides]]
    try:
        with _own_hydra():
            known = _defaults()
            _refuse_unknown(from_file, known, file)
            for text in prepared:
                _refuse_unknown_override(text, known)
            config = compose("config", overrides=prepared)
            return _plain(OmegaConf.to_container(config, resolve=True))
    except (HydraException, OmegaConfBaseException) as error:
        reason = next(iter(str(error.__cause__ or error).splitlines()), type(error).__name__)
        raise SettingError(
            f"The settings cannot be composed: {reason} (given: {' '.join(overrides) or file})"
        ) from error


@cache
def _defaults() -> dict[str, Any]:
    """The packaged defaults, whose keys are all there are; to be called inside Hydra."""
    from hydra import compose
    from omegaconf import OmegaConf

    return _plain(OmegaConf.to_container(compose("config"), resolve=True))


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Hydra on our configuration; a caller who is inside Hydra finds its own as it was."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.version import VersionBase

    state, version = GlobalHydra.instance(), VersionBase.instance()
    callers, base = state.hydra, version.version_base
    state.clear()
    try:
        with initialize_config_module(_CONFIGS, version_base="1.3"):
            yield
    finally:
        GlobalHydra.set_instance(state)
        state.hydra, version.version_base = callers, base


def _plain(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value)


def _open_sections(text: str) -> str:
    """`models.x.y=1` becomes `++models.x.y=1`: these sections take names of the registries.

    `engine=inline` is short for `engine.name=inline`.
    """
    if text in ("engine=local", "engine=inline"):
        return text.replace("=", ".name=", 1)
    if text.startswith(tuple(f"{section}." for section in OPEN_SECTIONS)):
        # Dashes and dots in names: Hydra's keys take dashes; a dot always separates.
        return f"++{text}"
    return text


def _flatten(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat += _flatten(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def _as_override(value: object) -> str:
    """A YAML value in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(_as_override(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{_as_override(v)}" for k, v in value.items()) + "}"
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    """Text in Hydra's quotes: blanks, commas, brackets and quotes are then only text."""
    # Backslashes count for Hydra only where a quote follows, the closing one included.
    return "'" + re.sub(r"(\\*)('|\Z)", _escape_quote, text) + "'"


def literal(text: str) -> str:
    """As `quoted`, and `${…}` is text too."""
    return quoted(re.sub(r"(\\*)\$\{", r"\1\1\\${", text))


def _escape_quote(found: re.Match[str]) -> str:
    return found[1] * 2 + ("\\'" if found[2] else "")


def _refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key, _ in _flatten(given):
        _refuse_key(key, known, where)


def _refuse_unknown_override(text: str, known: Mapping[str, Any]) -> None:
    key, separator, _ = text.partition("=")
    if not separator and not text.startswith("~"):
        raise UsageError(
            f"'{text}' is not a setting. Settings are written KEY=VALUE, for example batch_size=4."
        )
    opened = key.startswith(tuple(f"++{section}." for section in OPEN_SECTIONS))
    if key.startswith(("+", "~")) and not opened:
        raise SettingError(f"'{text}': settings can be changed (KEY=VALUE), not added or removed.")
    _refuse_key(key.lstrip("+"), known, "on the command line or in the environment")
    if key == "query":
        kind = text.partition("=")[2].strip(" '\"")
        groups = [f.name[:-5] for f in files(f"{_CONFIGS}.query").iterdir() if ".yaml" in f.name]
        if kind not in groups:
            raise SettingError(f"query={kind}: no such choice.{near_matches(kind, groups)}")


def _refuse_key(key: str, known: Mapping[str, Any], where: str) -> None:
    if key.partition(".")[0] in OPEN_SECTIONS or key == "query":
        return
    names = {name for name, _ in _flatten(known)}
    if key not in names:
        raise SettingError(f"Unknown setting '{key}' ({where}).{near_matches(key, names)}")


def _typed(config: dict[str, Any], workspace: Path) -> RunSettings:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    engine = config["engine"]
    precision = config["precision"]
    if precision not in PRECISIONS:
        raise SettingError(f"precision={precision}; one of {', '.join(PRECISIONS)}.")
    device = config["device"]
    if isinstance(device, str) and not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise SettingError(f"device={config['device']}; auto, cpu, cuda, cuda:1 or mps.")
    if engine["name"] not in ("local", "inline"):
        raise SettingError(f"engine.name={engine['name']}; local or inline.")
    if engine["order"] not in ("list", "shuffled"):
        raise SettingError(f"engine.order={engine['order']}; list or shuffled.")
    shots = config["query"]["shots"]
    shots = [] if shots is None else _listed(shots)
    chunk = _number(config, "chunk.seconds", above_zero=True)
    overlap = _number(config, "chunk.overlap_seconds")
    if not 0 <= overlap <= chunk / 2:
        raise SettingError(
            f"chunk.overlap_seconds={overlap} must lie between 0 and half of chunk.seconds={chunk}."
        )
    kind = config["query"]["kind"]
    if kind not in (None, "text", "label", "audio"):
        raise SettingError(f"query.kind={kind}; one of text, label, audio.")
    models, bounds = _names(config["model"], "model"), _names(config["bounds"] or [], "bounds")
    datasets = _names(config["dataset"], "dataset")
    if not datasets or not (models or bounds):
        raise SettingError(
            "There is nothing to run: name a model (-m) or bounds, and a dataset (-d)."
        )
    if config["metrics"] == []:
        raise SettingError("metrics=[] names none; metrics=null takes the protocol's own.")
    return RunSettings(
        models=tuple(models),
        datasets=tuple(datasets),
        workspace=workspace,
        model_settings=_sections(config["models"], "models"),
        dataset_settings=_sections(config["datasets"], "datasets"),
        bounds=tuple(bounds),
        metrics=None if config["metrics"] is None else tuple(_names(config["metrics"], "metrics")),
        query_kind=kind,
        shots=tuple(dict.fromkeys(_whole(count, "query.shots") for count in shots)),
        chunk_seconds=chunk,
        overlap_seconds=overlap,
        device=_word(config["device"], "device"),
        precision=precision,
        batch_size=_whole(config["batch_size"], "batch_size"),
        limit=None if config["limit"] is None else _whole(config["limit"], "limit"),
        keep_audio=_flag(config["keep_audio"], "keep_audio"),
        max_failures=None
        if config["max_failures"] is None
        else _whole(config["max_failures"], "max_failures"),
        engine=EngineSettings(
            name=engine["name"],
            workers=_few(_auto(engine["workers"], cores or 1, "engine.workers"), "engine.workers"),
            loaders=_few(_whole(engine["loaders"], "engine.loaders"), "engine.loaders"),
            threads=_few(_auto(engine["threads"], cores or 1, "engine.threads"), "engine.threads"),
            memory_bytes=_auto(engine["memory_mb"], _auto_memory_mb(), "engine.memory_mb") << 20,
            item_timeout=_number(config, "engine.item_timeout", above_zero=True),
            load_timeout=_number(config, "engine.load_timeout", above_zero=True),
            crash_limit=_whole(engine["crash_limit"], "engine.crash_limit"),
            order=engine["order"],
        ),
        resolved=config,
    )


def _auto_memory_mb() -> int:
    """An eighth of the machine's memory, between 256 MB and 4 GB."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 1024
    return max(256, min(4096, total // 8 >> 20))


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _names(value: object, key: str) -> list[str]:
    entries = _listed(value)
    if any(isinstance(entry, bool) or not isinstance(entry, str | int) for entry in entries):
        raise SettingError(f"{key}={value}: expected names.")
    names = [part for entry in entries for part in str(entry).split(",")]
    if any(not name.strip() for name in names):
        raise SettingError(f"{key} holds an empty name: {value!r}.")
    return [name.strip() for name in names]


def _sections(value: object, key: str) -> dict[str, dict[str, Any]]:
    if not isinstance(value, Mapping) or not all(isinstance(v, Mapping) for v in value.values()):
        raise SettingError(f"{key} takes settings by name, for example {key}.NAME.SETTING=VALUE.")
    return {str(name): dict(settings) for name, settings in value.items()}


def _few(value: int, key: str) -> int:
    """Processes and threads far beyond any machine's cores bring it to a halt."""
    if value > MOST_WORKERS:
        raise SettingError(f"{key}={value}: at most {MOST_WORKERS}.")
    return value


def _auto(value: object, automatic: int, key: str) -> int:
    return automatic if value == "auto" else _whole(value, key)


def _whole(value: object, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31:
        raise SettingError(f"{key}={value}: expected a whole number of at least 1.")
    return value


def _number(config: Mapping[str, Any], key: str, *, above_zero: bool = False) -> float:
    section, _, name = key.partition(".")
    value = config[section][name]
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and (number > 0 if above_zero else number >= 0)):
        least = "above 0" if above_zero else "of at least 0"
        raise SettingError(f"{key}={value}: expected a finite number {least}.")
    return float(number)


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise SettingError(f"{key}={value}: expected true or false.")
    return value


def _word(value: object, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise SettingError(f"{key}={value}: expected a name.")
    return value
