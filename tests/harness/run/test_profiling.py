"""`bench profile`: which stage holds a grid back, on times that were put there by hand."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest
from sepbench_testkit.machine import run

from sepbench.harness.engines.events import EngineSnapshot, LaneSnapshot, ScorersSnapshot
from sepbench.harness.errors import WorkspaceError
from sepbench.harness.run.event_log import NAME, EventLog
from sepbench.harness.run.profiling import (
    LEAST_LOADERS,
    GridProfile,
    _busiest,
    profile,
    profile_text,
)
from sepbench.harness.store import DATABASE, Workspace

ITEMS, SCENES = 6, 2  # three queries a scene


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    run(folder, settings=["datasets.kit.scenes=2", "metrics=[sdr]"])
    return folder


def timed(
    recorded: Path,
    folder: Path,
    seconds: Mapping[str, float],
    engine: Mapping[str, object] | None = None,
) -> GridProfile:
    """A copy of a workspace whose items took these seconds each, under these engine settings."""
    folder.mkdir()
    with Workspace(recorded) as source:
        settings = json.loads(source.query("SELECT settings FROM runs")[0][0])
    settings["engine"] = {
        **settings["engine"],
        **{"name": "local", "lanes": 1, "workers": 4, "loaders": 2},
        **(engine or {}),
    }
    (folder / DATABASE).write_bytes(_whole(recorded / DATABASE))
    stages = {"load": 0.0, "condition": 0.0, "separate": 0.0, "score": 0.0} | dict(seconds)
    with sqlite3.connect(folder / DATABASE) as connection:
        for stage, value in stages.items():
            connection.execute(f"UPDATE results SET {stage}_seconds = ?", (value,))
        connection.execute("UPDATE runs SET settings = ?", (json.dumps(settings),))
    return profile(folder)


def _whole(path: Path) -> bytes:
    """The database with what its log still holds."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("seconds", "bottleneck", "says"),
    [
        ({"load": 9.0}, "reading", "Raise engine.loaders (now 2)"),
        ({"score": 9.0}, "scoring", "fewer metrics"),
        ({"separate": 9.0}, "models", "A GPU is what helps most (--device cuda)"),
        ({"condition": 9.0}, "models", "each different query is encoded once a run"),
    ],
)
def test_the_place_that_is_busiest_is_named_with_the_setting_that_helps(
    recorded: Path, tmp_path: Path, seconds: dict[str, float], bottleneck: str, says: str
) -> None:
    many = {"workers": 4096}  # more than any machine has cores
    everything = {"load": 1e-6, "separate": 1e-6} | seconds

    found = timed(recorded, tmp_path / "w", everything, many)

    assert found.bottleneck == bottleneck
    assert says in found.sentence


def test_seconds_are_divided_by_the_places_that_share_them(recorded: Path, tmp_path: Path) -> None:
    found = timed(recorded, tmp_path / "w", {"load": 3.0, "separate": 1.0, "score": 2.0})

    # A scene is read once, though each of its three items has the time.
    assert found.seconds == pytest.approx(
        {"load": 3.0 * SCENES, "condition": 0.0, "separate": ITEMS, "score": 2.0 * ITEMS}
    )
    assert found.occupied == pytest.approx({"reading": 3.0, "models": 6.0, "scoring": 3.0})
    assert found.bottleneck == "models"
    assert found.gain == pytest.approx(2.0)
    assert "Without it the grid could be up to 2.0 times as fast." in profile_text(found)


@pytest.mark.parametrize(
    ("seconds", "loading", "expected"),
    [
        ((1.0, 4.0, 2.0), 0.0, ("models", 4.0, "scoring", 2.0)),
        ((1.0, 4.0, 2.0), 3.0, ("models", 7.0, "loading", 3.0)),
        # Without its loading the grid still has to separate.
        ((1.0, 4.0, 2.0), 6.0, ("loading", 10.0, "models", 4.0)),
        ((9.0, 4.0, 2.0), 3.0, ("reading", 9.0, "models", 7.0)),
        ((1.0, 4.0, 9.0), 3.0, ("scoring", 9.0, "models", 7.0)),
        ((0.0, 0.0, 0.0), 0.0, ("models", 0.0, "reading", 0.0)),
    ],
)
def test_loading_and_separating_take_turns_in_a_lane(
    seconds: tuple[float, float, float], loading: float, expected: tuple[str, float, str, float]
) -> None:
    occupied = dict(zip(("reading", "models", "scoring"), seconds, strict=True))

    assert _busiest(occupied, loading) == expected


def test_too_few_scoring_processes_are_told_to_be_more(recorded: Path, tmp_path: Path) -> None:
    with Workspace(recorded) as workspace:
        cores = json.loads(workspace.query("SELECT provenance FROM runs")[0][0])["cpus"]

    found = timed(recorded, tmp_path / "w", {"score": 5.0}, {"workers": max(1, cores - 1)})

    expected = f"(now {cores - 1}, this machine has {cores} cores)" if cores > 1 else "busy"
    assert found.bottleneck == "scoring"
    assert expected in found.sentence


