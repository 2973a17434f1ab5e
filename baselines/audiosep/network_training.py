"""AudioSep in training: a frozen query encoder, the separator by the error of the waveform.

Differences from the original: whether a text or a sound is asked with is drawn for each example,
not for a batch; an example's mixture does not depend on who else is in its batch (`harness`'s
mixing); cuts in which nothing sounds are drawn anew.

Source: Liu et al., arXiv 2308.05037; code revision 944583f.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from sepbench.baselines.audiosep.network import ResUNet30
from sepbench.baselines.encoders.batches import unit_length
from sepbench.baselines.encoders.network_dft import dft_matrices
from sepbench.harness.api.training import TrainingBatch

# B batch, N samples, D condition

MOST_TEXTS = 100_000  # remembered: they are frozen, and come again


class FrozenEncoder(Protocol):
    """Queries to directions; moves itself to the device it is asked for."""

    def read(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """(B, D)."""
        ...

    def hear(self, sounds: Tensor) -> Tensor:
        """(B, N) at the separator's rate to (B, D), on the sounds' device."""
        ...


class AudioSepTraining(nn.Module):
    """The separator with its frozen encoder, which is no part of its state; a `Trainee`.

    Args:
        network: with its start values.
        encoder: of the queries.
        text_ratio: share of examples that are asked with their text.
        vector_ratio: of the others, the share that is asked with the embedding from a file.
    """

    def __init__(
        self,
        network: ResUNet30,
        encoder: FrozenEncoder,
        *,
        text_ratio: float,
        vector_ratio: float,
    ) -> None:
        super().__init__()
        self.network = network
        self._encoder = encoder
        self._text_ratio = text_ratio
        self._vector_ratio = vector_ratio
        self._texts: OrderedDict[str, Tensor] = OrderedDict()

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Mean absolute error of the waveform."""
        draws = torch.rand(2, len(batch.texts))
        texts = draws[0] < self._text_ratio
        vectors = ~texts & (draws[1] < self._vector_ratio)
        estimate = self.network(batch.mixture[:, None], self._condition(batch, texts, vectors))
        error: Tensor = estimate[:, 0] - batch.target
        return error.abs().mean()

    def estimates(self, batch: TrainingBatch) -> Tensor:
        """(B, N), asked with the texts where the training asks with any, else as the training."""
        every = torch.ones(len(batch.texts), dtype=torch.bool)
        texts = every if self._text_ratio else ~every
        vectors = ~texts & (every if self._vector_ratio else ~every)
        condition = self._condition(batch, texts, vectors)
        estimate: Tensor = self.network(batch.mixture[:, None], condition)[:, 0]
        return estimate

    def _condition(self, batch: TrainingBatch, texts: Tensor, vectors: Tensor) -> Tensor:
        """(B, D) of length 1: of texts, of vectors from the file, and of sounds else."""
        device = batch.mixture.device
        condition = torch.empty(len(batch.texts), self.network.config.condition, device=device)
        sounds = ~texts & ~vectors
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            if texts.any():
                asked = [batch.texts[row] for row in texts.nonzero()[:, 0].tolist()]
                condition[texts.to(device)] = self._read(asked, device)
            if vectors.any():
                chosen = vectors.to(device)
                condition[chosen] = unit_length(batch.vectors[chosen])
            if sounds.any():
                chosen = sounds.to(device)
                condition[chosen] = unit_length(self._encoder.hear(batch.sound[chosen]))
        return condition

    def _read(self, texts: Sequence[str], device: torch.device) -> Tensor:
        new = list(dict.fromkeys(text for text in texts if text not in self._texts))
        if new:
            self._texts.update(zip(new, unit_length(self._encoder.read(new, device)), strict=True))
        found = torch.stack([self._texts[text].to(device) for text in texts])
        while len(self._texts) > MOST_TEXTS:
            self._texts.popitem(last=False)
        return found


def published_state(network: ResUNet30, encoder: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What AudioSep's checkpoint holds under "state_dict".

    The original's STFT is a convolution with matrices that its file holds; they are written too,
    so that its own loader finds all that it looks for.

    Args:
        network: of the published sizes.
        encoder: CLAP under LAION's names; empty for a separator alone.
    """
    state = {f"ss_model.{name}": value for name, value in network.state_dict().items()}
    fixed = dft_matrices(network.config.n_fft)
    state |= {f"ss_model.base.{name}": value for name, value in fixed.items()}
    state |= {f"query_encoder.model.{name}": value for name, value in encoder.items()}
    return {name: value.detach().cpu().clone() for name, value in state.items()}
