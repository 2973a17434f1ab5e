"""BERT-mini against what LASS-Net's own text encoder computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sepbench_testkit.filled import fill_array

from sepbench.baselines.checkpoints import fit
from sepbench.baselines.encoders.bert import COMPUTED, build_bert_mini

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "clap" / "bert_mini.npz"
PREFIX = "text_embedder.bert_layer."

Encode = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@pytest.fixture(scope="module")
def bert() -> Any:
    """The network, filled under the names of LASS-Net's file."""
    network = build_bert_mini()
    state = {
        name: torch.from_numpy(fill_array(PREFIX + name, tuple(tensor.shape), 1))
        for name, tensor in network.state_dict().items()
        if name not in COMPUTED
    }
    fit(network, state, what="filled weights", computed=COMPUTED)
    return network


@pytest.fixture(scope="module")
def encode(bert: Any) -> Encode:
    """Last hidden state at the first token."""

    def run(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return bert(input_ids, attention_mask).last_hidden_state[:, 0]

    return run


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.mark.parametrize("case", "abcde")
def test_the_first_token_is_that_of_the_original(
    encode: Encode, golden: dict[str, torch.Tensor], case: str
) -> None:
    found = encode(golden[f"{case}_ids"], golden[f"{case}_attn"])

    torch.testing.assert_close(found, golden[f"{case}_cls"], atol=5e-6, rtol=0)


def test_padding_does_not_change_a_text(encode: Encode) -> None:
    ids = torch.tensor([[101, 6114, 15151]])
    padded = torch.nn.functional.pad(ids, (0, 20))

    alone = encode(ids, torch.ones_like(ids))
    among = encode(padded, (padded > 0).long())

    torch.testing.assert_close(among, alone, atol=5e-6, rtol=0)


def test_the_network_is_in_eval_mode_and_has_no_pooler(bert: Any) -> None:
    names = set(bert.state_dict())

    assert not bert.training
    assert not any("pooler" in name for name in names)
    assert sum(p.numel() for p in bert.parameters()) == 11_104_768


def test_building_leaves_the_random_generator_alone() -> None:
    before = torch.get_rng_state()

    build_bert_mini()

    assert torch.equal(torch.get_rng_state(), before)
