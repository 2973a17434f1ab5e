"""What AudioSep is asked with in training: texts, sounds and vectors, in the set shares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from sepbench.baselines.audiosep.network import NetworkConfig, ResUNet30
from sepbench.baselines.audiosep.network_training import AudioSepTraining
from sepbench.baselines.audiosep.recipe import AudioSepRecipe
from sepbench.baselines.small.contrastive_recipe import sized_pair
from sepbench.baselines.small.files import write_sized
from sepbench.baselines.small.network_contrastive import ContrastivePair, PairConfig
from sepbench.baselines.small.words import Vocabulary
from sepbench.harness.api.training import RecipeFacts, TrainingBatch
from sepbench.harness.errors import SettingError

ROWS, LENGTH, D = 400, 512, 3
TEXT, SOUND, VECTOR = torch.eye(D)


class Marks:
    """Each way of asking has a direction of its own."""

    dimension = D

    def read(self, texts: Sequence[str], device: torch.device) -> torch.Tensor:
        return 2 * TEXT.repeat(len(texts), 1)

    def hear(self, sounds: torch.Tensor) -> torch.Tensor:
        return 3 * SOUND.repeat(len(sounds), 1)


class Asked(ResUNet30):
    """Keeps the conditions and gives the mixture back."""

    conditions: torch.Tensor

    def forward(self, mixture: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        self.conditions = condition
        return mixture


def asked(text_ratio: float, vector_ratio: float, *, training: bool = True) -> torch.Tensor:
    """Shares of texts, sounds and vectors."""
    sizes = NetworkConfig(widths=(2, 2), condition=D, sample_rate=16_000, n_fft=128, hop=64)
    network = Asked(sizes)
    trainee = AudioSepTraining(network, Marks(), text_ratio=text_ratio, vector_ratio=vector_ratio)
    batch = TrainingBatch(
        mixture=torch.zeros(ROWS, LENGTH),
        target=torch.zeros(ROWS, LENGTH),
        sound=torch.zeros(ROWS, LENGTH),
        texts=["a dog"] * ROWS,
        tags=torch.zeros(ROWS, 0),
        asked=torch.full((ROWS,), -1),
        vectors=5 * VECTOR.repeat(ROWS, 1),
    )
    torch.manual_seed(1)
    if training:
        trainee.loss(batch)
    else:
        trainee.estimates(batch)
    torch.testing.assert_close(network.conditions.norm(dim=1), torch.ones(ROWS))
    return network.conditions.mean(0)


@pytest.mark.parametrize(
    ("text_ratio", "vector_ratio", "shares"),
    [
        (1.0, 0.0, (1.0, 0.0, 0.0)),
        (0.0, 0.0, (0.0, 1.0, 0.0)),
        (0.0, 1.0, (0.0, 0.0, 1.0)),
        (0.5, 0.0, (0.5, 0.5, 0.0)),
        (0.4, 0.5, (0.4, 0.3, 0.3)),
    ],
)
def test_the_shares_of_what_is_asked_with(
    text_ratio: float, vector_ratio: float, shares: tuple[float, float, float]
) -> None:
    found = asked(text_ratio, vector_ratio)

    # Of 400 draws; 0.08 is more than three standard deviations.
    assert found.tolist() == pytest.approx(shares, abs=0.08)


@pytest.mark.parametrize(
    ("text_ratio", "vector_ratio", "way"),
    [(1.0, 0.0, TEXT), (0.3, 0.5, TEXT), (0.0, 0.5, VECTOR), (0.0, 0.0, SOUND)],
)
def test_validation_asks_in_one_way(
    text_ratio: float, vector_ratio: float, way: torch.Tensor
) -> None:
    torch.testing.assert_close(asked(text_ratio, vector_ratio, training=False), way)


def test_texts_that_a_pair_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    vocabulary = Vocabulary.of(["a dog barks"])
    pair = ContrastivePair(
        PairConfig(
            condition=4,
            widths=(4,),
            vocabulary=len(vocabulary),
            text_width=16,
            text_layers=1,
            sample_rate=16_000,
        )
    )
    pair.initialise()
    file = write_sized(tmp_path / "contrastive.safetensors", sized_pair(pair, vocabulary, {}))

    def begin(text_ratio: float) -> torch.nn.Module:
        recipe = AudioSepRecipe(
            widths=[4, 8],
            n_fft=128,
            hop=64,
            encoder="contrastive",
            encoder_checkpoint=str(file),
            tokenizer=None,
            text_ratio=text_ratio,
            vector_ratio=0.0,
        )
        return recipe.network(
            RecipeFacts(
                classes=(),
                labelled=False,
                texts=("a dog", "rain falls", "thunder"),
                vector=0,
                sample_rate=16_000,
                segment=16_000,
            )
        )

    with pytest.raises(SettingError, match=r"knows no word of 2 of 3 texts, 'rain falls' among"):
        begin(0.5)
    assert isinstance(begin(0.0), AudioSepTraining)
