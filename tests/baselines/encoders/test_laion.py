"""LAION's own package beside our CLAP, in an environment that has it."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from sepbench_testkit.filled import gliding_tones

from sepbench.baselines.encoders.clap import ClapAudio, ClapText
from sepbench.baselines.encoders.laion import LaionClapAudio, LaionClapText
from sepbench.harness.errors import CheckpointError, MissingExtraError

State = dict[str, torch.Tensor]

HERE = importlib.util.find_spec("laion_clap") is not None
with_package = pytest.mark.skipif(
    not HERE, reason="laion-clap is not installed; it needs an environment with NumPy below 2"
)
without_package = pytest.mark.skipif(HERE, reason="laion-clap is installed")


@with_package
def test_texts_have_the_same_embeddings(
    clap_text: ClapText, clap_state: State, clap_golden: State
) -> None:
    ids, mask = clap_golden["text_input_ids"], clap_golden["text_attention_mask"]
    theirs = LaionClapText()
    theirs.load_state(clap_state, "cpu")

    found = theirs.encode_tokens(ids, mask)

    torch.testing.assert_close(found, clap_text.encode_tokens(ids, mask), atol=1e-6, rtol=0)
    torch.testing.assert_close(found, clap_golden["text_embedding"], atol=1e-6, rtol=0)


@with_package
def test_sounds_have_the_same_embeddings(clap_audio: ClapAudio, clap_state: State) -> None:
    clips = [torch.from_numpy(gliding_tones(31, 1, n, 32_000)[0]) for n in (102_401, 320_000)]
    theirs = LaionClapAudio()
    theirs.load_state(clap_state, "cpu")

    found = theirs.encode_audio(clips, sample_rate=32_000)

    expected = clap_audio.encode_audio(clips, sample_rate=32_000)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@with_package
def test_a_missing_tensor_is_named(clap_state: State) -> None:
    state = {name: tensor for name, tensor in clap_state.items() if name != "logit_scale_a"}

    with pytest.raises(CheckpointError, match=r"missing \(1\): logit_scale_a"):
        LaionClapText().load_state(state, "cpu")


@without_package
@pytest.mark.parametrize("encoder", [LaionClapText, LaionClapAudio])
def test_without_the_package_its_extra_is_named(
    encoder: type[LaionClapText] | type[LaionClapAudio],
) -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'sepbench\[laion\]'"):
        encoder().load_state({}, "cpu")


@without_package
def test_a_failed_import_leaves_transformers_as_it_was() -> None:
    from transformers import BertTokenizer, RobertaModel

    before = (BertTokenizer.from_pretrained, RobertaModel.from_pretrained)

    with pytest.raises(MissingExtraError):
        LaionClapText().load_state({}, "cpu")

    assert (BertTokenizer.from_pretrained, RobertaModel.from_pretrained) == before
