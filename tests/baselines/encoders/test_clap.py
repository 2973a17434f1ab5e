"""CLAP: the original's numbers, its files, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sepbench_testkit.filled import gliding_tones

from sepbench.baselines.encoders.batches import in_batches
from sepbench.baselines.encoders.clap import ClapAudio, ClapText, check
from sepbench.baselines.encoders.clap_audio import LOG_MEL, WINDOW, to_window
from sepbench.baselines.encoders.clap_names import audio_tensors, laion_tensors, text_tensors
from sepbench.harness.errors import (
    BaselineLoadError,
    CheckpointError,
    MissingWeightsError,
    QueryError,
)

State = dict[str, torch.Tensor]
MakeTokenizer = Callable[..., Path]

# What LAION's published file holds beside the layout, of its 29 fixed tensors one of each kind.
FIXED = {
    "audio_branch.spectrogram_extractor.stft.conv_real.weight": torch.zeros(513, 1, 1024),
    "audio_branch.logmel_extractor.melW": torch.zeros(513, 64),
    "audio_branch.layers.0.blocks.0.attn.relative_position_index": torch.zeros(64, 64).long(),
    "audio_branch.layers.0.blocks.1.attn_mask": torch.zeros(64, 64, 64),
    "text_branch.embeddings.position_ids": torch.arange(514)[None],
    "text_branch.embeddings.token_type_ids": torch.zeros(1, 514).long(),
}


def tones(seed: int, samples: int, rate: int) -> torch.Tensor:
    return torch.from_numpy(gliding_tones(seed, 1, samples, rate)[0])


# --- texts ----------------------------------------------------------------------------------


def test_texts_have_the_embeddings_of_the_original(clap_text: ClapText, clap_golden: State) -> None:
    ids, mask = clap_golden["text_input_ids"], clap_golden["text_attention_mask"]

    found = clap_text.encode_tokens(ids, mask)

    torch.testing.assert_close(found, clap_golden["text_embedding"], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("row", "tokens"), [(0, 5), (1, 14), (2, 77)])
def test_a_text_without_padding_has_the_same_embedding(
    clap_text: ClapText, clap_golden: State, row: int, tokens: int
) -> None:
    ids = clap_golden["text_input_ids"][row : row + 1, :tokens]

    found = clap_text.encode_tokens(ids, torch.ones_like(ids))

    torch.testing.assert_close(found[0], clap_golden["text_embedding"][row], atol=1e-6, rtol=0)


def test_columns_of_padding_are_not_computed(clap_text: ClapText, clap_golden: State) -> None:
    ids, mask = clap_golden["text_input_ids"][:2], clap_golden["text_attention_mask"][:2]
    lengths: list[int] = []
    hook = clap_text._network.text_model.encoder.register_forward_pre_hook(
        lambda _, inputs: lengths.append(inputs[0].shape[1])
    )

    clap_text.encode_tokens(ids, mask)
    hook.remove()

    assert lengths == [14]


def test_words_become_embeddings_alone_or_among_others(
    clap_text: ClapText, make_tokenizer: MakeTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clap_text, "tokenizer", str(make_tokenizer("roberta", 50_265)))
    monkeypatch.setattr(clap_text, "_opened", None)
    texts = ["a dog barks", "rain", "dog" * 40]

    together = clap_text.encode_text(texts)
    alone = torch.cat([clap_text.encode_text([text]) for text in texts])

    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_embeddings_can_be_trained_on(clap_text: ClapText, clap_golden: State) -> None:
    ids = clap_golden["text_input_ids"][:1, :5]
    layer = torch.nn.Linear(512, 1)

    layer(clap_text.encode_tokens(ids, torch.ones_like(ids))).sum().backward()

    assert layer.weight.grad is not None


def test_no_texts_give_no_embeddings(clap_text: ClapText) -> None:
    assert clap_text.encode_text([]).shape == (0, 512)


def test_batches_are_bounded_and_keep_the_order() -> None:
    sizes: list[int] = []

    def encode(some: object) -> torch.Tensor:
        values = torch.tensor(some)[:, None]
        sizes.append(len(values))
        return values

    found = in_batches(encode, [float(number) for number in range(7)], 3, 1)

    assert sizes == [3, 3, 1]
    assert found.flatten().tolist() == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("ids", "mask", "words"),
    [
        (torch.ones(2, 3), torch.ones(2, 4), "both must be"),
        (torch.ones(3), torch.ones(3), "both must be"),
        (torch.ones(1, 3), torch.zeros(1, 3), "has no tokens"),
        (torch.ones(1, 513), torch.ones(1, 513), "513 tokens, and the network takes 512"),
    ],
    ids=["shapes differ", "no batch", "empty", "too long"],
)
def test_tokens_that_are_no_texts_are_refused(
    clap_text: ClapText, ids: torch.Tensor, mask: torch.Tensor, words: str
) -> None:
    with pytest.raises(QueryError, match=words):
        clap_text.encode_tokens(ids.long(), mask.long())


# --- sounds ---------------------------------------------------------------------------------


def test_the_log_mel_is_that_of_the_original(clap_golden: State) -> None:
    found = LOG_MEL(tones(31, WINDOW, 48_000)[None])

    assert found.shape == (1, 1001, 64)
    torch.testing.assert_close(found[0], clap_golden["audio_logmel"], atol=1e-3, rtol=0)


def test_sounds_have_the_embeddings_of_the_original(
    clap_audio: ClapAudio, clap_golden: State
) -> None:
    clips = [tones(seed, WINDOW, 48_000) for seed in (31, 32)]

    found = clap_audio.encode_audio(clips)

    torch.testing.assert_close(found, clap_golden["audio_embedding"], atol=1e-6, rtol=0)


def test_audio_queries_at_32_khz_are_those_of_audiosep(
    clap_audio: ClapAudio, clap_golden: State
) -> None:
    clips = [tones(33, 160_000, 32_000), tones(34, 102_401, 32_000), tones(35, 320_000, 32_000)]
    expected = torch.cat([clap_golden[f"query_{seconds}s"] for seconds in (5, 3, 10)])

    found = clap_audio.encode_audio(clips, sample_rate=32_000)

    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_short_clip_is_repeated_as_often_as_it_fits_then_padded() -> None:
    clip = torch.arange(1.0, 200_001.0)

    window = to_window(clip, 48_000, "enc")

    assert torch.equal(window, torch.cat([clip, clip, torch.zeros(80_000)]))


@pytest.mark.parametrize("samples", [1, 1000, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW])
def test_every_length_becomes_ten_seconds(samples: int) -> None:
    clip = torch.arange(1.0, samples + 1.0)

    window = to_window(clip, 48_000, "enc")

    assert window.shape == (WINDOW,)
    assert torch.equal(window[: min(samples, WINDOW)], clip[:WINDOW])


def test_silence_has_an_embedding(clap_audio: ClapAudio) -> None:
    (embedding,) = clap_audio.encode_audio([torch.zeros(48_000)])

    assert torch.isfinite(embedding).all()
    assert embedding.norm() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (torch.zeros(0), "a clip is empty"),
        (torch.zeros(2, 100), r"shape \(2, 100\); give mono"),
        (torch.tensor([0.0, float("nan")]), "NaN or infinite"),
        (torch.tensor([0.0, float("inf")]), "NaN or infinite"),
    ],
    ids=["empty", "stereo", "nan", "infinite"],
)
def test_a_clip_that_is_no_sound_is_refused(
    clap_audio: ClapAudio, clip: torch.Tensor, words: str
) -> None:
    with pytest.raises(QueryError, match=words):
        clap_audio.encode_audio([clip])


# --- files ----------------------------------------------------------------------------------


def test_laions_training_file_loads_safely_and_fits_both_towers(
    clap_state: State, clap_golden: State, tmp_path: Path
) -> None:
    path = tmp_path / "music_speech_audioset_epoch_15_esc_89.98.pt"
    state = {f"module.{name}": tensor for name, tensor in {**clap_state, **FIXED}.items()}
    torch.save({"epoch": 15, "esc_acc": np.float64(0.8998), "state_dict": state}, path)

    words = check(path)
    encoder = ClapText(checkpoint=str(path))
    encoder.load("cpu")
    ids, mask = clap_golden["text_input_ids"][:1], clap_golden["text_attention_mask"][:1]

    assert words == "CLAP, HTSAT-base and RoBERTa-base, 193,914,009 numbers"
    found = encoder.encode_tokens(ids, mask)
    torch.testing.assert_close(found, clap_golden["text_embedding"][:1], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "prefix", ["", "module.", "query_encoder.model.", "query_encoder.model.module."]
)
def test_every_prefix_of_a_file_is_understood(prefix: str) -> None:
    held = {f"{prefix}text_branch.pooler.dense.bias": torch.ones(3)}
    separator = {"ss_model.base.bias": torch.ones(1)} if "query" in prefix else {}

    found = laion_tensors({"state_dict": {**held, **separator}}, "a.pt")

    assert list(found) == ["text_branch.pooler.dense.bias"]


def test_a_bare_state_dict_is_understood() -> None:
    held = {"audio_branch.bn0.weight": torch.ones(64)}

    assert laion_tensors(held, "a.pt") == held


def test_query_key_and_value_are_the_thirds_of_one_matrix() -> None:
    matrix = torch.arange(6.0)[:, None]

    found = audio_tensors({"audio_branch.layers.2.blocks.7.attn.qkv.weight": matrix})

    start = "audio_model.audio_encoder.layers.2.blocks.7.attention.self."
    assert {
        name.removeprefix(start): tensor.flatten().tolist() for name, tensor in found.items()
    } == {
        "query.weight": [0, 1],
        "key.weight": [2, 3],
        "value.weight": [4, 5],
    }


def test_heads_and_computed_tensors_are_left_out() -> None:
    heads = {
        "text_transform.sequential.0.weight": torch.ones(1),
        "audio_transform.sequential.0.weight": torch.ones(1),
        "logit_scale_a": torch.ones(()),
        "audio_branch.tscam_conv.weight": torch.ones(1),
        "audio_branch.head.bias": torch.ones(1),
    }

    assert text_tensors({**FIXED, **heads}) == {}
    assert audio_tensors({**FIXED, **heads}) == {}


@pytest.mark.parametrize("encoder", [ClapText, ClapAudio])
def test_an_unknown_tensor_is_refused(
    clap_state: State, encoder: type[ClapText] | type[ClapAudio]
) -> None:
    with pytest.raises(CheckpointError, match=r"unknown \(1\): adapter\.weight"):
        encoder().load_state({**clap_state, "adapter.weight": torch.ones(1)}, "cpu")


def test_a_missing_and_a_misshapen_tensor_are_named(clap_state: State) -> None:
    state = {**clap_state, "text_projection.2.bias": torch.ones(5)}
    del state["text_branch.pooler.dense.bias"]

    with pytest.raises(CheckpointError) as raised:
        ClapText().load_state(state, "cpu", what="mine.pt")

    lines = str(raised.value).splitlines()
    assert lines[0].startswith("mine.pt for clap-text")
    assert lines[1:3] == [
        "  missing (1): text_model.pooler.dense.bias",
        "  other shape (1): text_projection.linear2.bias (5,), not (512,)",
    ]
    assert len(lines) <= 10


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (
            {"text_model.pooler.dense.bias": torch.ones(1)},
            r"no CLAP with LAION's names.*text_model",
        ),
        ({"state_dict": 5}, "is no mapping"),
        ({}, "but nothing"),
    ],
)
def test_a_file_without_clap_is_refused(held: dict[str, object], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        laion_tensors(held, "other.pt")


# --- before loading -------------------------------------------------------------------------


def test_nothing_is_encoded_before_loading() -> None:
    tokens = torch.ones(1, 3).long()

    with pytest.raises(BaselineLoadError, match="clap-text is not loaded"):
        ClapText().encode_tokens(tokens, tokens)
    with pytest.raises(BaselineLoadError, match="clap-audio is not loaded"):
        ClapAudio().encode_audio([torch.ones(5)])


def test_a_checkpoint_that_is_not_installed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path))

    with pytest.raises(MissingWeightsError, match="bench weights pull clap"):
        ClapText().load("cpu")
