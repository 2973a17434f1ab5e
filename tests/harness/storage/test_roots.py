"""A dataset reads the same from a URL as from a disk, and so does all that looks at its root."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sepbench_testkit.corpora.everything import CORPORA
from sepbench_testkit.corpora.folder import write_folder
from sepbench_testkit.machine import largest_difference, run, scores

from sepbench.harness.api import Dataset
from sepbench.harness.cli.run import root_setting
from sepbench.harness.errors import BenchError, MissingRootError
from sepbench.harness.run.corpora import find_root, open_dataset
from sepbench.harness.run.data import prepare, verify
from sepbench.harness.run.data_status import status
from sepbench.harness.run.doctor import examine
from sepbench.harness.settings import resolve
from sepbench.harness.storage.places import open_place


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def answer(dataset: Dataset, list_name: str) -> list[Any] | str:
    """The rows of a list, or the kind of error."""
    try:
        return list(dataset.scenes(list_name))
    except BenchError as error:
        return type(error).__name__


def sound(dataset: Dataset, row: Any) -> list[Any]:
    """What loading a scene gives: digests and samples, or the kind of error."""
    try:
        scene = dataset.load(row, 8000, mono=True)
    except BenchError as error:
        return [type(error).__name__]
    return [
        dict(scene.files),
        scene.mixture.tobytes(),
        *map(np.ndarray.tobytes, scene.sources.values()),
    ]


@pytest.mark.parametrize("name", CORPORA)
def test_a_dataset_reads_the_same_from_a_url(name: str, bucket, tmp_path: Path) -> None:
    root = CORPORA[name](tmp_path / name)
    here, there = (open_dataset(name, {"root": place}) for place in (root, bucket.copy(root)))

    assert there.default_protocol() == here.default_protocol()
    for entry in here.card.lists:
        rows = answer(here, entry.name)
        assert answer(there, entry.name) == rows
        # Rows whose audio is on disk come first in these corpora; some lists have thousands.
        for row in rows[:12] if isinstance(rows, list) else []:
            assert sound(there, row) == sound(here, row)
    for pool in here.card.pools:
        clips = [(clip.clip_id, clip.labels, clip.path.read_bytes()) for clip in here.clips(pool)]
        assert [(c.clip_id, c.labels, c.path.read_bytes()) for c in there.clips(pool)] == clips


@pytest.mark.parametrize("name", ["esc50", "folder", "voicebank-demand", "clotho"])
def test_status_says_of_a_url_what_it_says_of_a_folder(name: str, bucket, tmp_path: Path) -> None:
    root = CORPORA[name](tmp_path / name)

    (here,) = status([name], {name: {"root": str(root)}})
    (there,) = status([name], {name: {"root": bucket.copy(root)}})

    assert (there.lists, there.files, there.size) == (here.lists, here.files, here.size)
    assert (there.root, there.free, there.error) == (bucket.url, None, "")


def test_a_manifest_of_a_url_lies_in_the_users_cache(
    bucket, tmp_path: Path, user_cache: Path
) -> None:
    settings = {"folder": {"root": bucket.copy(write_folder(tmp_path / "data"))}}
    before = bucket.names()

    prepared = prepare(["folder"], settings, yes=False, again=False, say=lambda _: None)
    verified = verify(["folder"], settings, quick=False, say=lambda _: None)

    assert prepared[-1].word == "written"
    assert str(user_cache) in prepared[-1].detail
    assert [finding.word for finding in verified] == ["ok"]
    assert bucket.names() == before


def test_a_changed_file_in_storage_is_found(bucket, tmp_path: Path) -> None:
    settings = {"folder": {"root": bucket.copy(write_folder(tmp_path / "data"))}}
    prepare(["folder"], settings, yes=False, again=False, say=lambda _: None)
    before = bucket.fs.cat_file(f"{bucket.name}/-dog.wav")
    bucket.put("-dog.wav", before[:-1] + bytes([before[-1] ^ 1]))

    found = verify(["folder"], settings, quick=False, say=lambda _: None)

    assert [(finding.word, finding.detail.split()[0]) for finding in found] == [
        ("changed", "-dog.wav")
    ]


def test_files_for_a_bucket_are_named_and_never_put_there(bucket, tmp_path: Path) -> None:
    settings = {"clotho": {"root": bucket.copy(CORPORA["clotho"](tmp_path / "clotho"))}}
    before = bucket.names()

    found = prepare(["clotho"], settings, yes=True, again=False, say=lambda _: None)

    assert "fetched" not in {finding.word for finding in found}
    assert bucket.names() == before


def test_a_url_that_holds_nothing_is_refused(bucket) -> None:
    with pytest.raises(MissingRootError, match=rf"{bucket.url} is no folder that exists"):
        open_dataset("folder", {"root": bucket.url})


def test_the_folder_of_all_data_may_be_a_url(
    bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "all" / "folder")
    monkeypatch.setenv("SEPBENCH_DATA", bucket.copy(tmp_path / "all"))

    assert str(find_root("folder", None)) == f"{bucket.url}/folder"
    assert find_root("esc50", None) is None


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_a_run_from_a_url_gives_the_scores_of_a_run_from_a_disk(
    engine: str, bucket, tmp_path: Path
) -> None:
    root = write_folder(tmp_path / "data")
    grid = {"datasets": ["folder"], "engine": engine}
    asked = ["query.kind=audio", "query.shots=1", "engine.workers=1"]

    run(tmp_path / "here", **grid, settings=[f"datasets.folder.root='{root}'", *asked])
    url = bucket.copy(root)
    there = run(tmp_path / "there", **grid, settings=[f"datasets.folder.root='{url}'", *asked])

    assert there.ok
    assert there.done > 0
    assert largest_difference(scores(tmp_path / "there"), scores(tmp_path / "here")) == 0


# --- a protocol that other processes reach ------------------------------------------------------


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of a folder."""
    pytest.importorskip("aiohttp", reason="fsspec reads http through aiohttp")
    root = write_folder(tmp_path / "site" / "data")
    (tmp_path / "site" / "secret.wav").write_bytes(b"secret")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            return None

    serve = functools.partial(Quiet, directory=str(root.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/data"
        server.shutdown()
        thread.join()


def test_a_dataset_reads_the_same_from_a_web_server(web: str, tmp_path: Path) -> None:
    here = open_dataset("folder", {"root": tmp_path / "site" / "data"})
    there = open_dataset("folder", {"root": web})

    rows = answer(here, "manifest")

    assert answer(there, "manifest") == rows
    assert [sound(there, row) for row in rows] == [sound(here, row) for row in rows]
    (state,) = status(["folder"], {"folder": {"root": web}})
    assert (state.files, state.lists[0].missing) == (5, ())


def test_a_dataset_reads_the_same_from_inside_an_archive(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in root.iterdir():
            archive.write(path, f"inner/{path.name}")
    here = open_dataset("folder", {"root": root})
    there = open_dataset("folder", {"root": f"zip://inner::{(tmp_path / 'all.zip').as_uri()}"})

    rows = answer(here, "manifest")

    assert answer(there, "manifest") == rows
    assert [sound(there, row) for row in rows] == [sound(here, row) for row in rows]


def test_a_full_disk_under_the_cache_stops_nothing(
    bucket, tmp_path: Path, file_system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_CACHE", str(file_system("full", megabytes=1) / "cache"))
    bucket.put("large.wav", bytes(3 << 20))

    assert len((open_place(bucket.url) / "large.wav").read_bytes()) == 3 << 20


def test_a_root_on_the_command_line_may_be_a_url() -> None:
    setting = root_setting("folder=s3://bucket/my data")

    settings = resolve(workspace=Path("none"), overrides=[setting], environment={})

    assert settings.dataset_settings["folder"]["root"] == "s3://bucket/my data"


def test_folders_of_this_machine_need_no_fsspec() -> None:
    code = (
        "import sys; from sepbench.harness.run.corpora import find_root; find_root('esc50', '/');"
        "find_root('esc50', 'file:///'); assert 'fsspec' not in sys.modules"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_url_that_cannot_be_opened_is_a_finding_and_stops_neither_status_nor_doctor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEPBENCH_DATA", "memry://bucket")

    states = status(["esc50", "demo"], {})
    lines = [line for line in examine(tmp_path) if line[1] == "dataset esc50"]

    assert "Did you mean 'memory'" in states[0].error
    assert states[0].through == "SEPBENCH_DATA"
    assert [bool(state.error) for state in states] == [True, True]
    assert [line[0] for line in lines] == ["PROBLEM"]
