from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest

from sepbench.baselines.encoders.catalog import CATALOG
from sepbench.baselines.weights import WEIGHTS
from sepbench.harness.api import AudioEncoder, EncoderCard, TextEncoder

LISTING = """
import importlib, sys
from sepbench.baselines.encoders.catalog import CATALOG
for target in CATALOG.values():
    module, name = target.split(":")
    getattr(importlib.import_module(module), name).card.summary
heavy = {"torch", "torchaudio", "transformers", "numpy", "laion_clap"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


def load(name: str) -> Any:
    module, _, attribute = CATALOG[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def test_cards_are_read_without_importing_anything_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTING], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", CATALOG)
def test_an_entry_is_named_as_its_card(name: str) -> None:
    card = load(name).card

    assert isinstance(card, EncoderCard)
    assert card.name == name
    assert card.summary
    assert card.dimension > 0


@pytest.mark.parametrize("name", CATALOG)
def test_an_encoder_reads_what_its_card_says(name: str) -> None:
    encoder = load(name)()

    shape = {"text": TextEncoder, "audio": AudioEncoder}[encoder.card.kind]

    assert isinstance(encoder, shape)
    assert (encoder.card.sample_rate is None) == (encoder.card.kind == "text")


@pytest.mark.parametrize("name", CATALOG)
def test_settings_that_name_weights_name_known_ones(name: str) -> None:
    asked = getattr(load(name), "weights", {})

    assert set(asked.values()) <= set(WEIGHTS)
