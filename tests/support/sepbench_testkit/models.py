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

    def __init__(self, *, gain: float = 0.5, seconds: float = 0.0, log: str = "") -> None:
        self.gain, self.seconds, self.log = gain, seconds, log

    def load(self, device: str) -> None:
        self.device = device

    def condition(self, queries: Sequence[Query]) -> Sequence[Tensor]:
        import torch

        self._note("condition", len(queries))
        return [torch.tensor([self.gain]) for _ in queries]

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        time.sleep(self.seconds * len(mixture))
        self._note("separate", len(mixture))
        return mixture * condition[:, :, None]

    def _note(self, call: str, count: int) -> None:
        """A line an item in the file `log`: what the harness asked this model to do."""
        if self.log:
            with Path(self.log).open("a", encoding="utf-8") as file:
                file.write(f"{call}\n" * count)


class Tone(Half):
    """As Half, at a fixed rate of its own: what it returns has been resampled twice."""

    card = BaselineCard(
        name="kit-tone", query_kinds=("text", "label"), sample_rate=8000, min_samples=64
    )


class Network(Half):
    """A convolution of three taps, 6 operations a sample: [0, gain, 0], so half the mixture."""

    card = BaselineCard(name="kit-network", query_kinds=("text",), sample_rate=8000)

    def load(self, device: str) -> None:
        import torch

        self.network = torch.nn.Conv1d(1, 1, 3, padding=1, bias=False, device=device)
        with torch.no_grad():
            self.network.weight.copy_(torch.tensor([[[0.0, self.gain, 0.0]]]))

    def compile_network(self) -> None:
        """What the harness calls when compiling pays; a line in the log instead of a minute."""
        self._note("compile", 1)

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        self._note("separate", len(mixture))
        return self.network(mixture)


class Fickle(Half):
    """Half the mixture, times what a file says: estimates that change under one identity."""

    card = BaselineCard(name="kit-fickle", query_kinds=("text",))

    def __init__(self, *, file: str, log: str = "") -> None:
        super().__init__(log=log)
        self.file = file

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        import torch

        gain = float(Path(self.file).read_text("utf-8"))
        noise = torch.linspace(0, 1, mixture.shape[-1])
        return super().separate(mixture, condition) + gain * noise


class Seeded(Half):
    """Noise beside half the mixture, made from the item's seed alone."""

    card = BaselineCard(name="kit-seeded", query_kinds=("text",), generative=True)

    def separate(  # type: ignore[override]
        self, mixture: Tensor, condition: Tensor, *, seeds: Sequence[int]
    ) -> Tensor:
        import torch

        time.sleep(self.seconds * len(mixture))
        noise = [
            0.1 * torch.randn(mixture.shape[1:], generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
        return mixture * condition[:, :, None] + torch.stack(noise)


class Stereo(Half):
    """Takes two channels and returns them; says so when it gets others."""

    card = BaselineCard(name="kit-stereo", query_kinds=("text",), channels=2)

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        if mixture.shape[1] != 2:
            raise RuntimeError(f"{mixture.shape[1]} channels")
        return mixture


class Pointwise(Half):
    """Each sample by itself, and not linear: chunks and their cross-fade must not show."""

    card = BaselineCard(name="kit-pointwise", query_kinds=("text",), min_samples=32)

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        if mixture.shape[-1] < 32:
            raise RuntimeError("too short")
        self._note(f"separate {mixture.shape[-1]}", len(mixture))
        return (3 * mixture).tanh()


class Whole(Pointwise):
    """As Pointwise, never cut."""

    card = BaselineCard(name="kit-whole", query_kinds=("text",), chunking="none", min_samples=32)


class Odd(Half):
    """Its conditions are no tensors, so that nothing can be stacked."""

    card = BaselineCard(name="kit-odd", query_kinds=("text", "audio"))

    def condition(self, queries: Sequence[Query]) -> Sequence[Any]:
        return [{"words": query.words, "examples": query.examples} for query in queries]

    def separate(self, mixture: Tensor, condition: Any) -> Tensor:
        if len(mixture) != 1:
            raise RuntimeError("one at a time")
        return mixture * len(condition["words"])


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


class Vandal(SceneHalf):
    """Empties what it is handed, as code that works in place does; returns its references."""

    card = BaselineCard(
        name="kit-vandal", query_kinds=("text",), channels=None, needs_references=True
    )

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        assert references is not None
        answer = references.clone()
        mixture.zero_()
        references.zero_()
        return answer


class ScenePointwise(SceneHalf):
    """A scene separator of the default card: one channel, cut by the harness."""

    card = BaselineCard(name="kit-scene-pointwise", query_kinds=("text",), min_samples=32)

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        if mixture.shape[0] != 1 or mixture.shape[1] > 1000:
            raise RuntimeError(f"shape {tuple(mixture.shape)}")
        if any("marked" in (query.text or "") for query in queries):
            raise RuntimeError("the scene is on strike")
        return (3 * mixture).tanh().expand(len(queries), -1, -1)


class Partner(SceneHalf):
    """Joint: each estimate is the mixture over the number of queries; "marked" ones are NaN.

    `mended` names a file: where it exists, nothing is NaN any more.
    """

    card = BaselineCard(name="kit-partner", query_kinds=("text",), channels=None, joint=True)

    def __init__(self, *, mended: str = "") -> None:
        self.mended = mended

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        import torch

        answers = mixture.expand(len(queries), -1, -1) / len(queries)
        if Path(self.mended).is_file():
            return answers
        bad = torch.tensor(["marked" in (query.text or "") for query in queries])
        return torch.where(bad[:, None, None], torch.full_like(answers, float("nan")), answers)


class Faulty(Half):
    """Half the mixture, except where the query's text names a misdeed.

    `once` names a folder in which a file is left after the first misdeed: later ones are good.
    """

    card = BaselineCard(name="kit-faulty", query_kinds=("text",))

    def __init__(self, *, how: str = "raise", on: str = "dog", once: str = "") -> None:
        super().__init__()
        self.how, self.on, self.once = how, on, once

    def load(self, device: str) -> None:
        super().load(device)
        if self.how == "load-exit":
            os._exit(4)
        if self.how == "load-hang":
            time.sleep(3600)

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


class OnlyLoads:
    """Has a card and loads, and can do nothing else."""

    card = BaselineCard(name="kit-only-loads")

    def load(self, device: str) -> None:
        """Nothing to load."""
