from __future__ import annotations

import importlib.util
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sepbench.harness.audio import read_audio, resolve_inside, write_wav
from sepbench.harness.errors import (
    BenchError,
    MissingExtraError,
    MissingFileError,
    SettingError,
    StorageError,
    UnsafePathError,
    UsageError,
)
from sepbench.harness.storage.connection import Connection
from sepbench.harness.storage.places import as_remote, open_place

TREE = ("a.wav", "b.csv", "sub/c.wav", "sub/deep/d.wav", "sub/deep/e.flac", "other/f.wav")


@pytest.fixture
def local(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


@pytest.fixture
def remote(bucket, local: Path) -> Path:
    return open_place(bucket.copy(local))


def below(paths: Any, root: Any) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in paths)


# --- as pathlib has it ----------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["*", "*.wav", "*/*.wav", "sub/*", "**/*.wav", "sub/**/*"])
def test_patterns_find_what_they_find_on_a_disk(local: Path, remote: Path, pattern: str) -> None:
    assert below(remote.glob(pattern), remote) == below(local.glob(pattern), local)


def test_folders_and_files_are_what_they_are_on_a_disk(local: Path, remote: Path) -> None:
    for name in (
        *TREE,
        "sub",
        "sub/deep",
        "sub/gone",
        "gone",
        "gone/a.wav",
        "a.wav/x",
        "sub/../a.wav",
    ):
        assert (remote / name).is_file() == (local / name).is_file(), name
        assert (remote / name).is_dir() == (local / name).is_dir(), name
        assert (remote / name).exists() == (local / name).exists(), name


def test_names_are_taken_apart_as_on_a_disk(local: Path, remote: Path) -> None:
    there, here = remote / "sub" / "x.stem.mp4", local / "sub" / "x.stem.mp4"

    for part in ("name", "stem", "suffix", "suffixes"):
        assert getattr(there, part) == getattr(here, part)
    assert below([there.parent, there.with_name("y"), there.with_suffix(".wav")], remote) == below(
        [here.parent, here.with_name("y"), here.with_suffix(".wav")], local
    )
    assert str(there).endswith("/sub/x.stem.mp4")


def test_sizes_come_without_reading(remote: Path) -> None:
    assert (remote / "sub" / "c.wav").stat().st_size == len("sub/c.wav")
    with pytest.raises(FileNotFoundError):
        (remote / "gone").stat()


