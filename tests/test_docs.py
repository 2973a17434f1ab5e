"""Examples in docstrings are run: by import, because collecting files imports folders twice."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("harness", "baselines", "datasets", "reports")
WITH_EXAMPLES = sorted(
    "sepbench." + path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


def test_examples_in_docstrings_are_true() -> None:
    modules = [importlib.import_module(name.removesuffix(".__init__")) for name in WITH_EXAMPLES]

    results = [doctest.testmod(module, optionflags=doctest.ELLIPSIS) for module in modules]

    assert [result.failed for result in results] == [0] * len(modules)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_is_found_by_its_public_name(folder: str) -> None:
    package = importlib.import_module(f"sepbench.{folder}")

    assert [module.name for module in pkgutil.iter_modules(package.__path__)]


def test_the_names_of_the_python_api_are_there() -> None:
    import sepbench.harness as sb

    missing = [name for name in sb.__all__ if getattr(sb, name, None) is None]

    assert missing == []
    assert set(dir(sb)) == set(sb.__all__)


def test_an_unknown_name_of_the_python_api_is_an_attribute_error() -> None:
    import sepbench.harness as sb

    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        _ = sb.rnu
