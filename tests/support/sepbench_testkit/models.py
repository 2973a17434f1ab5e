"""Separators whose answers are known by hand, and one that misbehaves on request."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.harness.api import BaselineCard, Query
from sepbench.harness.errors import BaselineLoadError

if TYPE_CHECKING:
    from torch import Tensor


class Half:
    """Returns half the mixture for any query: SDR is known in closed form."""

    card = BaselineCard(
        name="kit-half", summary="half the mixture", query_kinds=("text", "label", "audio")
    )

    def __init__(self, *, gain: float = 0.5, seconds: float = 0.0) -> None:
        self.gain, self.seconds = gain, seconds

    def load(self, device: str) -> None:
        self.device = device

    def condition(self, queries: Sequence[Query]) -> Sequence[Tensor]:
        import torch

        return [torch.tensor([self.gain]) for _ in queries]

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        time.sleep(self.seconds * len(mixture))
        return mixture * condition[:, :, None]


class Tone(Half):
    """As Half, at a fixed rate of its own: what it returns has been resampled twice."""

    card = BaselineCard(
        name="kit-tone", query_kinds=("text", "label"), sample_rate=8000, min_samples=64
    )


class SceneHalf:
    """Half the mixture, all queries of a scene at once."""

    card = BaselineCard(name="kit-scene", query_kinds=("text",), channels=None, joint=True)

    def load(self, device: str) -> None:
        self.device = device

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        return mixture.expand(len(queries), -1, -1) * 0.5


class Faulty(Half):
    """Half the mixture, except where the query's text names a misdeed.

    `once` names a folder in which a file is left after the first misdeed: later ones are good.
    """

    card = BaselineCard(name="kit-faulty", query_kinds=("text",))

    def __init__(self, *, how: str = "raise", on: str = "dog", once: str = "") -> None:
        super().__init__()
        self.how, self.on, self.once = how, on, once

    def condition(self, queries: Sequence[Query]) -> Sequence[Any]:
        import torch

        if self.how == "condition" and any(self._bad(q) for q in queries):
            raise RuntimeError("no condition for this query")
        return [torch.tensor([-1.0 if self._bad(query) else self.gain]) for query in queries]

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        import torch

        bad = condition[:, 0] < 0
        if not bool(bad.any()) or not self._armed():
            return mixture * 0.5
        if self.how == "raise":
            raise RuntimeError("the network is on strike")
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "exit":
            os._exit(3)
        if self.how == "hang":
            time.sleep(3600)
        if self.how == "print":
            print("a model that talks to stdout")  # noqa: T201
            return mixture * 0.5
        if self.how == "shape":
            return mixture[:, :, :-1]
        if self.how == "type":
            return mixture.numpy()  # type: ignore[return-value]
        fill = {"nan": float("nan"), "mute": 0.0}[self.how]
        return torch.where(bad[:, None, None], torch.full_like(mixture, fill), mixture * 0.5)

    def _bad(self, query: Query) -> bool:
        return self.on in (query.text or "")

    def _armed(self) -> bool:
        if not self.once:
            return True
        mark = Path(self.once) / "done"
        if mark.exists():
            return False
        mark.touch()
        return True


class Unloadable(Half):
    """Its weights are missing."""

    card = BaselineCard(name="kit-unloadable", query_kinds=("text",))

    def load(self, device: str) -> None:
        raise BaselineLoadError("weights.pt is missing; fetch it with the recipe in the card")