def test_text_keeps_its_line_ends_where_asked(bucket) -> None:
    bucket.put("list.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    path = open_place(bucket.url) / "list.csv"

    with path.open(encoding="utf-8-sig", newline="") as file:
        assert list(file) == ["a,b\r\n", "1,2\r\n"]
    assert path.read_text("utf-8-sig") == "a,b\n1,2\n"


def test_a_path_opened_by_name_is_the_copy(remote: Path) -> None:
    copy = os.fspath(remote / "sub" / "c.wav")

    assert Path(copy).read_bytes() == b"sub/c.wav"
    assert copy.endswith(".wav")


def test_a_folder_has_no_path_on_this_machine(remote: Path) -> None:
    with pytest.raises(StorageError, match=r"is a folder in storage.*iterdir"):
        os.fspath(remote / "sub")


def test_a_path_is_for_reading(remote: Path) -> None:
    with pytest.raises(StorageError, match="for reading only"):
        (remote / "a.wav").open("w")
    with pytest.raises(StorageError, match="nothing is made, moved or removed"):
        (remote / "sub" / "new").mkdir(parents=True, exist_ok=True)


def test_a_path_travels_with_what_is_known_of_it(remote: Path) -> None:
    path = remote / "a.wav"
    assert path.is_file()

    arrived = pickle.loads(pickle.dumps(path))

    assert (arrived, arrived.facts()) == (path, as_remote(path).facts())
    assert {arrived} == {path}
    assert sorted([remote / "b.csv", arrived])[0] == path


# --- how often storage is asked ---------------------------------------------------------------


def count(monkeypatch: pytest.MonkeyPatch, bucket: Any, method: str) -> list[str]:
    """Paths that a method of the file system is called with from now on."""
    asked: list[str] = []
    real: Callable[..., Any] = getattr(bucket.fs, method)

    def counted(path: str, *arguments: Any, **named: Any) -> Any:
        asked.append(path)
        return real(path, *arguments, **named)

    monkeypatch.setattr(bucket.fs, method, counted)
    return asked


def test_a_folder_is_listed_once_for_all_its_files(
    remote: Path, bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = count(monkeypatch, bucket, "ls")
    asked = count(monkeypatch, bucket, "info")

    found = [(remote / "sub" / f"{number}.wav").is_file() for number in range(50)]

    assert found == [False] * 50
    assert (len(listed), asked) == (1, [])


def test_a_file_is_fetched_once(remote: Path, bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = count(monkeypatch, bucket, "get_file")

    found = [(remote / "a.wav").read_bytes() for _ in range(3)]

    assert found == [b"a.wav"] * 3
    assert len(fetched) == 1


def test_a_file_that_was_replaced_is_fetched_anew(remote: Path, bucket) -> None:
    (remote / "a.wav").read_bytes()
    bucket.put("a.wav", b"other")

    assert (open_place(bucket.url) / "a.wav").read_bytes() == b"other"


def test_a_cache_of_no_bytes_keeps_nothing(
    remote: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_CACHE_MB", "0")

    assert (remote / "a.wav").read_bytes() == b"a.wav"
    assert not cache_folder.exists()


def test_a_file_larger_than_the_cache_is_read_past_it(
    bucket, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_CACHE_MB", "1")
    bucket.put("large.wav", bytes(2 << 20))
    path = open_place(bucket.url) / "large.wav"

    assert len(path.read_bytes()) == 2 << 20
    assert not cache_folder.exists()
    with pytest.raises(StorageError, match="SEPBENCH_CACHE_MB"):
        os.fspath(path)


def test_without_a_cache_files_are_read_and_it_is_said_once(
    remote: Path, cache_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache_folder.write_text("not a folder")

    found = [(remote / name).read_bytes() for name in ("a.wav", "b.csv")]

    assert found == [b"a.wav", b"b.csv"]
    assert [record.message for record in caplog.records if "cannot be used" in record.message] == [
        f"The read cache {cache_folder} cannot be used: Not a directory. Make room, or set "
        "SEPBENCH_CACHE to a folder that can be written to. Files are read without it."
    ]


# --- trouble ------------------------------------------------------------------------------------


def test_a_storm_that_passes_is_weathered(
    remote: Path, bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([ConnectionResetError("reset"), TimeoutError("slow")])
    real = bucket.fs.get_file

    def stormy(*arguments: Any) -> Any:
        error = next(answers, None)
        if error is not None:
            raise error
        return real(*arguments)

    monkeypatch.setattr(bucket.fs, "get_file", stormy)

    assert (remote / "a.wav").read_bytes() == b"a.wav"


def test_a_storm_that_stays_is_named(remote: Path, bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(bucket.fs, "get_file", refuse)

    with pytest.raises(StorageError, match=r"a\.wav: cannot read it.*reset by peer.*credentials"):
        read_audio(remote / "a.wav")


def test_a_file_that_vanished_since_it_was_listed_is_missing(remote: Path, bucket) -> None:
    assert (remote / "a.wav").is_file()
    bucket.fs.rm(f"{bucket.name}/a.wav")

    with pytest.raises(MissingFileError, match=r"a\.wav is missing"):
        read_audio(remote / "a.wav")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.wav",
        "sub/../../secret.wav",
        "/etc/passwd",
        "%2e%2e/secret.wav",
        "sub/%2E%2E%2F%2e%2e/secret.wav",
        "..\\secret.wav",
        "a\0.wav",
    ],
)
def test_a_list_cannot_name_a_file_outside_the_url(remote: Path, bucket, name: str) -> None:
    bucket.fs.pipe_file("/secret.wav", b"secret")

    with pytest.raises(UnsafePathError):
        resolve_inside(remote, name)
    with pytest.raises((UnsafePathError, FileNotFoundError)):
        (remote / name).read_bytes()


def test_a_name_that_looks_like_a_url_stays_a_name(remote: Path, bucket) -> None:
    with pytest.raises(MissingFileError):
        resolve_inside(remote, f"memory://{bucket.name}/a.wav")


def test_a_way_round_inside_the_root_is_allowed(remote: Path) -> None:
    assert resolve_inside(remote, "sub/../a.wav").read_bytes() == b"a.wav"


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_protocol_whose_package_is_missing_says_which() -> None:
    with pytest.raises(
        MissingExtraError, match=r"s3://b/d needs the package 's3fs'.*sepbench\[s3\]"
    ):
        open_place("s3://b/d").is_dir()


@pytest.mark.skipif(importlib.util.find_spec("gcsfs") is not None, reason="gcsfs is installed")
def test_a_protocol_that_we_have_no_extra_for_says_what_fsspec_says() -> None:
    with pytest.raises(UsageError, match="gcsfs"):
        open_place("gs://b/d").is_dir()


def test_an_unknown_protocol_gets_near_matches() -> None:
    with pytest.raises(SettingError, match="Did you mean 'memory'"):
        open_place("memry://b").is_dir()


@pytest.mark.parametrize(
    "url", ["ftp://me:secret@host/data", "simplecache::sftp://me:secret@host/data"]
)
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BenchError) as refused:
        open_place(url)

    assert "password" in str(refused.value)
    assert "secret" not in str(refused.value)


# --- this machine -----------------------------------------------------------------------------


def test_a_file_url_is_a_plain_path(tmp_path: Path) -> None:
    assert open_place(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert type(open_place(str(tmp_path))) is type(tmp_path)


def test_a_file_url_of_another_machine_is_refused() -> None:
    with pytest.raises(SettingError, match="names the machine other"):
        open_place("file://other/data")


def test_audio_is_the_same_from_both(bucket, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((2, 4000)).astype(np.float32)
    write_wav(tmp_path / "a.wav", noise, 16000)
    bucket.put("a.wav", (tmp_path / "a.wav").read_bytes())

    there = read_audio(open_place(bucket.url) / "a.wav", sample_rate=8000, mono=True)

    here = read_audio(tmp_path / "a.wav", sample_rate=8000, mono=True)
    assert np.array_equal(there.samples, here.samples)
    assert there.sha256 == here.sha256


def test_a_chain_of_protocols_is_named_with_its_inner_path() -> None:
    connection = Connection("zip://data::memory://archives/x.zip")

    assert connection.shown(("a.wav",)) == "zip://data/a.wav::memory://archives/x.zip"
