"""LASS-Net's golden cases, the filled weights they were made with, and files made of these."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sepbench_testkit.filled import fill_state_dict, gliding_tones

from sepbench.baselines.lassnet.layout import network_of
from sepbench.baselines.lassnet.network_inference import InferenceNetwork

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "lassnet"
WORDS = {"a": 1037, "dog": 3899, "barks": 19372, "man": 2158, "talks": 7566, "loudly": 9928}
SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012}


class GoldenCase:
    """Input and expected numbers of one stored case."""

    def __init__(self, name: str) -> None:
        row = json.loads((GOLDEN / "golden.json").read_text("utf-8"))["cases"][name]
        signals = [gliding_tones(s, 1, row["samples"], 32_000)[0] for s in row["signal_seeds"]]
        self.mixture = torch.from_numpy(np.stack(signals))  # (B, N)
        with np.load(GOLDEN / "golden.npz") as arrays:
            stored = {key[2:]: arrays[key] for key in arrays.files if key.startswith(f"{name}_")}
        self.input_ids = torch.from_numpy(stored["ids"]).long()
        self.attention_mask = torch.from_numpy(stored["attn"]).long()
        kinds = ("query", "logits", "mask", "wav")
        self.expected = {kind: torch.from_numpy(stored[kind]) for kind in kinds}
        self.frames = row["frames"]
        self.steps = (row["time_step"], row["freq_step"])
        self.output_samples = row["output_samples"]
        self.blocks = row.get("unet_block_outputs", {})
        self.has_other_last_layer = "override" in row

    def sampled(self, values: torch.Tensor) -> torch.Tensor:
        """Those frames and bins that are stored."""
        return values[:, :: self.steps[0], :: self.steps[1]]


@pytest.fixture(scope="session")
def filled_state():
    """All tensors, named as published without prefix."""
    return fill_state_dict(GOLDEN / "state_dict.json", 1)


@pytest.fixture(scope="session")
def plain_network(filled_state):
    """As it is trained."""
    return network_of(filled_state, "filled weights")


@pytest.fixture(scope="session")
def fast_network(plain_network):
    """Its separator as it is used."""
    return InferenceNetwork(plain_network.UNet)


@pytest.fixture
def other_last_layer(plain_network):
    """The network with the last layer of case e, put back afterwards."""
    layer = plain_network.UNet.after_conv2
    weight, bias = layer.weight.data, layer.bias.data
    layer.weight.data, layer.bias.data = -0.05 * weight, torch.ones_like(bias)
    yield plain_network
    layer.weight.data, layer.bias.data = weight, bias


@pytest.fixture(scope="session")
def golden():
    """Golden cases by letter."""
    return GoldenCase


@pytest.fixture(scope="session")
def official_file(filled_state, tmp_path_factory):
    """A checkpoint as the authors saved it, with the buffer that newer transformers lack."""
    path = tmp_path_factory.mktemp("official") / "LASSNet.pt"
    state = {f"module.{name}": tensor for name, tensor in filled_state.items()}
    positions = "module.text_embedder.bert_layer.embeddings.position_ids"
    torch.save({"model": {**state, positions: torch.arange(512)[None]}, "epoch": 3}, path)
    return path


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    """A vocabulary as large as BERT's, in which a few words mean something."""
    return write_vocabulary(tmp_path_factory.mktemp("bert"), {**SPECIAL, **WORDS})


@pytest.fixture(scope="session")
def shifted_tokenizer(tmp_path_factory):
    """As large, with the first special token somewhere else."""
    ids = {**SPECIAL, **WORDS, "[CLS]": 104}
    return write_vocabulary(tmp_path_factory.mktemp("shifted"), ids)


def write_vocabulary(folder: Path, ids: dict[str, int]) -> Path:
    lines = [f"[unused{number}]" for number in range(30_522)]
    for token, number in ids.items():
        lines[number] = token
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return folder
