from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sepbench.datasets.catalog import CATALOG
from sepbench.harness.api import Dataset
from sepbench.harness.errors import MissingRootError
from sepbench.harness.registry import import_target


@pytest.mark.parametrize("name", CATALOG)
def test_catalog_names_datasets_whose_card_has_the_same_name(name: str) -> None:
    dataset = import_target(CATALOG[name], name)()

    assert isinstance(dataset, Dataset)
    assert dataset.card.name == name
    assert dataset.card.protocols
    assert dataset.card.where


@pytest.mark.parametrize("name", [name for name in CATALOG if name != "demo"])
def test_construction_needs_no_root_and_everything_else_says_so(name: str) -> None:
    dataset = import_target(CATALOG[name], name)(root=Path("no-such-folder"))

    with pytest.raises(MissingRootError, match=f"--root {name}=FOLDER"):
        dataset.default_protocol()
    with pytest.raises(MissingRootError, match=f"--root {name}=FOLDER"):
        dataset.scenes(dataset.card.lists[0].name)
    with pytest.raises(MissingRootError, match=f"--root {name}=FOLDER"):
        dataset.clips(dataset.card.pools[0])


def test_importing_the_adapters_imports_nothing_heavy() -> None:
    modules = ", ".join(target.partition(":")[0] for target in CATALOG.values())
    heavy = "{'torch', 'pandas', 'scipy', 'soundfile', 'soxr', 'av'}"
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"

    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "[]"
