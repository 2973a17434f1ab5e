"""What the audio encoders share: batches of equal lengths, order, refusals, cards."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from sepbench.baselines.encoders.catalog import CATALOG
from sepbench.baselines.encoders.clips import encode_equal, pad_to
from sepbench.baselines.weights import WEIGHTS
from sepbench.harness.api import AudioEncoder
from sepbench.harness.errors import BaselineLoadError, MissingWeightsError, QueryError

WEIGHTED = (
    *("cnn14", "cnn14-16k", "vggish", "ast", "wav2vec2", "wav2vec2-base", "wav2clip"),
    *("audiomae", "passt"),
)
NAMES = (*WEIGHTED, "logmel-stats")


def encoder_named(name: str) -> AudioEncoder:
    module, _, attribute = CATALOG[name].partition(":")
    made = getattr(importlib.import_module(module), attribute)()
    assert isinstance(made, AudioEncoder)
    return made


def first_and_length(batches: list[int], clips: list[torch.Tensor], at_once: int) -> torch.Tensor:
    """First sample and length of each clip; writes down how many came together."""

    def embed(batch: torch.Tensor) -> torch.Tensor:
        batches.append(len(batch))
        return torch.stack([batch[:, 0], torch.full((len(batch),), float(batch.shape[1]))], dim=1)

    return encode_equal(
        clips,
        name="first",
        dimension=2,
        device="cpu",
        prepare=lambda clip: pad_to(clip, 3),
        embed=embed,
        at_once=at_once,
    )


def test_rows_keep_the_order_of_the_clips_and_equal_lengths_go_together() -> None:
    clips = [torch.full((size,), float(index)) for index, size in enumerate([5, 2, 5, 3, 4])]
    batches: list[int] = []

    found = first_and_length(batches, clips, at_once=100)

    assert found.tolist() == [[0, 5], [1, 3], [2, 5], [3, 3], [4, 4]]
    assert batches == [2, 2, 1]


def test_a_batch_is_bounded_and_a_larger_clip_goes_alone() -> None:
    batches: list[int] = []

    first_and_length(batches, [torch.zeros(4)] * 5 + [torch.zeros(50)], at_once=9)

    assert batches == [2, 2, 1, 1]


def test_no_clips_give_no_rows() -> None:
    assert first_and_length([], [], at_once=9).shape == (0, 2)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (torch.zeros(0), "clip 1 is empty"),
        (torch.tensor([0.0, float("nan")]), "clip 1 holds NaN or infinite samples"),
        (torch.tensor([float("inf")]), "clip 1 holds NaN or infinite samples"),
        (torch.zeros(2, 5), r"clip 1 has the shape \(2, 5\)"),
    ],
)
def test_a_clip_that_cannot_be_encoded_is_refused(clip: torch.Tensor, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        first_and_length([], [torch.zeros(4), clip], at_once=9)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_has_what_a_table_needs(name: str) -> None:
    card = encoder_named(name).card

    assert (card.name, card.kind) == (name, "audio")
    assert card.dimension > 0
    assert card.sample_rate in (16_000, 32_000)
    assert all([card.crop, card.summary, card.licence, card.verified])


@pytest.mark.parametrize("name", WEIGHTED)
def test_an_encoder_that_is_not_loaded_says_so(name: str) -> None:
    with pytest.raises(BaselineLoadError, match=f"{name} is not loaded"):
        encoder_named(name).encode_audio([torch.zeros(100)])


@pytest.mark.parametrize("name", WEIGHTED)
def test_an_encoder_without_weights_says_where_they_come_from(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path))

    with pytest.raises(MissingWeightsError, match=f"bench weights (pull|add) {name}"):
        encoder_named(name).load("cpu")


@pytest.mark.parametrize("name", [*WEIGHTED, "vggish-pca"])
def test_the_check_of_a_weights_entry_is_there(name: str) -> None:
    module, _, function = WEIGHTS[name].check.partition(":")

    assert callable(getattr(importlib.import_module(module), function))