RAY = {"name": "ray", "workers": 1, "ray": {"actors": "auto", "scorers": "auto"}}


def on_a_cluster(folder: Path, *, actors: int, scorers: int) -> None:
    """A log of the latest run, as the driver of a small machine writes it."""
    lanes = [LaneSnapshot(number=k, device="cuda:0", model="m") for k in range(actors)]
    snapshot = EngineSnapshot(
        seconds=1.0, lanes=tuple(lanes), scorers=ScorersSnapshot(most=scorers)
    )
    folder.mkdir(exist_ok=True)
    log = EventLog(folder, 1)
    log.write("run-started", {"workers": 1, "loaders": 3, "cores": 1})
    log.write("snapshot", {"done": 6, "failed": 0, **asdict(snapshot), "cells": {}})
    log.close()


def test_a_cluster_has_the_places_of_its_actors_and_scoring_tasks(
    recorded: Path, tmp_path: Path
) -> None:
    timed(recorded, tmp_path / "w", {"score": 5.0}, RAY)
    on_a_cluster(tmp_path / "w", actors=4, scorers=12)

    found = profile(tmp_path / "w")

    assert found.places == {"reading": 12, "models": 4, "scoring": 12}
    assert found.occupied["scoring"] == pytest.approx(5.0 * ITEMS / 12)


def test_without_a_log_a_cluster_has_the_places_that_were_asked_for(
    recorded: Path, tmp_path: Path
) -> None:
    asked = {**RAY, "loaders": "auto", "ray": {"actors": 3, "scorers": 5}}

    found = timed(recorded, tmp_path / "w", {"score": 5.0}, asked)

    assert found.places == {"reading": 3 * LEAST_LOADERS, "models": 3, "scoring": 5}


@pytest.mark.parametrize(
    ("seconds", "bottleneck", "says"),
    [
        ({"load": 9.0}, "reading", "Raise engine.loaders (now 3 in each of 2 actors)"),
        ({"score": 9.0}, "scoring", "Raise engine.ray.scorers (now 2, each takes one CPU"),
        ({"separate": 9.0}, "models", "raise engine.ray.actors (now 2)"),
        ({"condition": 9.0}, "models", "each different query is encoded once a run"),
    ],
)
def test_a_cluster_is_told_the_settings_that_it_knows(
    recorded: Path, tmp_path: Path, seconds: dict[str, float], bottleneck: str, says: str
) -> None:
    timed(recorded, tmp_path / "w", {"load": 1e-6, "separate": 1e-6} | seconds, RAY)
    on_a_cluster(tmp_path / "w", actors=2, scorers=2)

    found = profile(tmp_path / "w")

    assert found.bottleneck == bottleneck
    assert says in found.sentence
    assert "engine.workers" not in found.sentence
    assert "engine.lanes" not in found.sentence


def test_inline_is_told_to_overlap(recorded: Path) -> None:
    found = profile(recorded)

    assert found.places == {"reading": 1, "models": 1, "scoring": 1}
    assert "engine.name=local overlaps them" in found.sentence
    assert found.gain is None


def test_cells_have_their_seconds_share_and_longest_stage(recorded: Path, tmp_path: Path) -> None:
    found = timed(recorded, tmp_path / "w", {"separate": 1.0, "score": 2.0})
    cell = found.cells[0]

    assert (cell.model, cell.items, cell.share, cell.longest) == ("kit-half", ITEMS, 1.0, "score")
    row = profile_text(found).splitlines()[4].split()
    assert row == [
        *("kit-half", "kit", "text", "6", "0.00", "0.00", "6.00", "12.00"),
        *("3000.0", "100%", "score"),
    ]
    assert json.loads(found.as_json())["cells"][0]["seconds"]["score"] == pytest.approx(12.0)


@pytest.mark.slow
def test_a_run_in_processes_knows_its_lanes_and_how_long_they_waited(tmp_path: Path) -> None:
    settings = ["datasets.kit.scenes=8", "metrics=[sdr]", "models.kit-half.seconds=0.2"]
    run(tmp_path, engine="local", settings=[*settings, "engine.loaders=3", "engine.workers=2"])

    found = profile(tmp_path)

    assert found.places == {"reading": 3, "models": 1, "scoring": 2}
    assert found.idle_share is not None
    assert found.loading_seconds is not None
    assert found.loading_seconds > 0
    assert found.run_seconds is not None
    assert found.run_seconds > found.seconds["separate"] > 24 * 0.2


def test_without_a_run_there_is_nothing_to_profile(tmp_path: Path) -> None:
    with Workspace(tmp_path, writable=True):
        pass

    with pytest.raises(WorkspaceError, match="no recorded item yet"):
        profile(tmp_path)


def test_without_items_there_is_nothing_to_profile(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(_whole(recorded / DATABASE))
    (tmp_path / NAME).write_text("")
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("DELETE FROM results")

    with pytest.raises(WorkspaceError, match="no recorded item yet"):
        profile(tmp_path)
