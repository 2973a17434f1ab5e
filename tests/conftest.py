"""What all tests share. Set before torch or a hub client is imported: no network, few threads."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("MKL_NUM_THREADS", "2")

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sepbench_testkit.machine import small_file_system

MakeFileSystem = Callable[..., Path]


@pytest.fixture
def file_system(tmp_path: Path) -> Iterator[MakeFileSystem]:
    """Mounts a small file system of its own; skips where that is not allowed."""
    yield from small_file_system(tmp_path / "mounted")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: two processes that share the files then end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
