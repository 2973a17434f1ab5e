"""LASS-Net as a baseline: from texts and mixtures to estimates."""

from __future__ import annotations

import pytest
import torch

from sepbench.baselines.catalog import CATALOG
from sepbench.baselines.lassnet.adapter import LassNet
from sepbench.baselines.lassnet.network import NetworkConfig
from sepbench.baselines.lassnet.text import LassText
from sepbench.harness.api import Example, Query, QuerySeparator, TextEncoder
from sepbench.harness.errors import (
    BaselineLoadError,
    CheckpointError,
    MissingWeightsError,
    QueryError,
)

DOG = [101, 1037, 3899, 19372]  # [CLS] a dog barks


@pytest.fixture(scope="session")
def model(official_file, tokenizer_folder):
    """Loaded from a file of the official form."""
    made = LassNet(checkpoint=str(official_file), tokenizer=str(tokenizer_folder))
    made.load("cpu")
    return made


@pytest.fixture
def encoder(model):
    """A text encoder of its own, with the network that the model has."""

    def make(tokenizer):
        made = LassText(tokenizer=str(tokenizer))
        made.take(model.text_encoder._network, "cpu")
        return made

    return make


def texts(*words: str) -> list[Query]:
    return [Query(text=each) for each in words]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def furthest(values: torch.Tensor, expected: torch.Tensor) -> float:
    assert values.shape == expected.shape
    return float((values - expected).abs().max())


def of_tokens(model: LassNet, *rows: list[int]) -> torch.Tensor:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return model.text_encoder.encode_tokens(ids, mask)


def test_it_is_registered_and_keeps_the_contract(model):
    assert CATALOG["lassnet"] == f"{LassNet.__module__}:{LassNet.__name__}"
    assert isinstance(model, QuerySeparator)
    assert isinstance(model.text_encoder, TextEncoder)


def test_the_card_states_what_the_network_needs():
    config = NetworkConfig()

    assert LassNet.card.sample_rate == config.sample_rate == 32_000
    assert LassNet.card.min_samples == config.min_samples == 513
    assert LassNet.card.query_kinds == ("text", "label")
    assert LassNet.card.chunking == "harness"


# --- texts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["a dog barks", "A dog barks.", "  A DOG barks . ", "a  dog\tbarks."]
)
def test_a_caption_is_asked_in_lower_case_without_its_final_stop(text, model):
    assert furthest(model.text_encoder.encode_text([text]), of_tokens(model, DOG)) < 1e-6


def test_only_the_last_stop_is_left_out(model):
    inside = [101, 1037, 3899, 1012, 1037, 2158]

    embedding = model.text_encoder.encode_text(["A dog. A man."])

    assert furthest(embedding, of_tokens(model, inside)) < 1e-6


def test_texts_of_a_batch_are_padded_without_effect(model):
    together = model.text_encoder.encode_text(["a dog barks loudly", "a man"])
    alone = [model.text_encoder.encode_text([text])[0] for text in ("a dog barks loudly", "a man")]

    assert together.shape == (2, 256)
    assert furthest(together, torch.stack(alone)) < 1e-5
    assert (together >= 0).all()


def test_the_stored_queries_come_out_of_the_stored_tokens(golden, model):
    case = golden("b")

    embeddings = model.text_encoder.encode_tokens(case.input_ids, case.attention_mask)

    assert furthest(embeddings, case.expected["query"]) < 1e-5


def test_a_label_is_asked_as_a_text(model):
    by_label, by_text = model.condition([Query(label="dog_barks"), Query(text="dog barks")])

    assert furthest(by_label, by_text) < 1e-5


def test_conditions_are_what_the_query_adds_to_each_channel(model, fast_network):
    condition = model.condition(texts("a dog barks"))[0]

    assert furthest(condition[None], fast_network.additions(of_tokens(model, DOG))) < 1e-5


