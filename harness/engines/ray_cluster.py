"""The cluster of a run: started here or joined, what it has, and whether its nodes are there."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sepbench.harness.engines.contract import EngineContext
from sepbench.harness.errors import MissingExtraError, SettingError
from sepbench.harness.settings import EngineSettings

# A started Ray gets room for twice the audio in flight; the least that it takes is 75 MB.
LEAST_STORE_BYTES = 100 << 20
# Of the room that all nodes have for objects; Ray moves some to disk where one node has too many.
STORE_SHARE = 0.5
SECONDS_TO_ANSWER = 2.0
AUTH_MODE = "RAY_AUTH_MODE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Who works where.

    Attributes:
        actors: separation processes; scorers: scoring tasks at once.
        options: of each actor, as Ray takes them.
        device: that a model is put on.
        threads: CPU threads of an actor.
        store_bytes: audio that may be in the cluster at once.
    """

    actors: int
    scorers: int
    options: dict[str, Any]
    device: str
    threads: int
    store_bytes: int


class Nodes:
    """Which nodes there are, and which were lost on the way."""

    def __init__(self) -> None:
        self._there = {node["NodeID"] for node in _alive()}
        self.lost = 0

    def look(self) -> int:
        """Number of nodes lost so far; asks each node, since a list of them lags behind."""
        there = {node["NodeID"] for node in _alive() if _answers(node)}
        self.lost += len(self._there - there)
        self._there = there
        return self.lost

    def has(self, node_id: str) -> bool:
        """Whether a node is there now."""
        self.look()
        return node_id in self._there


@contextmanager
def connected(settings: EngineSettings) -> Iterator[None]:
    """Ray, joined or started for the time of a run; a connection that is there is used and kept.

    Raises:
        MissingExtraError: Ray is not installed.
        SettingError: no cluster answers at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("engine=ray", "ray", "ray") from error
    if ray.is_initialized():
        yield
        return
    address = settings.ray.address
    options: dict[str, Any] = {}
    if address == "local":
        options = {
            "num_cpus": _cpus_here(settings),
            "include_dashboard": False,
            "object_store_memory": max(LEAST_STORE_BYTES, 2 * settings.memory_bytes),
        }
    mode = os.environ.get(AUTH_MODE)
    try:
        _require_listener(address)
        with _signals_kept(), _quiet():
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": _environment()},
                **options,
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingError(
            f"engine.ray.address={address}: {str(error).strip(' .')}. Start a cluster (ray start "
            "--head), give the address of one, or engine.ray.address=local."
        ) from error
    try:
        yield
    finally:
        with _signals_kept():
            ray.shutdown()
        # A Ray that was started here asks for a token, and says so to all that comes after it.
        if mode is None:
            os.environ.pop(AUTH_MODE, None)


def all_resources() -> dict[str, float]:
    """What the nodes that are there have."""
    import ray

    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call] # Ray's own


def free_resources() -> dict[str, float]:
    """What of it nobody has taken."""
    import ray

    return dict(ray.available_resources())  # type: ignore[no-untyped-call] # Ray's own


def find_places(context: EngineContext) -> Places:
    """Divide the cluster into actors and scorers.

    Raises:
        SettingError: it has no room for one of each.
    """
    engine, asked = context.settings, context.settings.ray
    total = all_resources()
    cpus, gpus = total.get("CPU", 0.0), total.get("GPU", 0.0)
    device = _device(context.devices[0], gpus)
    options: dict[str, Any] = {"num_cpus": asked.cpus_per_actor, "resources": asked.resources}
    options["num_gpus"] = asked.gpus_per_actor if device == "cuda" else 0
    # One CPU at least is left for scoring.
    rooms = [max(0.0, cpus - 1) / asked.cpus_per_actor]
    if options["num_gpus"]:
        rooms.append(gpus / asked.gpus_per_actor)
    rooms += [total.get(name, 0.0) / share for name, share in asked.resources.items() if share]
    room = int(min(rooms) + 1e-6)
    actors = room if asked.actors is None else asked.actors
    if actors < 1:
        raise SettingError(
            f"The cluster has {cpus:g} CPUs and {gpus:g} GPUs; an actor takes "
            f"{_words(options)}, and scoring one CPU more. Change engine.ray.cpus_per_actor, "
            "gpus_per_actor or resources, add nodes, or set engine.ray.actors where nodes come "
            "by themselves."
        )
    left = int(cpus - min(actors, room) * asked.cpus_per_actor + 1e-6)
    return Places(
        actors=actors,
        scorers=asked.scorers or max(1, left),
        options=options,
        device=device,
        threads=engine.threads or max(1, int(asked.cpus_per_actor)),
        store_bytes=int(total.get("object_store_memory", LEAST_STORE_BYTES) * STORE_SHARE),
    )


def _device(asked: str, gpus: float) -> str:
    """Kind of device for every actor: Ray decides which one of a node it is."""
    kind = asked.partition(":")[0]
    if kind == "auto":
        return "cuda" if gpus else "cpu"
    if kind == "mps":
        raise SettingError("device=mps does not go with engine=ray; take engine=local.")
    return kind


def _words(options: dict[str, Any]) -> str:
    shares = {"CPU": options["num_cpus"], "GPU": options["num_gpus"], **options["resources"]}
    return " and ".join(f"{share:g} {name}" for name, share in shares.items() if share)


def _cpus_here(settings: EngineSettings) -> int:
    """CPUs of a Ray that is started here: the machine's, or as many as were asked for by number."""
    asked = settings.ray
    actors, scorers = asked.actors or 1, asked.scorers or 1
    return max(settings.cores, -int(-actors * asked.cpus_per_actor // 1) + scorers)


def _require_listener(address: str) -> None:
    """Ray itself tries for minutes where nobody listens.

    Raises:
        OSError: nobody does.
        ValueError: not HOST:PORT.
    """
    if address in ("local", "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("Expected local, auto or HOST:PORT")
    socket.create_connection((host, int(port)), SECONDS_TO_ANSWER).close()


def _environment() -> dict[str, str]:
    """Of all workers: one BLAS thread; actors set torch's own number.

    Plugins that are found by PYTHONPATH here are found there too, where the folders exist.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    path = os.environ.get("PYTHONPATH")
    return {**dict.fromkeys(names, "1"), **({"PYTHONPATH": path} if path else {})}


def _alive() -> list[dict[str, Any]]:
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call] # Ray's own
    return [node for node in nodes if node["Alive"]]


def _answers(node: dict[str, Any]) -> bool:
    try:
        address = (node["NodeManagerAddress"], node["NodeManagerPort"])
        with socket.create_connection(address, SECONDS_TO_ANSWER):
            return True
    except OSError:
        return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray tells nobody outside that it is used, and warns of no change to come."""
    mine = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update({name: value for name, value in mine.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray puts a handler of its own on SIGTERM; the run's stays."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
