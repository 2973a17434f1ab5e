"""The engine on a small cluster on this machine: same numbers, whatever goes away meanwhile."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.machine import (
    SUPPORT,
    Score,
    largest_difference,
    rows,
    run,
    scores,
    statuses,
)

from sepbench.harness.engines.custody import Piece
from sepbench.harness.engines.ray_lane import RayLane
from sepbench.harness.errors import MissingExtraError, SettingError
from sepbench.harness.run.summary import RunSummary

pytest.importorskip("ray")

TOLERANCE_DB = 1e-5
SCENES = 6
GRID = (f"datasets.kit.scenes={SCENES}", "metrics=[sdr,si_sdr]", "batch_size=2")
Table = dict[tuple[str, ...], Score]


@dataclass
class Machines:
    """A head with two nodes that each have a place for one actor, and a CPU for scoring."""

    cluster: Any
    nodes: list[Any]

    def add(self) -> None:
        self.nodes.append(
            self.cluster.add_node(num_cpus=1, resources={"place": 1}, object_store_memory=100 << 20)
        )

    def remove(self, node_id: str) -> None:
        """As when somebody pulls the plug."""
        node = next(node for node in self.nodes if node.node_id == node_id)
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def run(
        self, workspace: Path, *settings: str, models: Sequence[str] = ("kit-half",), **more: Any
    ) -> RunSummary:
        address = f"engine.ray.address='{self.cluster.address}'"
        return run(
            workspace,
            models=models,
            engine="ray",
            settings=[address, "engine.ray.resources={place: 1}", *settings],
            **more,
        )


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    import ray
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(SUPPORT))
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    head = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
    made = Machines(cluster, [])
    made.add()
    made.add()
    yield made
    ray.shutdown()
    cluster.shutdown()
    patch.undo()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Scores of half the mixture, as nothing in the way gives them."""
    workspace = tmp_path_factory.mktemp("quiet") / "ws"
    run(workspace, settings=GRID)
    return scores(workspace)


def capped(workspace: Path) -> Table:
    """Scores, those above 60 dB as 60: the mixture's SAR is the noise of the computation."""
    found = scores(workspace)
    return {key: (v and min(v, 60.0), cause) for key, (v, cause) in found.items()}


def nothing_lost_or_doubled(workspace: Path, undisturbed: Table) -> None:
    assert scores(workspace) == undisturbed
    results = rows(workspace, "SELECT cell_id, item_id, status FROM results")
    assert max(Counter((r["cell_id"], r["item_id"]) for r in results).values()) == 1
    assert {r["status"] for r in results} == {"scored"}


def on_batch(
    monkeypatch: pytest.MonkeyPatch, number: int, strike: Callable[[RayLane], None]
) -> list[str]:
    """Strike the actor that is handed so many-th batch; returns the node it is on."""
    submit, count, hit = RayLane.submit, itertools.count(1), list[str]()

    def submit_and_strike(self: RayLane, pieces: Sequence[Piece]) -> None:
        submit(self, pieces)
        if next(count) == number:
            hit.append(self._node)
            strike(self)

    monkeypatch.setattr(RayLane, "submit", submit_and_strike)
    return hit


def test_demo_scenes_have_the_values_of_the_inline_engine(
    machines: Machines, tmp_path: Path
) -> None:
    demo = ["bounds=[mixture]", "limit=1"]
    run(tmp_path / "inline", models=["nmf"], datasets=["demo"], settings=demo)

    summary = machines.run(tmp_path / "ray", *demo, models=["nmf"], datasets=["demo"])

    assert summary.ok
    assert summary.engine is not None
    assert len(summary.engine.lanes) == 2
    found, known = capped(tmp_path / "ray"), capped(tmp_path / "inline")
    assert {key[0] for key in found} == {"nmf", "mixture"}
    assert largest_difference(known, found) <= TOLERANCE_DB


def test_a_node_that_goes_away_costs_nothing(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Table
) -> None:
    hit = on_batch(monkeypatch, 2, lambda lane: machines.remove(lane._node))

    summary = machines.run(tmp_path / "ws", *GRID, "models.kit-half.seconds=0.2")
    machines.add()

    assert len(hit) == 1
    assert summary.ok
    assert summary.engine is not None
    assert sum(lane.restarts for lane in summary.engine.lanes) >= 1
    nothing_lost_or_doubled(tmp_path / "ws", undisturbed)


