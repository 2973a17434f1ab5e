from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sepbench_testkit.data import Kit
from sepbench_testkit.machine import fill, remount, rows, run, scores

from sepbench.harness import store_schema
from sepbench.harness.api import Undefined
from sepbench.harness.database import Database, _on_network
from sepbench.harness.errors import (
    ChangedFileError,
    WorkspaceError,
    WorkspaceLockedError,
    WorkspaceVersionError,
)
from sepbench.harness.metrics.catalog import card_of
from sepbench.harness.plan import plan_cells
from sepbench.harness.protocols import load_protocol
from sepbench.harness.records import CellFacts, Failure, ItemOutcome
from sepbench.harness.run import stopping
from sepbench.harness.run.models import plan_models
from sepbench.harness.settings import resolve
from sepbench.harness.store import DATABASE, Workspace

METRICS = ("sdr", "si_sdr")


class Prepared:
    """A writable workspace with one cell of the kit's six scenes, and shorthands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = Workspace(folder, writable=True)
        self.run_id = self.workspace.begin_run({}, {})
        settings = resolve(workspace=folder, models=["kit-half"], overrides=["bounds=[]"])
        dataset = Kit()
        protocol = load_protocol("kit", dataset.protocols)
        (cell,) = plan_cells(plan_models(settings), [(protocol, dataset)], kinds=(), shots=())
        assert cell.task is not None
        self.workspace.add_metrics(card_of(metric) for metric in METRICS)
        self.task_id = self.workspace.add_task(cell.task)
        self.cell_id = self.workspace.add_cell(cell, self.task_id, METRICS, self.run_id)

    def record(self, item_id: int, **facts: object) -> None:
        outcome = ItemOutcome(
            **{"cell_id": self.cell_id, "item_id": item_id, "status": "scored", **facts}
        )
        self.workspace.record([outcome], self.run_id)

    def result(self, item_id: int) -> dict[str, object]:
        (row,) = self.workspace.query("SELECT * FROM results WHERE item_id = ?", (item_id,))
        return dict(row)

    def pending(self, *metrics: str, limit: int | None = None) -> tuple[int, int]:
        _, left = self.workspace.pending_positions(self.cell_id, self.task_id, metrics, limit)
        return self.workspace.count_items(self.task_id, limit), left


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[Prepared]:
    made = Prepared(tmp_path / "ws")
    yield made
    made.workspace.close()


def failure(text: str = "no") -> Failure:
    return Failure(error_type="RuntimeError", error=text, traceback="Traceback …")


# --- recording ----------------------------------------------------------------------------


def test_an_item_is_durable_when_record_returns(prepared: Prepared) -> None:
    prepared.record(1, scores={"sdr": 3.5})

    # Another connection sees it at once, without the first being closed.
    assert rows(prepared.folder, "SELECT value FROM scores") == [{"value": 3.5}]
    assert rows(prepared.folder, "PRAGMA synchronous") != []
    assert prepared.workspace.query("PRAGMA synchronous")[0][0] == 2  # FULL


def test_values_infinite_and_undefined_come_back_as_they_were(prepared: Prepared) -> None:
    silent = Undefined(cause="reference", reason="the reference is silent")

    prepared.record(1, scores={"sdr": -math.inf, "si_sdr": silent})

    found = prepared.workspace.query("SELECT value, cause, reason FROM scores ORDER BY metric_id")
    assert [tuple(row) for row in found] == [
        (-math.inf, None, None),
        (None, "reference", "the reference is silent"),
    ]


def test_a_failed_item_that_is_scored_later_counts_its_attempts(prepared: Prepared) -> None:
    prepared.record(1, status="failed", failure=failure("first"))
    prepared.record(1, status="timed-out", failure=failure("second"))
    prepared.record(1, scores={"sdr": 1.0}, separate_seconds=2.0)

    result = prepared.result(1)
    kept = prepared.workspace.query("SELECT status, error FROM failures ORDER BY id")
    assert (result["status"], result["attempts"], result["error"]) == ("scored", 3, "")
    assert result["separate_seconds"] == 2.0
    assert [tuple(row) for row in kept] == [("failed", "first"), ("timed-out", "second")]


def test_a_final_result_survives_a_later_failure(prepared: Prepared) -> None:
    prepared.record(1, scores={"sdr": 1.0}, separate_seconds=2.0)

    prepared.record(1, status="failed", failure=failure(), separate_seconds=9.0)

    result = prepared.result(1)
    assert (result["status"], result["attempts"], result["error"]) == ("scored", 1, "")
    assert result["separate_seconds"] == 2.0
    assert scores(prepared.folder)[("kit-half", "kit", "scene-00000", "dog", "0", "sdr")] == (
        1.0,
        None,
    )
    assert len(prepared.workspace.query("SELECT * FROM failures")) == 1


def test_a_new_metric_is_added_beside_the_old_ones(prepared: Prepared) -> None:
    silent = Undefined(cause="reference", reason="silent")
    prepared.record(1, status="undefined", scores={"sdr": silent})

    prepared.record(1, scores={"si_sdr": 4.0}, estimate_sha256="abc")
    prepared.record(2, scores={"sdr": 1.0}, estimate_sha256="def")
    prepared.record(2, status="undefined", scores={"si_sdr": silent})

    first, second = prepared.result(1), prepared.result(2)
    assert (first["status"], first["estimate_sha256"]) == ("scored", "abc")
    assert (second["status"], second["estimate_sha256"]) == ("scored", "def")


def test_a_batch_is_recorded_whole_or_not_at_all(prepared: Prepared) -> None:
    good = ItemOutcome(cell_id=prepared.cell_id, item_id=1, status="scored", scores={"sdr": 1.0})
    bad = ItemOutcome(cell_id=prepared.cell_id, item_id=2, status="scored", scores={"sdx": 1.0})

    with pytest.raises(KeyError):
        prepared.workspace.record([good, bad], prepared.run_id)

    assert prepared.workspace.query("SELECT * FROM results") == []
    prepared.record(1, scores={"sdr": 1.0})
    assert len(prepared.workspace.query("SELECT * FROM results")) == 1


def test_recording_nothing_is_no_transaction(prepared: Prepared) -> None:
    prepared.workspace.record([], prepared.run_id)

    assert prepared.workspace.query("SELECT * FROM results") == []


# --- what is left -------------------------------------------------------------------------


def test_scored_and_undefined_items_are_done_and_failed_ones_are_not(prepared: Prepared) -> None:
    silent = Undefined(cause="reference", reason="silent")
    prepared.record(1, scores={"sdr": 1.0})
    prepared.record(2, status="undefined", scores={"sdr": silent})
    prepared.record(3, status="failed", failure=failure())

    assert prepared.pending("sdr") == (18, 16)
    assert prepared.pending("sdr", "si_sdr") == (18, 18)
    assert prepared.pending("sdr", limit=2) == (6, 4)


def test_positions_are_those_of_scenes_with_something_left(prepared: Prepared) -> None:
    for item in (1, 2, 3):  # all of the first scene
        prepared.record(item, scores={"sdr": 1.0})
    prepared.record(4, scores={"sdr": 1.0})

    positions, _ = prepared.workspace.pending_positions(
        prepared.cell_id, prepared.task_id, ["sdr"], 3
    )

    assert positions == [1, 2]


def test_a_scenes_items_say_what_each_lacks_and_what_can_be_checked(prepared: Prepared) -> None:
    prepared.record(1, scores={"sdr": math.inf}, estimate_sha256="abc")
    prepared.record(2, scores={"sdr": 2.0})

    items = prepared.workspace.scene_items(prepared.cell_id, prepared.task_id, 0, METRICS)

    assert [item.missing for item in items] == [("si_sdr",), ("si_sdr",), METRICS]
    assert [dict(item.known) for item in items] == [{}, {"sdr": 2.0}, {}]
    assert [item.estimate_sha256 for item in items] == ["abc", "", ""]
    assert items[1].query == {"text": "rain falls"}


def test_a_cell_that_failed_is_active_again_when_it_is_asked_for_again(tmp_path: Path) -> None:
    status = "SELECT status, reason FROM cells"
    made = Prepared(tmp_path)
    made.workspace.fail_cell(made.cell_id, failure("weights are gone"), made.run_id)
    made.workspace.close()
    failed = rows(tmp_path, status)

    run(tmp_path, models=["kit-half"])

    assert failed == [{"status": "failed", "reason": "weights are gone"}]
    assert rows(tmp_path, status) == [{"status": "active", "reason": ""}]
    assert rows(tmp_path, "SELECT error, item_id FROM failures") == [
        {"error": "weights are gone", "item_id": None}
    ]


def test_facts_of_a_loaded_model_are_kept_with_its_cell(prepared: Prepared) -> None:
    facts = CellFacts(device="cuda:1", precision="tf32", parameters=7)

    prepared.workspace.set_facts(prepared.cell_id, facts)

    kept = json.loads(prepared.workspace.query("SELECT facts FROM cells")[0]["facts"])
    assert (kept["device"], kept["precision"], kept["parameters"]) == ("cuda:1", "tf32", 7)


def test_files_are_remembered_and_other_contents_are_refused(prepared: Prepared) -> None:
    prepared.workspace.check_files("kit", {"dog.wav": "a" * 64})
    prepared.workspace.check_files("kit", {"dog.wav": "a" * 64, "rain.wav": "b" * 64})
    prepared.workspace.check_files("other", {"dog.wav": "c" * 64})

    words = r"rain.wav of dataset kit has changed .*\(sha256 b{12}… then, d{12}… now\)"
    with pytest.raises(ChangedFileError, match=words):
        prepared.workspace.check_files("kit", {"rain.wav": "d" * 64})


def test_a_run_that_was_killed_no_longer_counts_as_running(prepared: Prepared) -> None:
    prepared.workspace.begin_run({}, {})

    statuses = [row[0] for row in prepared.workspace.query("SELECT status FROM runs ORDER BY id")]
    assert statuses == ["stopped", "running"]


def test_unfinished_kept_audio_of_a_killed_run_is_removed(prepared: Prepared) -> None:
    unfinished = prepared.folder / "audio" / "ab" / "abc.7.part.wav"
    unfinished.parent.mkdir(parents=True)
    unfinished.touch()
    whole = unfinished.with_name("abc.wav")
    whole.touch()

    prepared.workspace.begin_run({}, {})

    assert list(unfinished.parent.iterdir()) == [whole]


# --- opening ------------------------------------------------------------------------------


def test_one_writer_at_a_time_and_readers_beside_it(prepared: Prepared) -> None:
    with pytest.raises(WorkspaceLockedError, match="in use by process"):
        Workspace(prepared.folder, writable=True)

    with Workspace(prepared.folder) as reader:
        assert len(reader.query("SELECT * FROM items")) == 18


def test_a_reader_cannot_write(prepared: Prepared) -> None:
    with (
        Workspace(prepared.folder) as reader,
        pytest.raises(WorkspaceError, match=r"readonly database\. Make the folder writable"),
    ):
        reader.begin_run({}, {})


def test_reading_what_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"holds no results yet\. Run `bench run` first"):
        Workspace(tmp_path)


def test_a_run_killed_before_its_first_table_leaves_no_results_yet(tmp_path: Path) -> None:
    (tmp_path / DATABASE).touch()

    with pytest.raises(WorkspaceError, match="holds no results yet"):
        Workspace(tmp_path)
    Workspace(tmp_path, writable=True).close()

    assert rows(tmp_path, "SELECT * FROM runs") == []


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "ws").touch()

    with pytest.raises(WorkspaceError, match=r"ws cannot be made: File exists\. Choose another"):
        Workspace(tmp_path / "ws", writable=True)


@pytest.mark.parametrize("writable", [True, False])
def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path, writable: bool) -> None:
    (tmp_path / DATABASE).write_text("notes to myself\n" * 100)

    with pytest.raises(WorkspaceError, match=r"not a database\. It is not a sepbench workspace"):
        Workspace(tmp_path, writable=writable)

    assert (tmp_path / DATABASE).read_text() == "notes to myself\n" * 100


@pytest.mark.parametrize("writable", [True, False])
def test_a_workspace_of_a_newer_sepbench_is_refused(tmp_path: Path, writable: bool) -> None:
    Workspace(tmp_path, writable=True).close()
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("PRAGMA user_version=99")

    with pytest.raises(WorkspaceVersionError, match=r"newer sepbench \(schema 99, .*Upgrade"):
        Workspace(tmp_path, writable=writable)

    assert WorkspaceVersionError("").exit_code == 2


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> int:
    """A schema one newer than today's, with a step that adds a column."""
    today = store_schema.SCHEMA_VERSION

    def add_a_column(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT 'old'")

    monkeypatch.setitem(store_schema.MIGRATIONS, today, add_a_column)
    monkeypatch.setattr(store_schema, "SCHEMA_VERSION", today + 1)
    return today + 1


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A workspace of today's schema with one run."""
    with Workspace(tmp_path, writable=True) as workspace:
        workspace.begin_run({}, {})
    return tmp_path


def test_an_older_workspace_is_brought_up_to_date_by_a_writer(old: Path, next_version: int) -> None:
    Workspace(old, writable=True).close()

    assert rows(old, "SELECT note FROM runs") == [{"note": "old"}]
    assert rows(old, "PRAGMA user_version") == [{"user_version": next_version}]


def test_a_workspace_of_the_first_schema_learns_to_keep_windows(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.executescript(store_schema._VERSION_1)
        connection.execute(f"PRAGMA application_id={store_schema.APPLICATION_ID}")
        connection.execute("PRAGMA user_version=1")

    Workspace(tmp_path, writable=True).close()

    assert rows(tmp_path, "SELECT count(*) n FROM frames") == [{"n": 0}]
    assert rows(tmp_path, "PRAGMA user_version") == [{"user_version": store_schema.SCHEMA_VERSION}]


def test_an_older_workspace_is_not_changed_by_a_reader(old: Path, next_version: int) -> None:
    with pytest.raises(WorkspaceError, match="has an older schema; `bench run` upgrades it"):
        Workspace(old)


def test_a_migration_that_fails_changes_nothing(
    old: Path, next_version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_way(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE runs ADD COLUMN note TEXT")
        connection.execute("ALTER TABLE gone ADD COLUMN note TEXT")

    monkeypatch.setitem(store_schema.MIGRATIONS, next_version - 1, half_way)
    with pytest.raises(WorkspaceError, match="no such table: gone"):
        Workspace(old, writable=True)

    monkeypatch.setattr(store_schema, "SCHEMA_VERSION", next_version - 1)
    assert "note" not in rows(old, "SELECT * FROM runs")[0]


def test_the_journal_fits_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workspace(tmp_path / "local", writable=True) as local:
        on_disk = local.query("PRAGMA journal_mode")[0][0]
    monkeypatch.setattr("sepbench.harness.database._on_network", lambda folder: True)
    with Workspace(tmp_path / "network", writable=True) as network:
        on_network = network.query("PRAGMA journal_mode")[0][0]

    assert (on_disk, on_network) == ("wal", "delete")


def test_network_file_systems_are_told_by_the_longest_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = (
        f"disk / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\nt {tmp_path}/local tmpfs rw 0 0"
    )
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: mounts)

    assert _on_network(tmp_path / "workspace")
    assert not _on_network(tmp_path / "local" / "workspace")
    assert not _on_network(tmp_path.parent)


# --- disks that fail ----------------------------------------------------------------------


def test_a_read_only_workspace_is_refused_by_name_and_can_be_read(file_system: object) -> None:
    folder = file_system("frozen")  # type: ignore[operator]
    run(folder / "ws", settings=["datasets.kit.scenes=1"])
    before = scores(folder / "ws")
    remount(folder, "ro")

    with pytest.raises(WorkspaceError, match=r"cannot be written: Read-only.*--workspace"):
        run(folder / "ws", settings=["datasets.kit.scenes=2"])
    with pytest.raises(WorkspaceError, match="cannot be made: Read-only file system"):
        run(folder / "another")

    assert len(before) == 6
    assert scores(folder / "ws") == before


def test_a_full_disk_stops_the_run_keeps_what_is_done_and_the_same_command_completes(
    file_system: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Filled by others faster than the run looks: SQLite itself finds no room.
    monkeypatch.setattr(stopping, "RESERVE_BYTES", 0)
    monkeypatch.setattr(stopping, "BYTES_AN_ITEM", 0)
    folder = file_system("full", megabytes=8)  # type: ignore[operator]
    grid = ["datasets.kit.scenes=80", "datasets.kit.samples=400", "metrics=[sdr]"]
    run(folder / "ws", settings=[*grid, "limit=10"])
    filler = fill(folder, leave=200_000)

    with pytest.raises(WorkspaceError, match=r"full\. Free some space and run the same command"):
        run(folder / "ws", settings=grid)
    filler.unlink()
    kept = len(scores(folder / "ws"))
    run(folder / "ws", settings=grid)
    run(tmp_path / "fresh", settings=grid)

    assert 30 <= kept < 240
    assert scores(folder / "ws") == scores(tmp_path / "fresh")


def test_a_disk_too_full_for_kept_audio_fails_items_and_a_later_run_completes(
    file_system: object,
) -> None:
    folder = file_system("audio", megabytes=2)  # type: ignore[operator]
    grid = [
        "datasets.kit.scenes=4",
        "datasets.kit.samples=200000",
        "keep_audio=true",
        "metrics=[sdr]",
    ]

    first = run(folder / "ws", settings=grid)
    unfinished = list((folder / "ws").glob("audio/*/*.part.wav"))
    last = run(folder / "ws", settings=[*grid, "keep_audio=false"])

    assert [kind for _, kind in first.errors] == ["WorkspaceError"]
    assert "cannot be kept in" in first.example("WorkspaceError")
    assert unfinished == []
    assert last.ok
    assert len(scores(folder / "ws")) == 12


def test_database_errors_come_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        WorkspaceError, match=r"unable to open database file\. Check that the folder"
    ):
        Database(tmp_path / "gone" / DATABASE, writable=True)
