"""Kept estimates in a store of their own: a folder, or a URL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.machine import calls, rows, run, scores

from sepbench.harness.audio import read_audio
from sepbench.harness.errors import SettingError, StorageError, WorkspaceError
from sepbench.harness.stages.score import keep_estimate
from sepbench.harness.storage.places import open_place
from sepbench.harness.store import Workspace

GRID = ["datasets.kit.scenes=2", "query.kind=text"]
ITEMS = 6


@pytest.fixture
def estimate() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)


def test_a_store_may_be_a_url(bucket, estimate: np.ndarray) -> None:
    name = keep_estimate(estimate, 16000, open_place(bucket.url))

    audio = read_audio(open_place(bucket.url) / name[:2] / f"{name}.wav")
    assert bucket.names() == [f"{name[:2]}/{name}.wav"]
    assert np.array_equal(audio.samples, estimate)


def test_an_estimate_that_is_there_is_not_sent_again(
    bucket, estimate: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_place(bucket.url)
    keep_estimate(estimate, 16000, store)
    monkeypatch.delattr(type(bucket.fs), "pipe_file")

    assert len(keep_estimate(estimate, 16000, store)) == 64


def test_half_an_estimate_is_sent_again(bucket, estimate: np.ndarray) -> None:
    store = open_place(bucket.url)
    name = keep_estimate(estimate, 16000, store)
    bucket.put(f"{name[:2]}/{name}.wav", b"half")

    keep_estimate(estimate, 16000, store)

    path = open_place(bucket.url) / name[:2] / f"{name}.wav"
    assert np.array_equal(read_audio(path).samples, estimate)


def test_a_store_that_refuses_fails_the_item_by_name(
    bucket, estimate: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError("read-only credentials")

    monkeypatch.setattr(bucket.fs, "pipe_file", refuse)

    with pytest.raises(WorkspaceError, match=r"cannot be kept: .*read-only credentials"):
        keep_estimate(estimate, 16000, open_place(bucket.url))


@pytest.mark.parametrize("kind", ["url", "folder"])
def test_a_new_metric_uses_the_estimates_of_a_store(kind: str, bucket, tmp_path: Path) -> None:
    store = bucket.url if kind == "url" else str(tmp_path / "store")
    log = tmp_path / "log"
    grid = [*GRID, f"models.kit-half.log={log}"]
    run(tmp_path / "ws", settings=[*grid, "metrics=[sdr]", f"audio_store='{store}'"])
    separated = calls(log)["separate"]

    added = run(tmp_path / "ws", settings=[*grid, "metrics=[sdr,si_sdr]"])

    assert added.ok
    assert calls(log)["separate"] == separated
    assert len(scores(tmp_path / "ws")) == 2 * ITEMS
    assert list((tmp_path / "ws").glob("audio/*/*.wav")) == []


def test_a_store_on_disk_is_filled_by_the_scorers(tmp_path: Path) -> None:
    store = (tmp_path / "a store").as_uri()

    done = run(
        tmp_path / "ws",
        engine="local",
        settings=[*GRID, f"audio_store='{store}'", "engine.workers=1"],
    )

    kept = {row["estimate_sha256"] for row in rows(tmp_path / "ws", "SELECT * FROM results")}
    assert done.ok
    assert {path.stem for path in (tmp_path / "a store").glob("*/*.wav")} == kept


def test_memory_cannot_be_shared_with_scorers(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"memory://x lives in one process.*inline"):
        run(tmp_path / "ws", engine="local", settings=["audio_store='memory://x'"])


def test_a_store_out_of_reach_is_named_when_its_estimates_are_wanted(
    bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ["metrics=[sdr]", f"audio_store='{bucket.url}'"]
    run(tmp_path / "ws", settings=[*GRID, *store])

    def refuse(*arguments: object, **named: object) -> None:
        raise PermissionError("expired token")

    monkeypatch.setattr(bucket.fs, "ls", refuse)

    with pytest.raises(StorageError, match="expired token"):
        run(tmp_path / "ws", settings=[*GRID, "metrics=[sdr,si_sdr]"])


def test_a_relative_store_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    run(tmp_path / "ws", settings=[*GRID, "audio_store=kept"])
    monkeypatch.chdir(tmp_path)

    sha256 = rows(tmp_path / "ws", "SELECT estimate_sha256 FROM results")[0]["estimate_sha256"]

    with Workspace(tmp_path / "ws") as workspace:
        assert workspace.audio_path(sha256).parent.parent == tmp_path / "work" / "kept"
