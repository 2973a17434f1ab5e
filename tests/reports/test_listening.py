"""Items and audio of a workspace as reports get them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sepbench_testkit.book import LOUD, Book
from sepbench_testkit.machine import run

from sepbench.harness.aggregate import Table, protocol_table
from sepbench.harness.api import MetricCard, Undefined
from sepbench.harness.run.board_items import BoardItems, query_words
from sepbench.harness.run.listening import KeptAudio
from sepbench.harness.run.report import complete_board
from sepbench.harness.store import Workspace

KIT = ["datasets.kit.scenes=3", "metrics=[sdr]", "bounds=[mixture]", "keep_audio=true"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run(tmp_path / "ws", settings=KIT)
    return tmp_path / "ws"


def table_of(workspace: Workspace) -> Table:
    return protocol_table(workspace, "kit")


def test_items_are_joined_by_target_with_their_queries_and_improvements(folder: Path) -> None:
    with Workspace(folder) as workspace:
        table = table_of(workspace)
        items = BoardItems(workspace)(table)

    model = next(row for row in table.rows if row.role == "model")
    cells = {cell.cell_id: cell for cell in items.cells}
    cell = cells[model.cell_id]
    assert [target.key for target in items.targets[:2]] == [
        ("scene-00000", "dog"),
        ("scene-00000", "rain"),
    ]
    assert list(cell.targets[:3]) == [0, 1, 1]
    assert list(cell.queries[:3]) == ["a dog barks", "rain falls", "heavy rain"]
    assert list(cell.query_indices[:3]) == [0, 0, 1]
    floor = cells[next(row.cell_id for row in table.rows if row.baseline == "mixture")]
    base = dict(zip(floor.targets, floor.values["sdr"], strict=True))
    gains = [v - base[target] for target, v in zip(cell.targets, cell.values["sdr"], strict=True)]
    assert cell.values["sdri"].tolist() == pytest.approx(gains)


def test_a_failed_item_says_how_and_has_no_value(tmp_path: Path) -> None:
    run(tmp_path / "ws", settings=[*KIT, "datasets.kit.special={1: silent}"])
    with Workspace(tmp_path / "ws") as workspace:
        table = table_of(workspace)
        items = BoardItems(workspace)(table)

    reasons = {text for cell in items.cells for text in cell.reasons.values()}
    undefined = [cell.values["sdr"] for cell in items.cells]
    assert any("because of the reference" in text for text in reasons)
    assert all(np.isnan(values).any() for values in undefined)


def test_each_column_says_its_own_reason_and_a_failed_try_only_how_it_failed(
    tmp_path: Path,
) -> None:
    second = MetricCard(metric_id="pesq", version=1, title="PESQ")
    silent = Undefined(cause="estimate", reason="the estimate is silent")
    short = Undefined(cause="reference", reason="shorter than a window")
    book = Book(tmp_path / "ws", scenes=2)
    values = [{"sdr": silent, "pesq": short}, {"sdr": 1.0}, None]
    cell = book.cell("m", values, cards=(LOUD, second), failures={2: "RuntimeError"})
    book.close()

    with Workspace(tmp_path / "ws") as workspace:
        (items,) = BoardItems(workspace)(table_of(workspace)).cells

    assert items.cell_id == cell
    assert items.reasons == {
        (0, "sdr"): "undefined because of the estimate: the estimate is silent",
        (0, "pesq"): "undefined because of the reference: shorter than a window",
        (1, "pesq"): "not scored by the present version of the metric",
    }
    assert items.failures == {2: "failed: RuntimeError: words"}


def test_items_come_from_the_scores_that_the_tables_were_made_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    with Workspace(folder) as workspace:
        board = complete_board(workspace)
        query = workspace.query

        def noted(sql: str, *values: Any) -> list[Any]:
            asked.append(sql)
            return query(sql, *values)

        monkeypatch.setattr(workspace, "query", noted)

        items = board.items(board.tables[0]) if board.items else None

    assert items is not None
    assert len(items.targets) == 6
    assert asked
    assert not [sql for sql in asked if "s.value, s.cause" in sql or "FROM items" in sql]


def test_kept_audio_comes_with_its_mixture_and_reference(folder: Path) -> None:
    with Workspace(folder) as workspace:
        table = table_of(workspace)
        audio = KeptAudio(workspace, [table])
        kept = audio.kept("kit")
        recording = audio.open("kit", "scene-00001", "rain")

    model = next(row for row in table.rows if row.role == "model")
    assert len(kept) == 6
    assert kept[:2] == [("scene-00000", "dog"), ("scene-00000", "rain")]
    assert recording is not None
    assert recording.mixture.shape == recording.reference.shape
    assert {(model.cell_id, 0), (model.cell_id, 1)} <= set(recording.estimates)
    estimate = recording.estimates[model.cell_id, 0]
    assert np.abs(estimate - recording.mixture / 2).max() < 1e-6
    assert audio.problems() == []


@pytest.fixture
def with_examples(tmp_path: Path) -> Path:
    """A workspace asked by example, one shot; the clips lie in `pool`."""
    pool = tmp_path / "pool"
    pool.mkdir()
    for level, name in enumerate(("dog-1", "dog-2", "rain-1", "rain-2"), start=1):
        tone = np.full(8000, level / 10, np.float32)
        soundfile.write(pool / f"{name}.wav", tone, 16000, subtype="FLOAT")
    settings = [*KIT, f"datasets.kit.root={pool}", "query=audio", "query.shots=1"]
    run(tmp_path / "ws", settings=settings)
    return tmp_path


def test_examples_of_the_queries_are_heard_as_the_models_heard_them(with_examples: Path) -> None:
    with Workspace(with_examples / "ws") as workspace:
        audio = KeptAudio(workspace, [table_of(workspace)])
        recording = audio.open("kit", "scene-00001", "rain")

    assert recording is not None
    ((clip_id, samples),) = recording.examples.items()
    level = {"rain-example-1": 0.3, "rain-example-2": 0.4}[clip_id]
    middle = samples[0, samples.shape[1] // 2]
    assert middle == pytest.approx(level, abs=1e-3)
    assert samples.shape[1] == pytest.approx(0.5 * recording.sample_rate, abs=2)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "kit: no example rain-example-"),
        (
            lambda path: soundfile.write(path, np.ones(8000), 16000),
            "changed since models heard it",
        ),
    ],
)
def test_an_example_that_is_not_what_was_heard_is_left_out_and_says_why(
    with_examples: Path, harm: Callable[[Path], None], said: str
) -> None:
    for path in (with_examples / "pool").glob("rain-*.wav"):
        harm(path)

    with Workspace(with_examples / "ws") as workspace:
        audio = KeptAudio(workspace, [table_of(workspace)])
        recording = audio.open("kit", "scene-00001", "rain")

    assert recording is not None
    assert recording.examples == {}
    (problem,) = audio.problems()
    assert said in problem


def test_without_kept_audio_there_is_nothing_to_hear(tmp_path: Path) -> None:
    run(tmp_path / "ws", settings=[*KIT[:3], "keep_audio=false"])
    with Workspace(tmp_path / "ws") as workspace:
        audio = KeptAudio(workspace, [table_of(workspace)])

        assert audio.kept("kit") == []


def test_a_scene_that_cannot_be_made_again_is_left_out_and_says_why(folder: Path) -> None:
    with Workspace(folder, writable=True) as workspace:
        audio = KeptAudio(workspace, [table_of(workspace)])
        settings = workspace.query("SELECT id, settings FROM runs")[0]
        changed = settings["settings"].replace('"scenes":3', '"salt":"other","scenes":3')
        workspace._database.execute("UPDATE runs SET settings = ?", (changed,))

        assert changed != settings["settings"]
        assert audio.open("kit", "scene-00000", "dog") is None
        assert audio.open("kit", "scene-99999", "dog") is None
        assert audio.problems() == [
            "kit: files of scene scene-00000 changed since it was scored",
            "kit: scene scene-99999 is no longer in the dataset's list",
        ]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"text": "a dog"}, "a dog"),
        ({"label": "sea_waves"}, "sea waves"),
        ({"examples": ["a", "b"]}, "like a, b"),
        ({}, ""),
    ],
)
def test_what_was_asked_in_words(query: dict[str, object], words: str) -> None:
    assert query_words(query) == words
