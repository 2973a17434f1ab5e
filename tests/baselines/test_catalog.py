from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

from sepbench.baselines.catalog import CATALOG
from sepbench.harness.api import BaselineCard, QuerySeparator, SceneSeparator
from sepbench.harness.errors import MissingWeightsError

LISTING = """
import importlib, sys
from sepbench.baselines.catalog import CATALOG
for target in CATALOG.values():
    module, name = target.split(":")
    getattr(importlib.import_module(module), name).card.summary
heavy = {"torch", "sklearn", "scipy", "torchnmf", "numpy"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


def load(name: str) -> type:
    module, _, attribute = CATALOG[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def test_cards_are_read_without_importing_anything_heavy():
    done = subprocess.run(
        [sys.executable, "-c", LISTING], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", CATALOG)
def test_an_entry_is_named_as_its_card(name):
    card = load(name).card

    assert isinstance(card, BaselineCard)
    assert card.name == name
    assert card.summary


@pytest.mark.parametrize("name", ["mixture", "oracle-irm", "oracle-ibm", "oracle-mwf"])
def test_bounds_answer_whole_scenes(name):
    assert isinstance(load(name)(), SceneSeparator)


def test_nmf_answers_single_queries():
    assert isinstance(load("nmf")(), QuerySeparator)


@pytest.mark.parametrize(
    ("name", "role", "needs_references"),
    [
        ("mixture", "lower", False),
        ("oracle-irm", "upper", True),
        ("oracle-ibm", "upper", True),
        ("oracle-mwf", "upper", True),
        ("nmf", "model", False),
    ],
)
def test_roles_say_which_rows_are_bounds(name, role, needs_references):
    card = load(name).card

    assert (card.role, card.needs_references) == (role, needs_references)


@pytest.mark.parametrize("name", CATALOG)
def test_settings_are_keywords_with_defaults_and_types(name):
    parameters = inspect.signature(load(name)).parameters.values()

    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)
    assert all(parameter.default is not parameter.empty for parameter in parameters)
    assert all(parameter.annotation is not parameter.empty for parameter in parameters)


# Their weights are in the package, whatever is installed.
SHIPPED = {"lassnet-small", "audiosep-small", "stsed-small", "unet-tag-small"}


@pytest.mark.parametrize("name", CATALOG)
def test_loading_needs_no_weights_or_says_which(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path))
    made = load(name)

    if hasattr(made, "weights") and name not in SHIPPED:
        with pytest.raises(MissingWeightsError, match=r"bench (weights|train)"):
            made().load("cpu")
    else:
        made().load("cpu")