def test_no_query_gives_no_condition(model):
    assert model.condition([]) == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (Query(examples=(Example(clip_id="x"),)), "needs a text or a label; the query has neither"),
        (Query(text=" "), "text 1 of 1 is empty"),
        (Query(text="."), "text 1 of 1 is empty"),
        (Query(text="a " * 512), r"'a a .*…' has 513 tokens, and the network takes 512"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused(query, words, model):
    with pytest.raises(QueryError, match=words):
        model.condition([query])


def test_the_longest_text_is_taken(model):
    assert model.condition(texts("a " * 511))[0].isfinite().all()


# --- estimates -------------------------------------------------------------------------------


def test_the_estimate_is_the_networks(model, golden, plain_network):
    case = golden("d")
    condition = model.condition(texts("a dog barks"))[0]
    with torch.inference_mode():
        expected = plain_network.separate(case.mixture, of_tokens(model, DOG))

    estimate = model.separate(case.mixture[:, None], condition[None])

    assert furthest(estimate[:, 0], expected) < 1e-5
    assert furthest(estimate[:, 0], case.mixture) > 1e-3


def test_a_batch_gives_what_single_items_give(model):
    mixtures = noise(2, 1, 9000)
    conditions = torch.stack(model.condition(texts("a dog barks", "a man talks")))

    batch = model.separate(mixtures, conditions)
    singles = [model.separate(mixtures[i : i + 1], conditions[i : i + 1]) for i in range(2)]

    assert furthest(batch, torch.cat(singles)) < 1e-5
    assert furthest(batch[:1], model.separate(mixtures[:1], conditions[1:])) > 1e-4


def test_channels_are_separated_one_by_one(model):
    mixture = noise(1, 2, 3000)
    condition = torch.stack(model.condition(texts("a dog barks")))

    both = model.separate(mixture, condition)
    each = [model.separate(mixture[:, i : i + 1], condition) for i in range(2)]

    assert furthest(both, torch.cat(each, dim=1)) < 1e-5


@pytest.mark.parametrize("length", [513, 1024, 2049])
def test_estimates_are_as_long_as_the_mixture(length, model):
    estimate = model.separate(noise(1, 1, length), torch.stack(model.condition(texts("a dog"))))

    assert estimate.shape == (1, 1, length)
    assert estimate.isfinite().all()
    assert not estimate.is_inference()


def test_the_network_can_be_handed_to_the_compiler(model, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: asked.append(type(self).__name__))

    model.compile_network()

    assert asked == ["InnerNetwork"]


# --- refusals --------------------------------------------------------------------------------


def test_use_before_loading_is_refused():
    model = LassNet(checkpoint="LASSNet.pt")

    with pytest.raises(BaselineLoadError, match=r"lassnet: call load\(device\) first"):
        model.condition(texts("a dog"))
    with pytest.raises(BaselineLoadError, match=r"lassnet: call load\(device\) first"):
        model.separate(noise(1, 1, 600), torch.zeros(1, 3))
    with pytest.raises(BaselineLoadError, match="lassnet-text is not loaded"):
        model.text_encoder.encode_tokens(torch.ones(1, 1), torch.ones(1, 1))


@pytest.mark.parametrize("kind", [LassNet, LassText])
def test_without_an_installed_file_it_says_how_to_get_it(kind, monkeypatch, tmp_path):
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path))

    with pytest.raises(MissingWeightsError, match="bench weights add lassnet"):
        kind().load("cpu")


def test_a_tokenizer_with_other_ids_is_refused(encoder, shifted_tokenizer):
    with pytest.raises(CheckpointError, match=r"reads '\[CLS\]' as \[104\], and the network"):
        encoder(shifted_tokenizer).encode_text(["a dog"])


def test_a_folder_without_a_tokenizer_is_refused_at_the_first_text(encoder, tmp_path):
    lone = encoder(tmp_path)

    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        lone.encode_text(["a dog"])


def test_the_text_encoder_loads_by_itself(official_file, tokenizer_folder, model):
    encoder = LassText(checkpoint=str(official_file), tokenizer=str(tokenizer_folder))
    encoder.load("cpu")

    embedding = encoder.encode_text(["a dog barks"])

    assert furthest(embedding, of_tokens(model, DOG)) < 1e-6
    assert embedding.shape[1] == encoder.card.dimension
