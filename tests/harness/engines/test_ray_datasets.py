"""Every corpus can go to another machine: its lists are read here, its audio there."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.corpora.everything import CORPORA, write_everything

from sepbench.harness.run.corpora import open_dataset

KIT_RATE = 16000


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny copy of every corpus."""
    parent = tmp_path_factory.mktemp("corpora")
    write_everything(parent)
    return parent


@pytest.mark.parametrize("name", [*sorted(CORPORA), "demo"])
def test_a_dataset_that_was_sent_loads_the_same_scene(corpora: Path, name: str) -> None:
    root = None if name == "demo" else str(corpora / name)
    dataset = open_dataset(name, {"root": root})
    getattr(dataset, "cut_segments", lambda: None)()  # one corpus is used in pieces
    lists = [card.name for card in dataset.card.lists]
    listed = next(rows for rows in map(dataset.scenes, lists) if rows)

    sent = pickle.loads(pickle.dumps(dataset))

    here = dataset.load(listed[0], KIT_RATE, mono=True)
    there = sent.load(listed[0], KIT_RATE, mono=True)
    np.testing.assert_array_equal(here.mixture, there.mixture)
    assert here.files == there.files
