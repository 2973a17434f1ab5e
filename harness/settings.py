"""Settings: packaged defaults < workspace file < environment < command line, resolved by Hydra.

The dataclasses own the meaning of each key; `configs/config.yaml` owns its default. Values are
data only: nothing is instantiated from a configuration, and unknown keys are refused.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from sepbench.harness.api import AskedKind
from sepbench.harness.composition import compose, read_file
from sepbench.harness.errors import SettingError

WORKSPACE_FILE = "settings.yaml"
ENVIRONMENT_PREFIX = "SEPBENCH__"  # SEPBENCH__ENGINE__WORKERS=4 sets engine.workers
MOST_WORKERS = 256
PRECISIONS = ("float32", "tf32", "bf16", "fp16")
DEVICES = re.compile(r"auto|mps|(cpu|cuda(:\d+)?)(,(cpu|\d+|cuda:\d+))*")
DEGRADATIONS = ("chunks", "cpu")
KINDS = ("text", "label", "audio", "text+audio", "each")
ENGINES = ("local", "inline", "ray")


@dataclass(frozen=True, kw_only=True, slots=True)
class RaySettings:
    """What `engine=ray` asks of a cluster.

    Attributes:
        address: "local" starts Ray on this machine, "auto" joins the cluster that runs, else
            HOST:PORT.
        actors: separation processes; None = as many as the cluster has room for.
        scorers: scoring tasks at once; None = one for each CPU that the actors leave.
        cpus_per_actor, gpus_per_actor: share of a node that an actor takes.
        resources: further ones that an actor takes, by the cluster's own names.
        retries: how often a scene goes again after a node or its audio was lost.
        start_timeout: seconds until an actor that finds no room lets others do its work.
    """

    address: str = "local"
    actors: int | None = None
    scorers: int | None = None
    cpus_per_actor: float = 1.0
    gpus_per_actor: float = 1.0
    resources: Mapping[str, float] = field(default_factory=dict)
    retries: int = 3
    start_timeout: float = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """Where and how the stages run. Nothing here can change a result unseen.

    Attributes:
        lanes: separation processes; None = one for each device.
        workers: scoring processes at most.
        threads: CPU threads of one separation process; None = a share of `cores`.
        memory_bytes: audio in flight.
        model_memory_bytes: a separation process that has more is replaced by a new one.
        degrade: what may be done for an item that does not fit into memory; it is then marked.
    """

    name: Literal["local", "inline", "ray"] = "local"
    lanes: int | None = None
    workers: int = 2
    loaders: int = 2
    threads: int | None = None
    cores: int = 2
    memory_bytes: int = 1 << 30
    model_memory_bytes: int = 1 << 40
    degrade: tuple[str, ...] = ()
    item_timeout: float = 900.0
    load_timeout: float = 1800.0
    crash_limit: int = 10
    order: Literal["list", "shuffled"] = "list"
    ray: RaySettings = field(default_factory=RaySettings)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """One run, complete.

    Attributes:
        batch_size: None = the largest that fits and pays.
        models: as given: a name, `variant=name`, or `variant=module:Class`.
        datasets: as given: a name or `name:protocol`.
        audio_store: folder or URL of kept estimates; None is the workspace.
        query_kinds: each a cell of its own; empty = the protocol's first that fits.
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
    query_kinds: tuple[AskedKind, ...] = ()
    shots: tuple[int, ...] = ()
    chunk_seconds: float = 60.0
    overlap_seconds: float = 2.0
    device: str = "auto"
    precision: str = "float32"
    compile: Literal["auto", "on", "off"] = "auto"
    batch_size: int | None = 8
    limit: int | None = None
    keep_audio: bool = False
    audio_store: str | None = None
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
    from_file = read_file(file) if file.is_file() else {}
    config = compose(from_file, str(file), [*from_environment, *overrides])
    if models:
        config["model"] = list(models)
    if datasets:
        config["dataset"] = list(datasets)
    return _typed(config, workspace)