def test_an_actor_killed_at_work_costs_nothing_and_a_second_run_finds_nothing_to_do(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Table
) -> None:
    def kill(lane: RayLane) -> None:
        os.kill(lane._pid, signal.SIGKILL)

    hit = on_batch(monkeypatch, 2, kill)

    first = machines.run(tmp_path / "ws", *GRID, "limit=4", "models.kit-half.seconds=0.1")
    monkeypatch.undo()
    second = machines.run(tmp_path / "ws", *GRID, "models.kit-half.seconds=0.1")
    third = machines.run(tmp_path / "ws", *GRID, "models.kit-half.seconds=0.1")

    assert len(hit) == 1
    assert first.ok
    assert (first.done, second.done, third.done) == (12, 6, 0)
    nothing_lost_or_doubled(tmp_path / "ws", undisturbed)


@pytest.mark.slow
def test_what_kills_hangs_or_cannot_load_fails_by_name_and_nothing_else(
    machines: Machines, tmp_path: Path
) -> None:
    grid = (
        "datasets.kit.scenes=3",
        "datasets.kit.special={1: marked, 2: missing}",
        "metrics=[sdr]",
        "engine.ray.actors=1",
    )
    # Ray may take more than a second to tell of a death, so that the short patience is for the
    # model that hangs alone.
    kills, hangs = "models.kill={how: kill, on: marked}", "models.hang={how: hang, on: marked}"
    models = ["kill=kit-faulty", "kit-unloadable"]
    summary = machines.run(tmp_path / "ws", *grid, kills, models=models)
    grid = (*grid, hangs, "engine.item_timeout=1")
    machines.run(tmp_path / "ws", *grid, models=["hang=kit-faulty"])

    guilty = (1, "a marked dog barks")
    killed, hung = statuses(tmp_path / "ws", "kill"), statuses(tmp_path / "ws", "hang")
    assert killed.pop(guilty) == ("failed", "ProcessDiedError")
    assert hung.pop(guilty) == ("timed-out", "ItemTimeoutError")
    missing = {key: status for key, status in {**killed, **hung}.items() if key[0] == 2}
    assert set(missing.values()) == {("failed", "MissingFileError")}
    rest = [s for found in (killed, hung) for key, s in found.items() if key[0] != 2]
    assert rest == [("scored", "")] * 10
    assert [label for label, _ in summary.failed_cells] == ["kit-unloadable"]
    assert "weights.pt is missing" in summary.failed_cells[0][1]


def test_a_metric_that_kills_its_process_fails_its_scene_alone_and_kept_estimates_are_scored(
    machines: Machines, tmp_path: Path
) -> None:
    grid = ("datasets.kit.scenes=3", "datasets.kit.special={1: marked}", "query.kind=label")
    machines.run(tmp_path / "ws", *grid, "metrics=[sdr]", "keep_audio=true")

    added = machines.run(tmp_path / "ws", *grid, "metrics=[sdr,kit_kill]", "keep_audio=true")

    # The model is not asked again; the marked scene, two items, takes two processes with it.
    assert added.engine is not None
    assert sum(lane.items for lane in added.engine.lanes) == 0
    assert (added.done, added.failures) == (6, 2)
    assert "on this scene, twice" in added.example("ProcessDiedError")


def test_ray_starts_by_itself_and_is_gone_afterwards(tmp_path: Path, undisturbed: Table) -> None:
    import ray

    handler = signal.getsignal(signal.SIGTERM)
    settings = [*GRID, "engine.ray.actors=1", "engine.ray.scorers=1"]

    summary = run(tmp_path / "ws", engine="ray", settings=settings)

    assert summary.ok
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) == handler
    nothing_lost_or_doubled(tmp_path / "ws", undisturbed)


def test_without_ray_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'sepbench\[ray\]'"):
        run(tmp_path / "ws", engine="ray", settings=GRID)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_no_cluster_at_the_address_is_an_error_at_once(tmp_path: Path, address: str) -> None:
    settings = [*GRID, f"engine.ray.address='{address}'"]
    began = time.monotonic()

    with pytest.raises(SettingError, match=rf"engine\.ray\.address={address}: .*ray start --head"):
        run(tmp_path / "ws", engine="ray", settings=settings)

    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("engine.ray.address='ray://host:10001'", "ray job submit"),
        ("engine.ray.cpus_per_actor=0", "above 0"),
        ("engine.ray.gpus_per_actor=-1", "at least 0"),
        ("engine.ray.resources=[place]", "numbers by name"),
        ("engine.ray.resources={place: much}", r"engine\.ray\.resources\.place=much"),
        ("engine.ray.actors=0", "at least 1"),
        ("engine.ray.actor=1", "actor"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, setting: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        run(tmp_path / "ws", engine="ray", settings=[setting])
