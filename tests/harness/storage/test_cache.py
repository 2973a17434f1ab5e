from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sepbench.harness.errors import SettingError, StorageError
from sepbench.harness.storage.cache import CacheUnusableError, ReadCache, read_cache

SIZE = 1000
BOUND = 10 * SIZE


class Source:
    """Files of one size by number, and how often each was fetched."""

    def __init__(self) -> None:
        self.fetched: list[int] = []

    def data(self, number: int) -> bytes:
        return number.to_bytes(2, "big") * (SIZE // 2)

    def fetch(self, number: int) -> Callable[[Path], None]:
        def bring(destination: Path) -> None:
            self.fetched.append(number)
            destination.write_bytes(self.data(number))

        return bring


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def cache(tmp_path: Path) -> ReadCache:
    return ReadCache(tmp_path / "copies", BOUND)


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def read(cache: ReadCache, source: Source, number: int) -> bytes:
    return cache.read(key(number), ".wav", SIZE, source.fetch(number))


def copy_of(cache: ReadCache, number: int) -> Path:
    return cache.folder / "files" / key(number)[:2] / key(number) / "data.wav"


def test_a_file_is_fetched_once(cache: ReadCache, source: Source) -> None:
    found = [read(cache, source, 7) for _ in range(3)]

    assert found == [source.data(7)] * 3
    assert source.fetched == [7]


def test_the_copies_never_take_more_than_the_bound(cache: ReadCache, source: Source) -> None:
    most = 0
    for number in range(50):
        read(cache, source, number)
        most = max(most, sum(path.stat().st_size for path in cache.folder.rglob("data.wav")))

    assert SIZE < most <= BOUND
    assert cache.usage()[1] == int((cache.folder / "total").read_text())


def test_what_was_used_longest_ago_goes_first(cache: ReadCache, source: Source) -> None:
    for number in range(10):
        read(cache, source, number)
        os.utime(copy_of(cache, number).parent, (number, number))
    read(cache, source, 0)

    read(cache, source, 10)

    assert copy_of(cache, 0).exists()
    assert not copy_of(cache, 1).exists()
    assert copy_of(cache, 9).exists()


def test_a_file_that_cannot_fit_is_not_held(cache: ReadCache) -> None:
    assert not cache.holds(BOUND)
    assert cache.holds(SIZE)


def test_a_large_file_of_unknown_size_is_not_held_either(cache: ReadCache, tmp_path: Path) -> None:
    with pytest.raises(CacheUnusableError, match=r"10,000 bytes is too large.*SEPBENCH_CACHE_MB"):
        cache.open(key(1), ".wav", None, lambda path: path.write_bytes(bytes(BOUND)))

    assert cache.usage() == (0, 0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"\xff" + path.read_bytes()[1:]),
        lambda path: path.unlink(),
        lambda path: (path.parent / "SUM").unlink(),
        lambda path: (path.parent / "SUM").write_text("nonsense"),
    ],
    ids=["cut short", "changed byte", "no data", "no sum", "bad sum"],
)
def test_a_damaged_copy_is_fetched_again(
    damage: Callable[[Path], object], cache: ReadCache, source: Source
) -> None:
    read(cache, source, 1)
    damage(copy_of(cache, 1))

    found = read(cache, source, 1)

    assert found == source.data(1)
    assert source.fetched == [1, 1]
    assert cache.usage() == (1, SIZE)


def test_what_arrives_short_is_refused_and_not_kept(cache: ReadCache, source: Source) -> None:
    with pytest.raises(StorageError, match=r"1,000 of 1,001 bytes arrived"):
        cache.open(key(1), ".wav", SIZE + 1, source.fetch(1))

    assert not copy_of(cache, 1).exists()
    assert list((cache.folder / "arriving").iterdir()) == []


def test_a_copy_stays_readable_when_it_is_dropped(cache: ReadCache, source: Source) -> None:
    with cache.open(key(1), ".wav", SIZE, source.fetch(1)) as handle:
        cache.clear()

        assert handle.read() == source.data(1)
    assert cache.usage() == (0, 0)


def test_what_a_killed_process_left_half_done_is_removed(cache: ReadCache, source: Source) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    read(cache, source, 1)
    name = next(iter(os.uname().nodename.split()))
    left = cache.folder / "arriving" / f"{name.replace('-', '_').replace('.', '_')}-{ended.pid}-x"
    left.mkdir()
    (left / "data.wav").write_bytes(b"half")

    read(ReadCache(cache.folder, BOUND), source, 2)

    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, source: Source) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = ReadCache(tmp_path / "file", BOUND)

    with pytest.raises(CacheUnusableError, match=r"file cannot be used: Not a directory.*CACHE"):
        read(cache, source, 1)


def test_the_bound_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPBENCH_CACHE_MB", "3")

    assert read_cache().bound == 3 << 20


@pytest.mark.parametrize("text", ["much", "-1", "1.5", "²"])
def test_a_bound_that_is_no_number_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPBENCH_CACHE_MB", text)

    with pytest.raises(SettingError, match="expected a whole number of megabytes"):
        read_cache()


READER = """
import hashlib, random, sys
from pathlib import Path
from sepbench.harness.storage.cache import ReadCache

cache, order = ReadCache(Path(sys.argv[1]), 10000), random.Random(sys.argv[2])
for _ in range(150):
    number = order.randrange(20)
    data = number.to_bytes(2, "big") * 500
    key = hashlib.sha256(str(number).encode()).hexdigest()
    found = cache.read(key, ".wav", 1000, lambda path: path.write_bytes(data))
    assert found == data, number
"""


def test_several_processes_share_a_folder(tmp_path: Path) -> None:
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, tmp_path / "copies", str(seed)])
        for seed in range(3)
    ]

    codes = [reader.wait(timeout=60) for reader in readers]

    cache = ReadCache(tmp_path / "copies", BOUND)
    assert codes == [0, 0, 0]
    assert 0 < cache.usage()[1] <= BOUND
    assert int((cache.folder / "total").read_text()) == cache.usage()[1]
    assert list((cache.folder / "arriving").iterdir()) == []
