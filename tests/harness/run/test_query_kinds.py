"""The same items asked for by text, label, examples and both, from the command to the records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.machine import rows, run

from sepbench.harness.identity import file_sha256
from sepbench.harness.item_scores import read_entries
from sepbench.harness.run.catalogs import DATASETS
from sepbench.harness.store import Workspace

SCENES = 3
LISTENER = "listener=sepbench_testkit.queries:Listener"


def ask(workspace: Path, *settings: str) -> None:
    log = f"models.listener.log={workspace}-log.jsonl"
    run(
        workspace,
        models=[LISTENER],
        datasets=["demo"],
        settings=[f"limit={SCENES}", "metrics=[si_sdr]", log, *settings],
    )


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which one model was asked in every way, twice with examples."""
    workspace = tmp_path_factory.mktemp("kinds") / "workspace"
    ask(workspace, "query=text")
    ask(workspace, "query=label")
    ask(workspace, "query=audio", "query.shots=[1,3]")
    ask(workspace, "query=both", "query.shots=3")
    return workspace


def cell_items(workspace: Path, kind: str, shots: int | None = None) -> list[dict[str, Any]]:
    found = rows(
        workspace,
        "SELECT i.scene, i.target, i.query, r.example_files, r.status FROM results r"
        " JOIN items i ON i.id = r.item_id JOIN tasks t ON t.id = i.task_id"
        f" WHERE t.query_kind = '{kind}' AND t.shots IS {shots or 'NULL'} ORDER BY i.id",
    )
    read = ("query", "example_files")
    return [{**row, **{key: json.loads(row[key]) for key in read}} for row in found]


def test_every_kind_is_a_row_of_one_table_over_the_same_items(asked: Path) -> None:
    with Workspace(asked) as workspace:
        entries = read_entries(workspace, "demo")

    assert {(entry.name, entry.query) for entry in entries} == {
        ("listener@text", "text"),
        ("listener@label", "label"),
        ("listener@audio1", "audio ×1"),
        ("listener@audio3", "audio ×3"),
        ("listener@text+audio", "text+audio ×3"),
    }
    cells = [("text", None), ("label", None), ("audio", 1), ("audio", 3), ("text+audio", 3)]
    items = [{(row["scene"], row["target"]) for row in cell_items(asked, *cell)} for cell in cells]
    assert len(items[0]) == 2 * SCENES
    assert all(one == items[0] for one in items)


def test_the_model_gets_what_its_kind_says(asked: Path) -> None:
    lines = Path(f"{asked}-log.jsonl").read_text("utf-8").splitlines()
    said = [json.loads(line) for line in lines]

    shapes = {
        (one["kind"], bool(one["text"]), bool(one["label"]), len(one["examples"])) for one in said
    }

    assert shapes == {
        ("text", True, False, 0),
        ("label", False, True, 0),
        ("audio", False, False, 1),
        ("audio", False, False, 3),
        ("text+audio", True, False, 3),
    }


def test_with_a_text_the_examples_are_those_without_it(asked: Path) -> None:
    alone = [row["query"]["examples"] for row in cell_items(asked, "audio", 3)]
    both = [row["query"]["examples"] for row in cell_items(asked, "text+audio", 3)]

    assert both == alone


@pytest.mark.parametrize("shots", [1, 3])
def test_records_hold_the_sums_of_the_clips_that_made_the_query(asked: Path, shots: int) -> None:
    clips = {clip.clip_id: clip for clip in DATASETS.load("demo")().clips("queries")}

    for row in cell_items(asked, "audio", shots):
        sums = {name: file_sha256(clips[name].path) for name in row["query"]["examples"]}
        assert row["example_files"] == sums
        assert len(sums) == shots


def test_no_example_comes_from_a_recording_in_its_scene(asked: Path) -> None:
    demo = DATASETS.load("demo")()
    origins = {clip.clip_id: clip.origin for clip in demo.clips("queries")}
    scenes = {row.scene_id: set(row.origins) for row in demo.scenes("demo")}

    for row in cell_items(asked, "audio", 3):
        recordings = {origins[name] for name in row["query"]["examples"]}
        assert len(recordings) == 3  # and no recording twice
        assert not recordings & scenes[row["scene"]]


def test_more_examples_than_the_pool_has_make_the_cell_not_applicable(tmp_path: Path) -> None:
    ask(tmp_path / "workspace", "query=both", "query.shots=[1,50]")

    cells = rows(tmp_path / "workspace", "SELECT status, reason, query_kind FROM cells ORDER BY id")
    refused = next(cell for cell in cells if cell["status"] == "not applicable")
    assert [cell["query_kind"] for cell in cells] == ["text+audio", "text+audio"]
    assert sorted(cell["status"] for cell in cells) == ["active", "not applicable"]
    assert "50 are needed" in refused["reason"]


def test_a_model_that_takes_one_of_the_two_is_not_asked_with_both(tmp_path: Path) -> None:
    run(tmp_path, models=["nmf"], datasets=["demo"], settings=["query=both", "limit=1"])

    (cell,) = rows(tmp_path, "SELECT status, reason FROM cells")
    assert cell["status"] == "not applicable"
    assert "takes audio queries, not text+audio" in cell["reason"]
