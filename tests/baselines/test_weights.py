from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from sepbench_testkit.weights import NET, TOKENS, own_weights, tokenizer_folder

from sepbench.baselines import weights
from sepbench.baselines.weights import (
    WEIGHTS,
    WeightsEntry,
    find_weights,
    install,
    installed,
    known_sha256,
    weights_folder,
)
from sepbench.harness.errors import (
    CheckpointError,
    MissingWeightsError,
    UnknownNameError,
    UsageError,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights folder, with entries of the tests' own in the table."""
    return own_weights(monkeypatch, tmp_path / "weights")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "given.bin"
    path.write_bytes(b"net: weights")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# --- the table ------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", WEIGHTS.values(), ids=lambda entry: entry.name)
def test_every_entry_says_what_it_is_and_where_it_comes_from(entry: WeightsEntry) -> None:
    module, _, function = entry.check.partition(":")

    assert WEIGHTS[entry.name] is entry
    assert module.startswith("sepbench.baselines.")
    assert function.startswith("check")
    assert bool(entry.repository) != bool(entry.by_hand)
    assert entry.kind == "tokenizer" or len(entry.files) == 1
    assert set(entry.needs) <= set(WEIGHTS)
    assert all(file.sha256 is None or len(file.sha256) == 64 for file in entry.files)


def test_no_two_checkpoints_have_one_file_name() -> None:
    found = [entry.files[0].name for entry in WEIGHTS.values() if entry.kind == "checkpoint"]

    assert len(found) == len(set(found))


def test_a_branch_is_named_only_where_the_sum_pins_the_file() -> None:
    loose = [e for e in WEIGHTS.values() if e.repository and len(e.revision) != 40]

    assert [entry.name for entry in loose] == ["audiosep-hive"]
    assert all(file.sha256 for entry in loose for file in entry.files)


# --- finding --------------------------------------------------------------------------------


def test_the_folder_is_the_variable_or_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPBENCH_WEIGHTS", "~/w")
    given = weights_folder()
    monkeypatch.setenv("SEPBENCH_WEIGHTS", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    usual = weights_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")

    assert given == Path.home() / "w"
    assert usual == Path.home() / ".cache/sepbench/weights"
    assert weights_folder() == Path("/elsewhere/sepbench/weights")


def test_a_typo_gets_near_matches() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown weights 'lasnet'.*'lassnet'"):
        find_weights("lasnet")


def test_what_is_missing_says_where_it_comes_from(folder: Path) -> None:
    with pytest.raises(MissingWeightsError) as caught:
        find_weights("net")

    assert str(caught.value) == (
        f"net (a small net) is not installed in {folder}. Get it with: bench weights pull net. "
        "Without network, fetch https://huggingface.co/spaces/us/net/resolve/abc/sub/net.bin on "
        "another machine, then: bench weights add net FILE."
    )


def test_what_has_no_download_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path))

    with pytest.raises(MissingWeightsError, match=r"no download.*bench weights add lassnet FILE"):
        find_weights("lassnet")


@pytest.mark.parametrize("place", ["net.bin", "net/net.bin"])
def test_a_file_put_there_by_hand_counts(folder: Path, place: str) -> None:
    (folder / "net").mkdir(parents=True)
    (folder / place).write_bytes(b"net")

    found = installed("net")

    assert find_weights("net") == folder / place
    assert found is not None
    assert found.record == {}


def test_a_tokenizer_is_a_folder_with_one_of_its_files(folder: Path) -> None:
    (folder / "tokens").mkdir(parents=True)
    empty = installed("tokens")
    (folder / "tokens" / "vocab.txt").write_text("a\n")

    assert empty is None
    assert find_weights("tokens") == folder / "tokens"


def test_an_unreadable_record_is_as_none(folder: Path, file: Path) -> None:
    install(NET, file, origin="here")
    (folder / "net" / "record.json").write_text("{")

    found = installed("net")

    assert found is not None
    assert found.record == {}
    assert known_sha256(found.path) is None


# --- installing -----------------------------------------------------------------------------


