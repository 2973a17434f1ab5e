"""`bench weights` as a user meets it; the hub is a function of the test's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.weights import PUBLISHED, own_weights, tokenizer_folder

Bench = Callable[..., Any]
HUB = {
    ("us/net", "sub/net.bin"): PUBLISHED,
    ("us/tokens", "tokenizer.json"): b"{}",
    ("us/tokens", "vocab.txt"): b"a\nb\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_weights(monkeypatch, tmp_path / "weights")


class Hub:
    """Stands in for `hub_download`: writes what it holds, and keeps what it was asked."""

    def __init__(self) -> None:
        self.files = dict(HUB)
        self.asked: list[dict[str, Any]] = []
        self.failure: BaseException | None = None

    def __call__(self, repository: str, path: str, *, folder: Path, **given: Any) -> Path:
        self.asked.append({"repository": repository, "path": path, **given})
        file = folder / Path(path).name
        if self.failure:
            file.with_name(file.name + ".part").write_bytes(b"half")
            raise self.failure
        file.write_bytes(self.files[repository, path])
        return file


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr("sepbench.harness.run.weights.hub_download", hub)
    return hub


# --- status ---------------------------------------------------------------------------------


def test_status_is_a_table_of_what_is_there(bench: Bench, folder: Path, hub: Hub) -> None:
    bench("weights", "pull", "tokens")
    (folder / "lone.bin").write_bytes(b"net: by hand")

    done = bench("weights", "status", "net", "tokens", "lone")

    assert done.code == 0
    assert done.err == ""
    assert [line.split(maxsplit=4) for line in done.out.splitlines()] == [
        ["Name", "Installed", "MB", "sha256", "Source"],
        ["net", "no", "0.0", "-", "spaces/us/net@abc"],
        ["tokens", "yes", "0.0", "published", "us/tokens@abc"],
        ["lone", "yes", "0.0", "unrecorded", "by hand"],
    ]


def test_status_without_names_lists_everything_and_is_also_json(bench: Bench, folder: Path) -> None:
    table = bench("weights", "status").out
    rows = {row["name"]: row for row in json.loads(bench("weights", "status", "--json").out)}

    assert {line.split()[0] for line in table.splitlines()[1:]} == set(rows)
    assert {"lassnet", "audiosep-clap", "audiosep-hive", "clap", "roberta-base"} <= set(rows)
    assert rows["audiosep-clap"]["size"] == 1_264_844_076
    assert rows["lassnet"]["source"] == "by hand"
    assert rows["lassnet"]["installed"] == ""


def test_status_sees_a_file_that_changed_without_reading_it(
    bench: Bench, folder: Path, hub: Hub
) -> None:
    bench("weights", "pull", "net")
    (folder / "net" / "net.bin").write_bytes(b"net: longer than before")

    (row,) = json.loads(bench("weights", "status", "net", "--json").out)

    assert row["sha256"] == "changed"


# --- pull -----------------------------------------------------------------------------------


def test_pull_fetches_the_pinned_revision_and_what_it_needs(
    bench: Bench, folder: Path, hub: Hub
) -> None:
    done = bench("weights", "pull", "net")

    words = [line.split() for line in done.out.splitlines()]
    assert done.code == 0
    assert words == [
        ["net", "installed", str(folder / "net" / "net.bin")],
        ["tokens", "installed", str(folder / "tokens")],
    ]
    assert "Fetching net from spaces/us/net@abc (0.0 MB)" in done.err
    assert hub.asked[0] == {
        "repository": "us/net",
        "path": "sub/net.bin",
        "space": True,
        "revision": "abc",
    }
    assert (folder / "net" / "net.bin").read_bytes() == PUBLISHED
    assert list((folder / ".downloads").iterdir()) == []


def test_pull_again_fetches_nothing(bench: Bench, folder: Path, hub: Hub) -> None:
    bench("weights", "pull", "net")
    before = len(hub.asked)

    done = bench("weights", "pull", "net")

    assert [line.split()[1] for line in done.out.splitlines()] == ["there", "there"]
    assert len(hub.asked) == before


def test_pull_replaces_a_file_that_changed(bench: Bench, folder: Path, hub: Hub) -> None:
    bench("weights", "pull", "net")
    (folder / "net" / "net.bin").write_bytes(b"net: damaged since")

    done = bench("weights", "pull", "net")

    assert done.code == 0
    assert (folder / "net" / "net.bin").read_bytes() == PUBLISHED


def test_another_file_from_the_hub_is_thrown_away(bench: Bench, folder: Path, hub: Hub) -> None:
    hub.files["us/net", "sub/net.bin"] = b"net: not those"

    done = bench("weights", "pull", "net")

    assert done.code == 1
    assert "FAILED" in done.out
    assert "is not the published file" in done.out
    assert not (folder / "net").exists()
    assert not (folder / ".downloads" / "net").exists()


def test_without_network_pull_says_what_to_do_and_keeps_what_came(
    bench: Bench, folder: Path, hub: Hub
) -> None:
    hub.failure = ConnectionError("Cannot reach huggingface.co.")

    done = bench("weights", "pull", "net")

    assert done.code == 1
    assert (
        "net could not be fetched: Cannot reach huggingface.co. Without network, fetch" in done.out
    )
    assert "bench weights add net FILE" in done.out
    assert (folder / ".downloads/net/net.bin.part").exists()


def test_the_hubs_own_client_refuses_offline_in_our_words(bench: Bench, folder: Path) -> None:
    done = bench("weights", "pull", "tokens")

    assert done.code == 1
    assert "tokens could not be fetched: " in done.out
    assert "Traceback" not in done.err


def test_one_failure_does_not_stop_the_others(bench: Bench, folder: Path, hub: Hub) -> None:
    done = bench("weights", "pull", "lone", "tokens")

    assert done.code == 1
    assert [line.split()[:2] for line in done.out.splitlines()] == [
        ["lone", "FAILED"],
        ["tokens", "installed"],
    ]
    assert "There is no download for it (ask its author)" in done.out


# --- add ------------------------------------------------------------------------------------


def test_add_checks_the_layout_and_records_the_sum(
    bench: Bench, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "downloaded").write_bytes(PUBLISHED)

    done = bench("weights", "add", "net", "downloaded")

    record = json.loads((folder / "net" / "record.json").read_text())
    sha256 = hashlib.sha256(PUBLISHED).hexdigest()
    assert done.code == 0
    assert "12 bytes of net; sha256 published " + sha256 in done.out
    assert record["source"] == str(tmp_path / "downloaded")
    assert record["files"]["net.bin"]["sha256"] == sha256


def test_add_takes_a_tokenizers_folder(bench: Bench, folder: Path, tmp_path: Path) -> None:
    tokenizer_folder(tmp_path / "given")

    done = bench("weights", "add", "tokens", "given")

    assert done.code == 0
    assert "2 entries; sha256 published" in done.out


def test_add_refuses_another_file_unless_it_is_meant(
    bench: Bench, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_bytes(b"net: fine-tuned")

    refused = bench("weights", "add", "net", "mine")
    accepted = bench("weights", "add", "net", "mine", "--other", "--link")
    (row,) = json.loads(bench("weights", "status", "net", "--json").out)

    assert refused.code == 2
    assert "is not the published file" in refused.err
    assert "models.LABEL.checkpoint=" in refused.err
    assert accepted.code == 0
    assert row["sha256"] == "other"
    assert (folder / "net" / "net.bin").is_symlink()


def test_add_refuses_what_does_not_fit(bench: Bench, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"something else")

    done = bench("weights", "add", "net", "x")

    assert done.code == 1
    assert done.out == ""
    assert "is made for another network" in done.err


# --- verify ---------------------------------------------------------------------------------


def test_verify_reads_the_bytes_again(bench: Bench, folder: Path, hub: Hub) -> None:
    bench("weights", "pull", "net")

    done = bench("weights", "verify")

    sha256 = hashlib.sha256(PUBLISHED).hexdigest()
    assert done.code == 0
    assert [line.split() for line in done.out.splitlines()] == [
        ["net", "ok", "published:", sha256],
        ["tokens", "ok", "published:", "2", "files"],
    ]
    assert f"Reading {folder / 'net' / 'net.bin'}" in done.err


def test_verify_finds_a_changed_file_behind_its_old_size_and_time(
    bench: Bench, folder: Path, hub: Hub
) -> None:
    bench("weights", "pull", "net")
    record = folder / "net" / "record.json"
    path = folder / "net" / "net.bin"
    path.write_bytes(b"net: WEIGHTS")
    facts = json.loads(record.read_text())
    facts["files"]["net.bin"]["mtime_ns"] = path.stat().st_mtime_ns
    record.write_text(json.dumps(facts))

    done = bench("weights", "verify", "net")

    assert done.code == 1
    assert "CHANGED" in done.out
    assert "net.bin is not what was added" in done.out


def test_verify_of_files_put_there_by_hand(bench: Bench, folder: Path) -> None:
    folder.mkdir()
    (folder / "net.bin").write_bytes(b"net: not those")
    (folder / "lone.bin").write_bytes(b"net: any")

    other = bench("weights", "verify", "net")
    unknown = bench("weights", "verify", "lone")

    assert (other.code, unknown.code) == (1, 0)
    assert "not the published file, and it was never added" in other.out
    assert "no sum to hold it against" in unknown.out


def test_verify_names_what_is_missing_when_it_is_asked_for(bench: Bench, folder: Path) -> None:
    asked = bench("weights", "verify", "net")
    everything = bench("weights", "verify")

    assert (asked.code, everything.code) == (1, 0)
    assert "MISSING" in asked.out
    assert "bench weights pull net" in asked.out


# --- usage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "nett"),
        ("pull",),
        ("pull", "nett"),
        ("add", "net", "gone"),
        ("add", "nett", "."),
        ("verify", "nett"),
        ("fetch",),
    ],
    ids=" ".join,
)
def test_wrong_requests_leave_with_2_and_change_nothing(
    bench: Bench, folder: Path, hub: Hub, arguments: tuple[str, ...]
) -> None:
    done = bench("weights", *arguments)

    assert done.code == 2
    assert done.out == ""
    assert hub.asked == []
    assert not folder.exists()
