"""How the small contrastive pair of encoders is trained and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checks import NetworkSettings
from sepbench.baselines.small.files import SizedFile, read_sized, write_sized
from sepbench.baselines.small.words import Vocabulary
from sepbench.harness.api.training import Placing, RecipeFacts, Task

if TYPE_CHECKING:
    from torch import nn

    from sepbench.baselines.small.network_contrastive import ContrastivePair

NAME = "contrastive"
MOST_WIDTHS = 7  # six halvings leave one of 64 bands, and of the frames of a second


class ContrastiveRecipe:
    """Sounds against their texts.

    Args:
        condition: length of the embeddings.
        widths: channels of the audio tower's blocks.
        text_width: of the text tower, a multiple of 16.
        text_layers: how many.
        dropout: of the text tower.
        word_dropout: share of the words that it does not get to see.
    """

    task: Task = "match"

    def __init__(
        self,
        *,
        condition: int,
        widths: Sequence[int],
        text_width: int,
        text_layers: int,
        dropout: float,
        word_dropout: float,
    ) -> None:
        given = NetworkSettings(NAME)
        self.condition = given.whole_number("condition", condition, low=1, high=4096)
        self.widths = given.sizes("widths", widths, most=MOST_WIDTHS)
        self.text_width = given.whole_number(
            "text_width", text_width, low=16, high=1024, multiple=16
        )
        self.text_layers = given.whole_number("text_layers", text_layers, low=1, high=24)
        self.dropout = given.number("dropout", dropout, low=0.0, high=0.9)
        self.word_dropout = given.number("word_dropout", word_dropout, low=0.0, high=0.9)

    def network(self, facts: RecipeFacts) -> nn.Module:
        """As `Recipe.network`.

        Raises:
            SettingError: examples of less than a second, another rate than 16 or 32 kHz, or texts
                without a word.
        """
        from sepbench.baselines.small.network_contrastive import ContrastivePair, PairConfig
        from sepbench.baselines.small.network_text import set_dropout
        from sepbench.baselines.small.network_training import PairTraining

        NetworkSettings(NAME).refuse_length(facts, shortest=facts.sample_rate)
        vocabulary = Vocabulary.of(facts.texts)
        pair = ContrastivePair(
            PairConfig(
                condition=self.condition,
                widths=self.widths,
                vocabulary=len(vocabulary),
                text_width=self.text_width,
                text_layers=self.text_layers,
                sample_rate=facts.sample_rate,
            )
        )
        pair.initialise()
        set_dropout(pair.text, self.dropout)
        return PairTraining(pair, vocabulary, word_dropout=self.word_dropout)

    def placing(self, network: nn.Module) -> Placing | None:
        """None: cut at random."""
        return None

    def write(self, network: nn.Module, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
        """contrastive.safetensors, with its words."""
        from sepbench.baselines.small.network_training import PairTraining

        if not isinstance(network, PairTraining):
            raise TypeError(f"{type(network).__name__} is not what this recipe has made")
        held = sized_pair(network.pair, network.vocabulary, facts)
        return [write_sized(folder / "contrastive.safetensors", held)]


def sized_pair(
    pair: ContrastivePair, vocabulary: Vocabulary, facts: Mapping[str, Any]
) -> SizedFile:
    """A pair as its file holds it."""
    from sepbench.baselines.small.network_text import without_buffers

    return SizedFile(
        network=NAME,
        sizes=asdict(pair.config),
        names=vocabulary.words,
        facts=facts,
        state=without_buffers(pair.state_dict()),
    )


def read_pair(path: str | Path) -> tuple[ContrastivePair, Vocabulary]:
    """The pair of a file, on the CPU in eval mode, and its words.

    Raises:
        CheckpointError: missing, damaged, or another network's.
    """
    return pair_of(read_sized(path, NAME), str(path))


def pair_of(held: SizedFile, what: str) -> tuple[ContrastivePair, Vocabulary]:
    """As `read_pair`, of what was read already.

    Raises:
        CheckpointError: tensors that do not fit the sizes.
    """
    from sepbench.baselines.checkpoints import fit
    from sepbench.baselines.encoders.construction import without_draws
    from sepbench.baselines.small.network_contrastive import ContrastivePair, PairConfig
    from sepbench.baselines.small.network_text import bert_buffers

    sizes = dict(held.sizes)
    config = PairConfig(**{**sizes, "widths": tuple(sizes["widths"])})
    pair = without_draws(lambda: ContrastivePair(config))
    fit(pair, held.state, what=f"{what} for {NAME}", computed=bert_buffers(pair.state_dict()))
    return pair.eval(), Vocabulary(held.names)
