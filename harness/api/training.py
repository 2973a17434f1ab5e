"""Training: what a recipe sees of the data, and what it owes to the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

# B batch, N samples, E classes, D embedding

Task: TypeAlias = Literal["separate", "tag", "match"]


class TrainingBatch(NamedTuple):
    """B examples at the recipe's rate.

    Attributes:
        mixture: (B, N) float32; the target itself where the recipe mixes nothing.
        target: (B, N), the part of the mixture that is asked for.
        sound: (B, N), what an audio query hears: the target as it was recorded, before any gain, or
            another recording of its class.
        texts: B texts, one of those that the target has.
        tags: (B, E) float32, 1 for each class of the target.
        asked: (B,) int64, the class that the target was drawn for; -1 where it has none.
        vectors: (B, D) float32, an embedding of the target from a file; D = 0 without a file.
    """

    mixture: Tensor
    target: Tensor
    sound: Tensor
    texts: list[str]
    tags: Tensor
    asked: Tensor
    vectors: Tensor


class Placing(Protocol):
    """Where in a whole clip its class sounds."""

    def __call__(self, sounds: Tensor, asked: Tensor) -> Sequence[int]:
        """First sample of the segment, for clips (B, N) and their classes (B,)."""
        ...


class Trainee(Protocol):
    """A network in training, an nn.Module besides."""

    def loss(self, batch: TrainingBatch) -> Tensor:
        """What is made small, a scalar."""
        ...

    def estimates(self, batch: TrainingBatch) -> Tensor:
        """Separated targets (B, N), in eval mode; of recipes that separate."""
        ...

    def hits(self, batch: TrainingBatch) -> Tensor:
        """(B,) 1 where the answer is right and 0 where not; of recipes that do not separate."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeFacts:
    """What a recipe may want to know of the data before its network is made.

    Attributes:
        classes: names of the E classes, sorted.
        labelled: whether every clip has a class.
        texts: every text that a training example may have.
        vector: D of the embeddings from a file; 0 without one.
        sample_rate: Hz.
        segment: samples of an example.
    """

    classes: tuple[str, ...]
    labelled: bool
    texts: tuple[str, ...]
    vector: int
    sample_rate: int
    segment: int


class Recipe(Protocol):
    """How one network is trained and written; made with the settings under `network`.

    Attributes:
        task: what the loop validates: separated sound, or hits.
    """

    task: Task

    def network(self, facts: RecipeFacts) -> nn.Module:
        """The network with its start values, drawn from torch's global generator; a `Trainee`.

        Raises:
            MissingWeightsError, CheckpointError: a part that comes from a file is not there.
            SettingError: sizes that do not fit together.
        """
        ...

    def placing(self, network: nn.Module) -> Placing | None:
        """Where to cut the clips; None where the recipe cuts at random."""
        ...

    def write(self, network: nn.Module, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
        """Files in the layout that `bench weights add` and the adapters take.

        Args:
            network: as trained.
            folder: there already.
            facts: what was done, plain data, for a file that has room for it.
        """
        ...
