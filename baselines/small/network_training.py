"""The small contrastive pair in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sepbench.baselines.small.network_contrastive import ContrastivePair, pair_loss
from sepbench.baselines.small.network_text import without_some_words
from sepbench.baselines.small.words import Vocabulary
from sepbench.harness.api.training import TrainingBatch

# B batch


class PairTraining(nn.Module):
    """Both towers over a vocabulary; a `Trainee`.

    Args:
        pair: with its start values.
        vocabulary: of the training's texts.
        word_dropout: share of the words that are not seen.
    """

    def __init__(
        self, pair: ContrastivePair, vocabulary: Vocabulary, *, word_dropout: float
    ) -> None:
        super().__init__()
        self.pair = pair
        self.vocabulary = vocabulary
        self._word_dropout = word_dropout

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Of sounds against texts."""
        sounds, texts = self._directions(batch)
        return pair_loss(sounds, texts, same_meaning(batch), self.pair.scale)

    def hits(self, batch: TrainingBatch) -> Tensor:
        """(B,) 1 where the nearest of the batch's texts means the same as the sound."""
        sounds, texts = self._directions(batch)
        nearest = (sounds @ texts.T).argmax(1)
        return same_meaning(batch).gather(1, nearest[:, None])[:, 0].float()

    def _directions(self, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        device = batch.sound.device
        ids, mask = (part.to(device) for part in self.vocabulary.encode(batch.texts))
        if self.training:
            ids = without_some_words(ids, self._word_dropout)
        return self.pair.hear(batch.sound), self.pair.read(ids, mask)


def same_meaning(batch: TrainingBatch) -> Tensor:
    """(B, B) true for clips of one class, or with one text."""
    kinds = {text: number for number, text in enumerate(dict.fromkeys(batch.texts))}
    texts = torch.tensor([kinds[text] for text in batch.texts], device=batch.asked.device)
    same = texts[:, None] == texts
    known = batch.asked >= 0
    return same | ((batch.asked[:, None] == batch.asked) & known & known[:, None])
