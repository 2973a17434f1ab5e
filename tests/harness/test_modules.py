from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sepbench.harness.modules import is_package, module_spec, source_file


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "loudpack"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "inner" / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "inner" / "leaf.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_module_is_found_without_importing_it_or_its_parents(package: Path) -> None:
    assert source_file("loudpack.inner.leaf") == package / "inner" / "leaf.py"
    assert not any(name.startswith("loudpack") for name in sys.modules)


def test_a_package_is_told_from_a_module(package: Path) -> None:
    assert is_package("loudpack.inner")
    assert not is_package("loudpack.inner.leaf")


@pytest.mark.parametrize(
    "name", ["loudpack.absent", "loudpack.inner.leaf.Attribute", "no_such_root.x", "loudpack..x"]
)
def test_what_is_not_there_has_no_spec(package: Path, name: str) -> None:
    assert module_spec(name) is None
    assert source_file(name) is None


def test_a_built_in_module_has_no_source() -> None:
    assert module_spec("sys") is not None
    assert source_file("sys") is None


def test_modules_of_an_editable_install_are_found() -> None:
    file = source_file("sepbench.baselines.bounds")

    assert file is not None
    assert file.name == "bounds.py"
