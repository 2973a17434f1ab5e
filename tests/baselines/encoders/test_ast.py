"""AST on the class of transformers, against the published network and under both sets of names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from sepbench_testkit.audio_encoders import GOLDEN, golden_arrays, golden_clips, hollow
from sepbench_testkit.filled import fill_state_dict

from sepbench.baselines.encoders.ast import Ast, build, check, one_name
from sepbench.harness.errors import CheckpointError

LAYOUT = GOLDEN / "ast" / "state_dict.json"
# The authors' name -> the hub's, which transformers 4 gave to the same tensors.
HUB = {
    "cls_token": "embeddings.cls_token",
    "dist_token": "embeddings.distillation_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return fill_state_dict(LAYOUT, 1)


@pytest.fixture(scope="module")
def encoder(state: dict[str, torch.Tensor]) -> Ast:
    loaded = Ast()
    loaded.load_state(state, "cpu")
    return loaded


def as_on_the_hub(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = "audio_spectrogram_transformer."
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if "head" in name:
            continue
        bare = name.removeprefix("module.v.")
        bare = re.sub(r"^norm\.", "layernorm.", re.sub(r"^blocks", "encoder.layer", bare))
        if "attn.qkv" in bare:
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                # safetensors stores no two tensors that share memory
                renamed[prefix + bare.replace("attn.qkv", f"attention.attention.{part}")] = (
                    rows.contiguous().clone()
                )
            continue
        for ours, theirs in HUB.items():
            bare = re.sub(rf"(^|\.){re.escape(ours)}(\.|$)", rf"\g<1>{theirs}\g<2>", bare)
        renamed[prefix + bare] = tensor
    head = {
        "classifier.layernorm.weight": torch.ones(768),
        "classifier.dense.weight": torch.zeros(527, 768),
    }
    return renamed | head


def test_two_clips_in_a_batch_give_the_published_embeddings_of_each(encoder: Ast) -> None:
    clips, golden = golden_clips("ast"), golden_arrays("ast")

    found = encoder.encode_audio([clips["a"], clips["b"]])

    expected = torch.stack([golden["a_embedding"], golden["b_embedding"]])
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_the_hubs_names_give_the_same_network(encoder: Ast, state: dict[str, torch.Tensor]) -> None:
    network = build(as_on_the_hub(state), what="hub")

    ours = encoder._network.state_dict()
    different = [n for n, t in network.state_dict().items() if not torch.equal(t, ours[n])]
    assert different == []


def test_both_published_checkpoints_are_recognised(tmp_path: Path) -> None:
    state = hollow(LAYOUT)
    torch.save(state, tmp_path / "ast.pth")
    torch.save(as_on_the_hub({n: t for n, t in state.items() if "qkv" not in n}), tmp_path / "bad")

    assert check(tmp_path / "ast.pth") == "AST, patches 10 apart, 768-d"
    with pytest.raises(CheckpointError, match=r"missing \(72\)"):
        check(tmp_path / "bad")


def test_a_safetensors_file_of_another_geometry_is_refused(tmp_path: Path) -> None:
    save_file({"module.v.pos_embed": torch.zeros(1, 602, 768)}, tmp_path / "ast.safetensors")

    with pytest.raises(CheckpointError, match=r"\(1, 602, 768\), not \(1, 1214, 768\)"):
        check(tmp_path / "ast.safetensors")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("encoder.layer.3.attention.attention.key.bias", "layers.3.attention.k_proj.bias"),
        ("blocks.11.mlp.fc1.weight", "layers.11.mlp.fc1.weight"),
        ("layers.2.mlp.fc2.weight", "layers.2.mlp.fc2.weight"),
        ("something.else", "something.else"),
    ],
)
def test_names_come_to_one_form(given: str, expected: str) -> None:
    assert one_name(given) == expected
