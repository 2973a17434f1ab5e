from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A read cache of the test's own."""
    folder = tmp_path / "read-cache"
    monkeypatch.setenv("SEPBENCH_CACHE", str(folder))
    monkeypatch.delenv("SEPBENCH_CACHE_MB", raising=False)
    monkeypatch.setattr("sepbench.harness.storage.connection._WAITS", (0.0, 0.0))
    return folder


class Bucket:
    """A folder of the memory file system."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.url = f"memory://{self.name}"
        self.fs = fsspec.filesystem("memory")

    def put(self, name: str, data: bytes) -> None:
        self.fs.pipe_file(f"/{self.name}/{name}", data)

    def copy(self, folder: Path) -> str:
        """Every file of a local folder; returns the URL."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(path.relative_to(folder).as_posix(), path.read_bytes())
        return self.url

    def names(self) -> list[str]:
        return sorted(path.partition(self.name + "/")[2] for path in self.fs.find(self.name))


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    made = Bucket()
    yield made
    # Not by its methods: a test may have made them fail.
    for path in [path for path in made.fs.store if path.startswith(f"/{made.name}/")]:
        del made.fs.store[path]
