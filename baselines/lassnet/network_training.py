"""LASS-Net in training: text encoder and separator jointly, by the error of the magnitude.

Differences from the published description: the repository has no training code, so batches, rates
and start values are those that a review of the paper and the network's own code state. BERT-mini
begins with drawn weights unless `network.text_checkpoint` names its own. The paper mixes sounds
without a class in common, which needs clips with labels; a cut in which nothing sounds is drawn
anew. Words may be dropped and the text encoder may be a small one, for small data.

Source: Liu et al., arXiv 2203.15147; review of it; start values of the code (8979776).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sepbench.baselines.lassnet.network import LassNetwork, NetworkConfig, UNet, frames_seen
from sepbench.baselines.lassnet.network_signal import to_spectrum
from sepbench.baselines.small.network_text import without_some_words
from sepbench.harness.api.training import TrainingBatch

# B batch, N samples, T frames, K bins, D condition

Tokens = Callable[[Sequence[str]], tuple[Tensor, Tensor]]


class LassTraining(nn.Module):
    """A network with its texts as tokens; a `Trainee`.

    Args:
        network: with its start values.
        tokens: texts to ids and mask, (B, L) each.
        word_dropout: share of the words that the text encoder does not get to see.
    """

    def __init__(self, network: LassNetwork, tokens: Tokens, *, word_dropout: float) -> None:
        super().__init__()
        self.network = network
        self._tokens = tokens
        self._word_dropout = word_dropout

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Mean absolute error of the target's magnitude."""
        condition = self._condition(batch)
        return magnitude_loss(self.network.UNet, batch.mixture, batch.target, condition)

    def estimates(self, batch: TrainingBatch) -> Tensor:
        """(B, N), with the mixture's phase."""
        return self.network.separate(batch.mixture, self._condition(batch))

    def _condition(self, batch: TrainingBatch) -> Tensor:
        ids, mask = (part.to(batch.mixture.device) for part in self._tokens(batch.texts))
        if self.training:
            ids = without_some_words(ids, self._word_dropout)
        condition: Tensor = self.network.text_embedder(ids, mask)
        return condition


def magnitude_loss(network: UNet, mixture: Tensor, target: Tensor, condition: Tensor) -> Tensor:
    """Mean absolute difference of magnitudes: the masked mixture's and the target's.

    Args:
        network: magnitudes and conditions to logits.
        mixture: (B, N).
        target: (B, N).
        condition: (B, D).
    """
    config: NetworkConfig = network.config
    length = mixture.shape[-1]
    magnitude, reference = (
        frames_seen(to_spectrum(signal, config.n_fft), length, config)
        for signal in (mixture, target)
    )  # (B, T, K)
    mask = torch.sigmoid(network(magnitude, condition).float())
    return (mask * magnitude - reference).abs().mean()


def published_state(network: LassNetwork) -> dict[str, Any]:
    """What LASSNet.pt holds: all tensors as of a data-parallel wrapper, position indexes too."""
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    positions = network.text_embedder.bert_layer.embeddings.position_ids
    state["module.text_embedder.bert_layer.embeddings.position_ids"] = positions
    return {"model": {name: value.detach().cpu().clone() for name, value in state.items()}}
