"""AudioSep's network with filled weights and a fixed condition: its work without its text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sepbench.harness.api import BaselineCard, Query

if TYPE_CHECKING:
    from torch import Tensor

LAYOUT = Path(__file__).resolve().parents[2] / "golden" / "audiosep" / "state_dict.json"
RATE = 32_000


class AudioSepForward:
    """What takes AudioSep's time: the separation network, full size."""

    card = BaselineCard(
        name="kit-audiosep-forward", query_kinds=("text", "label"), sample_rate=RATE
    )

    def load(self, device: str) -> None:
        from sepbench.baselines.audiosep.separation import load_network
        from sepbench_testkit.filled import fill_state_dict

        self.network = load_network(fill_state_dict(LAYOUT, 1), device, what="filled weights")

    def condition(self, queries: Sequence[Query]) -> Sequence[Tensor]:
        import torch

        return [torch.full((512,), 1 / 512**0.5) for _ in queries]

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        from sepbench.baselines.audiosep.separation import separate_batch

        return separate_batch(
            self.network, mixture, condition, chunking="harness", baseline=self.card.name
        )
