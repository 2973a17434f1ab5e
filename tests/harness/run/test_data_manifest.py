"""The manifest of a dataset's folder: written whole, read strictly, never of another revision."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sepbench.harness.api import DatasetCard, ListCard
from sepbench.harness.errors import DatasetError, ManifestError
from sepbench.harness.run import data_manifest
from sepbench.harness.run.data_manifest import (
    NAME,
    FileSum,
    find_manifest,
    new_manifest,
    place_of,
    present_files,
    write_manifest,
)

CARD = DatasetCard(
    name="kitchen",
    summary="kettles",
    licence="CC0",
    lists=(ListCard(name="test", revision="1", mixing="none"),),
)
SUM = FileSum(size=3, sha256=hashlib.sha256(b"abc").hexdigest())


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def written(root: Path, **changes: Any) -> dict[str, Any]:
    """A manifest of one file, its JSON changed on the disk."""
    write_manifest(new_manifest(root / NAME, CARD, {"a,=é.wav": SUM}))
    content = json.loads((root / NAME).read_text("utf-8")) | changes
    (root / NAME).write_text(json.dumps(content), "utf-8")
    return content


def test_a_manifest_comes_back_as_it_was_written(root: Path) -> None:
    manifest = write_manifest(new_manifest(root / NAME, CARD, {"a,=é.wav": SUM}))

    assert find_manifest(root, CARD) == manifest
    assert manifest.lists == {"test": "1"}
    assert manifest.written.endswith("+00:00")
    assert [path.name for path in root.iterdir()] == [NAME]


def test_files_are_all_but_hidden_ones_and_those_left_behind(root: Path, tmp_path: Path) -> None:
    for name in ("b/-1.wav", "a.wav", ".hidden", "__MACOSX/c.wav", "b/._-1.wav", ".git/x"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"abc")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "linked.wav").write_bytes(b"abcd")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "b" / "loop").symlink_to(root)

    assert present_files(root) == {"a.wav": 3, "b/-1.wav": 3, "link/linked.wav": 4}


def test_a_folder_that_cannot_be_read_is_named(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone cannot be read: No such file"):
        present_files(root / "gone")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lists": {"test": "0"}}, "of another revision: list test was 0 .* and is 1 now"),
        ({"lists": {}}, "of another revision: list test was none"),
        ({"lists": {"test": "1", "old": "2"}}, "list old was 2 .* and is none now"),
        ({"dataset": "bathroom"}, "is the manifest of the dataset bathroom, not of kitchen"),
        ({"format": 2}, "has the format 2; this sepbench reads 1"),
        ({"files": [{"name": "a", "size": 1}]}, "cannot be read as a manifest .KeyError"),
        ({"files": [{"name": "a", "size": 1, "sha256": "0"}]}, "sha256 is '0'"),
        ({"files": 5}, "cannot be read as a manifest .TypeError"),
        ({"files": [{"name": "../a", "size": 1, "sha256": "0" * 64}]}, "names '../a', which is no"),
        ({"files": [{"name": "/a", "size": 1, "sha256": "0" * 64}]}, "names '/a', which is no fi"),
        ({"files": [{"name": "a", "size": 1, "sha256": "0" * 64}] * 2}, "file 'a' more than once"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_manifest_of_something_else_is_refused_by_name(
    root: Path, changes: dict[str, Any], words: str
) -> None:
    written(root, **changes)

    with pytest.raises(ManifestError, match=words) as refusal:
        find_manifest(root, CARD)

    assert str(root / NAME) in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1}', b"[]", b"\xff"])
def test_a_damaged_manifest_is_refused_and_says_what_to_do(root: Path, content: bytes) -> None:
    (root / NAME).write_bytes(content)

    with pytest.raises(ManifestError, match=r"(?s)cannot be read as a manifest.*--again"):
        find_manifest(root, CARD)


def test_beside_data_that_cannot_be_written_to_it_goes_to_the_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_manifest.os, "access", lambda path, mode: False)

    manifest = write_manifest(new_manifest(place_of(root, CARD), CARD, {"a": SUM}))

    assert manifest.path.parent == tmp_path / "cache" / "sepbench" / "manifests"
    assert list(root.iterdir()) == []
    assert find_manifest(root, CARD) == manifest
    assert find_manifest(tmp_path, CARD) is None


def test_a_folder_that_refuses_although_it_seemed_writable_is_left_for_the_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = data_manifest._replace

    def refusing(path: Path, text: str) -> None:
        if path.parent == root:
            raise OSError(30, "Read-only file system")
        real(path, text)

    monkeypatch.setattr(data_manifest, "_replace", refusing)

    manifest = write_manifest(new_manifest(root / NAME, CARD, {"a": SUM}))

    assert manifest.path.is_relative_to(tmp_path / "cache")
    assert find_manifest(root, CARD) == manifest


def test_nowhere_to_write_is_a_named_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data_manifest, "_replace", full)

    with pytest.raises(ManifestError, match=r"cannot be written to .*: No space left on device"):
        write_manifest(new_manifest(root / NAME, CARD, {}))


def test_an_interrupted_write_leaves_the_earlier_manifest(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write_manifest(new_manifest(root / NAME, CARD, {"a": SUM}))

    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_manifest(new_manifest(root / NAME, CARD, {}))

    assert find_manifest(root, CARD) == before
    assert [path.name for path in root.iterdir()] == [NAME]


def test_what_ships_with_a_package_is_left_alone(root: Path) -> None:
    assert place_of(root, CARD) == root / NAME
    assert not place_of(root, replace(CARD, needs_root=False)).is_relative_to(root)