def test_an_installed_file_has_a_record_and_leaves_nothing_else(folder: Path, file: Path) -> None:
    install(NET, file, origin="https://example.org")

    path = find_weights("net")
    record = json.loads((folder / "net" / "record.json").read_text())
    assert names(folder) == ["net", "net/net.bin", "net/record.json"]
    assert path.read_bytes() == file.read_bytes()
    assert record["source"] == "https://example.org"
    assert record["check"] == "12 bytes of net"
    assert record["added"].endswith("+00:00")
    assert record["files"] == {
        "net.bin": {
            "sha256": hashlib.sha256(b"net: weights").hexdigest(),
            "size": 12,
            "mtime_ns": path.stat().st_mtime_ns,
        }
    }


def test_of_a_tokenizers_folder_only_its_files_are_taken(folder: Path, tmp_path: Path) -> None:
    source = tokenizer_folder(tmp_path / "given")
    (source / "model.safetensors").write_bytes(b"large")
    (source / "record.json").write_text("{}")

    install(TOKENS, source, origin="here")

    assert names(folder / "tokens") == ["record.json", "tokenizer.json", "vocab.txt"]


def test_a_layout_that_does_not_fit_installs_nothing(folder: Path, file: Path) -> None:
    file.write_bytes(b"other: weights")

    with pytest.raises(CheckpointError, match="made for another network"):
        install(NET, file, origin="here")

    assert not folder.exists()


def test_a_file_is_no_tokenizer(folder: Path, file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is no folder; tokens is one, with tokenizer\.json"):
        install(TOKENS, file, origin="here")


def test_another_file_than_the_published_is_refused_unless_it_is_meant(
    folder: Path, file: Path
) -> None:
    file.write_bytes(b"net: fine-tuned")

    with pytest.raises(UsageError, match=r"(?s)fits net, but net\.bin is not.*--other"):
        install(NET, file, origin="here")
    refused = names(folder)
    install(NET, file, origin="here", other=True)

    assert refused == []
    assert find_weights("net").read_bytes() == b"net: fine-tuned"


def test_a_link_follows_its_file(folder: Path, file: Path) -> None:
    install(NET, file, origin="here", how="link")

    path = find_weights("net")
    linked = (path.is_symlink(), path.resolve() == file)
    file.unlink()

    assert linked == (True, True)
    assert installed("net") is None


def test_adding_again_replaces(folder: Path, file: Path) -> None:
    install(NET, file, origin="first")

    found = install(NET, file, origin="second")

    assert found.record["source"] == "second"
    assert names(folder) == ["net", "net/net.bin", "net/record.json"]


def test_files_put_there_by_hand_are_not_thrown_away(folder: Path, file: Path) -> None:
    (folder / "net").mkdir(parents=True)
    (folder / "net" / "notes.txt").write_text("mine")

    with pytest.raises(UsageError, match="holds files that were put there by hand"):
        install(NET, file, origin="here")

    assert (folder / "net" / "notes.txt").read_text() == "mine"


def test_a_killed_installation_leaves_nothing_that_counts_and_is_swept_later(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*paths: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(weights, "_swap", killed)
        patch.setattr(weights.shutil, "rmtree", lambda *_, **__: None)  # nor could it tidy up
        with pytest.raises(KeyboardInterrupt):
            install(NET, file, origin="here")
    (left,) = folder.iterdir()
    found = installed("net")
    os.utime(left, (0, 0))
    install(NET, file, origin="here")

    assert left.name.startswith(".net.part-")
    assert found is None
    assert names(folder) == ["net", "net/net.bin", "net/record.json"]


# --- sums on record -------------------------------------------------------------------------


def test_a_recorded_sum_is_known_until_the_file_changes(folder: Path, file: Path) -> None:
    path = install(NET, file, origin="here").path
    known = known_sha256(path)
    path.write_bytes(b"net: WEIGHTS")  # of the same size

    assert known == hashlib.sha256(b"net: weights").hexdigest()
    assert known_sha256(path) is None


def test_a_record_beside_a_file_elsewhere_is_not_believed(
    folder: Path, file: Path, tmp_path: Path
) -> None:
    path = install(NET, file, origin="here").path
    elsewhere = path.parent.rename(tmp_path / "elsewhere") / "net.bin"

    assert elsewhere.is_file()
    assert known_sha256(elsewhere) is None
