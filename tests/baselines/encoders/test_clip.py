"""CLIP's text tower against the whole CLIP of transformers, full-size, with filled weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from sepbench_testkit.filled import fill_array

from sepbench.baselines.encoders.clip import ClipText, check
from sepbench.harness.errors import (
    BaselineLoadError,
    CheckpointError,
    MissingWeightsError,
    QueryError,
)

MakeTokenizer = Callable[..., Path]
START, END = 49_406, 49_407


@pytest.fixture(scope="module")
def whole() -> Any:
    """CLIPModel with the published text config and a small image tower, filled."""
    from transformers import CLIPConfig, CLIPModel

    text = {"bos_token_id": 0, "eos_token_id": 2, "projection_dim": 512}
    vision = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "projection_dim": 512,
    }
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=512))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim:
                parameter.copy_(torch.from_numpy(fill_array(name, tuple(parameter.shape), 3)))
    return model.eval()


@pytest.fixture(scope="module")
def state(whole: Any) -> dict[str, torch.Tensor]:
    """As the hub file: both towers, and the buffer that older files hold."""
    positions = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    return {**whole.state_dict(), **positions}


@pytest.fixture(scope="module")
def clip_text(state: dict[str, torch.Tensor]) -> ClipText:
    encoder = ClipText()
    encoder.load_state(state, "cpu")
    return encoder


@pytest.fixture(scope="module")
def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of 4, 12 and 77 tokens, padded with the closing token as CLIP's tokenizer does."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.full((3, 77), END)
    mask = torch.zeros(3, 77, dtype=torch.long)
    for row, length in enumerate((4, 12, 77)):
        ids[row, : length - 1] = torch.randint(256, 49_000, (length - 1,), generator=draw)
        ids[row, 0] = START
        mask[row, :length] = 1
    return ids, mask


def features(whole: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found = whole.get_text_features(input_ids=ids, attention_mask=mask)
    # transformers 5 gives an object, earlier releases the tensor.
    vectors: torch.Tensor = getattr(found, "pooler_output", found)
    return vectors / vectors.norm(dim=1, keepdim=True)


def test_texts_have_the_features_of_the_whole_model(
    clip_text: ClipText, whole: Any, tokens: tuple[torch.Tensor, torch.Tensor]
) -> None:
    expected = features(whole, *tokens)

    found = clip_text.encode_tokens(*tokens)

    assert found.shape == (3, 512)
    assert (expected[0] - expected[1]).abs().max() > 0.05
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("row", "length"), [(0, 4), (1, 12)])
def test_a_text_without_padding_has_the_same_embedding(
    clip_text: ClipText, tokens: tuple[torch.Tensor, torch.Tensor], row: int, length: int
) -> None:
    among = clip_text.encode_tokens(*tokens)[row]
    ids = tokens[0][row : row + 1, :length]

    alone = clip_text.encode_tokens(ids, torch.ones_like(ids))[0]

    torch.testing.assert_close(alone, among, atol=1e-6, rtol=0)


def test_what_follows_the_closing_token_does_not_count(clip_text: ClipText) -> None:
    ids = torch.tensor([[START, 500, 600, END], [START, 500, END, 700]])
    short = torch.tensor([[START, 500, END]])

    found = clip_text.encode_tokens(ids, torch.ones_like(ids))
    expected = clip_text.encode_tokens(short, torch.ones_like(short))

    torch.testing.assert_close(found[1:], expected, atol=1e-6, rtol=0)
    assert (found[0] - expected[0]).abs().max() > 1e-3


def test_words_become_embeddings_and_long_texts_are_cut(
    state: dict[str, torch.Tensor], make_tokenizer: MakeTokenizer
) -> None:
    encoder = ClipText(tokenizer=str(make_tokenizer("clip", 49_408)))
    encoder.load_state(state, "cpu")

    found = encoder.encode_text(["A dog", "a dog", "dog " * 75, "dog " * 300])

    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[2], found[3], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))


def test_more_than_77_tokens_are_refused(clip_text: ClipText) -> None:
    ids = torch.full((1, 78), END)

    with pytest.raises(QueryError, match=r"clip-text: a text has 78 tokens.*takes 77"):
        clip_text.encode_tokens(ids, torch.ones_like(ids))


# --- files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_both_files_of_the_hub_are_read(
    state: dict[str, torch.Tensor],
    clip_text: ClipText,
    tokens: tuple[torch.Tensor, torch.Tensor],
    tmp_path: Path,
    name: str,
) -> None:
    path = tmp_path / name
    save = save_file if path.suffix == ".safetensors" else torch.save
    save(state, path)

    words = check(path)
    encoder = ClipText(checkpoint=str(path))
    encoder.load("cpu")

    assert words == "CLIP ViT-B/32, text tower, 63,428,173 numbers"
    assert torch.equal(encoder.encode_tokens(*tokens), clip_text.encode_tokens(*tokens))


def test_another_clip_is_refused(state: dict[str, torch.Tensor]) -> None:
    other = {**state, "text_projection.weight": torch.ones(768, 768)}

    with pytest.raises(
        CheckpointError, match=r"text_projection\.weight \(768, 768\), not \(512, 512\)"
    ):
        ClipText().load_state(other, "cpu")


def test_a_file_without_clip_is_refused(tmp_path: Path) -> None:
    save_file({"ss_model.bias": torch.ones(1)}, tmp_path / "other.safetensors")

    with pytest.raises(CheckpointError, match=r"holds no CLIP.*but ss_model\.bias"):
        check(tmp_path / "other.safetensors")


def test_nothing_is_encoded_before_loading(tokens: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(BaselineLoadError, match="clip-text is not loaded"):
        ClipText().encode_tokens(*tokens)


def test_a_checkpoint_that_is_not_installed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path))

    with pytest.raises(MissingWeightsError, match="bench weights pull clip-vit-b32"):
        ClipText().load("cpu")