def _typed(config: dict[str, Any], workspace: Path) -> RunSettings:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    engine = config["engine"]
    precision = config["precision"]
    if precision not in PRECISIONS:
        raise SettingError(f"precision={precision}; one of {', '.join(PRECISIONS)}.")
    device = config["device"]
    if isinstance(device, str) and not DEVICES.fullmatch(device):
        raise SettingError(
            f"device={device}; auto, cpu, cuda (every GPU), cuda:1, cuda:0,1 or mps."
        )
    if engine["name"] not in ENGINES:
        raise SettingError(f"engine.name={engine['name']}; one of {', '.join(ENGINES)}.")
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
    given = config["query"]["kind"]
    kinds: list[Any] = [] if given is None else _names(given, "query.kind")
    for kind in kinds:
        if kind not in KINDS:
            raise SettingError(f"query.kind={kind}; one of {', '.join(KINDS)}, or a list of them.")
    models, bounds = _names(config["model"], "model"), _names(config["bounds"] or [], "bounds")
    datasets = _names(config["dataset"], "dataset")
    if not datasets or not (models or bounds):
        raise SettingError(
            "There is nothing to run: name a model (-m) or bounds, and a dataset (-d)."
        )
    store = config["audio_store"] = _store(config["audio_store"], engine["name"])
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
        query_kinds=tuple(dict.fromkeys(kinds)),
        shots=tuple(dict.fromkeys(_whole(count, "query.shots") for count in shots)),
        chunk_seconds=chunk,
        overlap_seconds=overlap,
        device=_word(config["device"], "device"),
        precision=precision,
        compile=_switch(config["compile"], "compile"),
        batch_size=_auto(config["batch_size"], None, "batch_size"),
        limit=None if config["limit"] is None else _whole(config["limit"], "limit"),
        keep_audio=_flag(config["keep_audio"], "keep_audio") or store is not None,
        audio_store=store,
        max_failures=None
        if config["max_failures"] is None
        else _whole(config["max_failures"], "max_failures"),
        engine=EngineSettings(
            name=engine["name"],
            lanes=_few(_auto(engine["lanes"], None, "engine.lanes"), "engine.lanes"),
            workers=_few(_auto(engine["workers"], cores or 1, "engine.workers"), "engine.workers"),
            loaders=_few(
                _auto(engine["loaders"], max(2, min(16, (cores or 1) // 4)), "engine.loaders"),
                "engine.loaders",
            ),
            threads=_few(_auto(engine["threads"], None, "engine.threads"), "engine.threads"),
            cores=cores or 1,
            memory_bytes=_auto(engine["memory_mb"], _auto_memory_mb(), "engine.memory_mb") << 20,
            model_memory_bytes=_auto(
                engine["model_memory_mb"], _total_memory_mb() * 3 // 4, "engine.model_memory_mb"
            )
            << 20,
            degrade=_degrade(engine["degrade"]),
            item_timeout=_number(config, "engine.item_timeout", above_zero=True),
            load_timeout=_number(config, "engine.load_timeout", above_zero=True),
            crash_limit=_whole(engine["crash_limit"], "engine.crash_limit"),
            order=engine["order"],
            ray=_ray(engine["ray"]),
        ),
        resolved=config,
    )


def _ray(given: Mapping[str, Any]) -> RaySettings:
    address = _word(given["address"], "engine.ray.address")
    if address.startswith("ray://"):
        raise SettingError(
            f"engine.ray.address={address}: start the command on a node of the cluster instead "
            "(ray job submit) and give engine.ray.address=auto."
        )
    resources = given["resources"] or {}
    if not isinstance(resources, Mapping):
        raise SettingError("engine.ray.resources takes numbers by name: {a100: 1}.")
    return RaySettings(
        address=address,
        actors=_auto(given["actors"], None, "engine.ray.actors"),
        scorers=_auto(given["scorers"], None, "engine.ray.scorers"),
        cpus_per_actor=_ray_number("cpus_per_actor", given["cpus_per_actor"], above_zero=True),
        gpus_per_actor=_ray_number("gpus_per_actor", given["gpus_per_actor"]),
        resources={
            str(name): _ray_number(f"resources.{name}", value) for name, value in resources.items()
        },
        retries=_whole(given["retries"], "engine.ray.retries"),
        start_timeout=_ray_number("start_timeout", given["start_timeout"], above_zero=True),
    )


def _ray_number(name: str, value: object, *, above_zero: bool = False) -> float:
    found = {"engine": {f"ray.{name}": value}}
    return _number(found, f"engine.ray.{name}", above_zero=above_zero)


def _auto_memory_mb() -> int:
    """An eighth of the machine's memory, between 256 MB and 4 GB."""
    return max(256, min(4096, _total_memory_mb() // 8))


def _total_memory_mb() -> int:
    """The machine's memory; 8 GB where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    except (ValueError, OSError):
        return 8192


def _degrade(value: object) -> tuple[str, ...]:
    """`none`, or one or several of the ways, in the order they are to be tried."""
    ways = [] if value in (None, "none") else _names(value, "engine.degrade")
    for way in ways:
        if way not in DEGRADATIONS:
            raise SettingError(f"engine.degrade={way}; none, {' or '.join(DEGRADATIONS)}.")
    return tuple(dict.fromkeys(ways))


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


Count = TypeVar("Count", int, int | None)


def _few(value: Count, key: str) -> Count:
    """Processes and threads far beyond any machine's cores bring it to a halt."""
    if value is not None and value > MOST_WORKERS:
        raise SettingError(f"{key}={value}: at most {MOST_WORKERS}.")
    return value


def _auto(value: object, automatic: Count, key: str) -> Count:
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


def _store(value: object, engine: str) -> str | None:
    """A URL as it is; a folder from the root of its disk, since readers start elsewhere."""
    if value is None:
        return None
    text = _word(value, "audio_store")
    if text.startswith("memory:") and engine != "inline":
        raise SettingError(
            f"audio_store={text} lives in one process, and {engine} scores in others. Take "
            "engine.name=inline, or a store that they can reach."
        )
    return text if "://" in text else str(Path(text).expanduser().absolute())


def _switch(value: object, key: str) -> Literal["auto", "on", "off"]:
    if value == "auto" or value == "on" or value == "off":
        return value
    if isinstance(value, bool):  # what YAML makes of on and off
        return "on" if value else "off"
    raise SettingError(f"{key}={value}; auto, on or off.")


def _word(value: object, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise SettingError(f"{key}={value}: expected a name.")
    return value
