"""The estimates of museval's own regression test: uniform noise that anybody can draw again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.api import BaselineCard, Query

if TYPE_CHECKING:
    from torch import Tensor


class RandomStems:
    """Vocals are the generator's first draw, every other stem its second one."""

    card = BaselineCard(
        name="kit-museval",
        summary="uniform noise of seed 0, as museval's regression test draws it",
        query_kinds=("text",),
        channels=None,
        chunking="none",
    )

    def load(self, device: str) -> None:
        """Nothing to load."""

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """(C, N) -> (Q, C, N)."""
        import torch

        generator = np.random.RandomState(0)
        shape = tuple(mixture.shape[::-1])  # museval's arrays are (samples, channels)
        vocals, rest = (generator.random_sample(shape).T.astype(np.float32) for _ in range(2))
        return torch.from_numpy(
            np.stack([vocals if query.text == "vocals" else rest for query in queries])
        )
