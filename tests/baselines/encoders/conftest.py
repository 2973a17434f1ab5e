"""Filled networks, made once, and tokenizers as small or as large as a test needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sepbench_testkit.filled import fill_state_dict
from tokenizers.pre_tokenizers import ByteLevel

from sepbench.baselines.encoders.clap import ClapAudio, ClapText

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "clap"

MakeTokenizer = Callable[..., Path]


@pytest.fixture(scope="session")
def clap_golden() -> dict[str, torch.Tensor]:
    """What the original computes; see tests/golden/clap."""
    with np.load(GOLDEN / "clap_golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="session")
def clap_state() -> dict[str, torch.Tensor]:
    """A full-size filled CLAP under LAION's names, 200 M parameters. Not to be changed."""
    return fill_state_dict(GOLDEN / "clap_state_dict.json", 1)


@pytest.fixture(scope="session")
def clap_text(clap_state: dict[str, torch.Tensor]) -> ClapText:
    """The text tower with the filled weights."""
    encoder = ClapText()
    encoder.load_state(clap_state, "cpu")
    return encoder


@pytest.fixture(scope="session")
def clap_audio(clap_state: dict[str, torch.Tensor]) -> ClapAudio:
    """The audio tower with the filled weights."""
    encoder = ClapAudio()
    encoder.load_state(clap_state, "cpu")
    return encoder


@pytest.fixture
def make_tokenizer(tmp_path: Path) -> MakeTokenizer:
    """Writes the plain files of a tokenizer with this many entries; gives the folder."""

    def make(kind: str, size: int, folder: Path | None = None) -> Path:
        folder = folder or tmp_path / kind
        folder.mkdir(parents=True)
        letters = sorted(ByteLevel.alphabet())
        if kind == "bert":
            words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "bark", "##s"]
            words += [f"w{number}" for number in range(size - len(words))]
            (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
            return folder
        first, last = ["<s>", "<pad>", "</s>", "<unk>"], ["<mask>"]
        ending = ""
        if kind == "clip":
            first, last, ending = [], ["<|startoftext|>", "<|endoftext|>"], "</w>"
        pairs = [*letters, *(letter + ending for letter in letters if ending)]
        pairs += ["do", f"dog{ending}"]
        rest = [f"w{number}" for number in range(size - len(first) - len(pairs) - len(last))]
        entries = [*first, *pairs, *rest, *last]
        vocabulary = {entry: number for number, entry in enumerate(entries)}
        (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
        merges = f"#version: 0.2\nd o\ndo g{ending}\n"
        (folder / "merges.txt").write_text(merges, "utf-8")
        return folder

    return make
