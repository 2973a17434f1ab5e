"""The lower bound: what a score is when nothing is separated.

Every improvement (SDRi, SI-SDRi) is measured against this row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sepbench.harness.api import BaselineCard, Query

if TYPE_CHECKING:
    from torch import Tensor

# C channels, N samples, Q queries


class Mixture:
    """The mixture itself as the answer to every query."""

    card = BaselineCard(
        name="mixture",
        summary="the unprocessed mixture, whatever is asked for",
        channels=None,
        chunking="none",
        role="lower",
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
        """The mixture, once per query.

        Args:
            mixture: (C, N) at any rate.
            queries: Q queries; only their number matters.
            references: not used.
            seeds: not used.

        Returns:
            (Q, C, N), equal to the mixture sample by sample.
        """
        return mixture.unsqueeze(0).repeat(len(queries), 1, 1)  # (Q, C, N)
