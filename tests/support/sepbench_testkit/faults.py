"""Separators that fail in the ways of machines: too little memory, a leak, a crash in C code."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sepbench.harness.api import BaselineCard, Query
from sepbench_testkit.models import Half, Pointwise, SceneHalf

if TYPE_CHECKING:
    from torch import Tensor


class Logged(Half):
    """Half the mixture; one line for each load and each call, with the process that did it."""

    card = BaselineCard(name="kit-logged", query_kinds=("text", "label"))

    def load(self, device: str) -> None:
        super().load(device)
        self._note(f"load {os.getpid()}", 1)

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        time.sleep(self.seconds * len(mixture))
        self._note(f"separate {os.getpid()}", len(mixture))
        return mixture * condition[:, :, None]


class Gated(Half):
    """Half the mixture; after a few calls it waits until a file is there.

    Args:
        gate: the file.
        calls: that are answered before.
    """

    card = BaselineCard(name="kit-gated", query_kinds=("text",))

    def __init__(self, *, gate: str, calls: int = 2) -> None:
        super().__init__()
        self._gate, self._left = Path(gate), calls

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        self._left -= 1
        while self._left < 0 and not self._gate.exists():
            time.sleep(0.02)
        return mixture * condition[:, :, None]


class OneDevice(Logged):
    """Loads in the first process that asks, and in no other: as where one GPU is broken.

    Args:
        mark: a file that says that it is taken.
    """

    card = BaselineCard(name="kit-one-device", query_kinds=("text",))

    def __init__(self, *, mark: str, seconds: float = 0.0, log: str = "") -> None:
        super().__init__(seconds=seconds, log=log)
        self._mark = Path(mark)

    def load(self, device: str) -> None:
        try:
            self._mark.touch(exist_ok=False)
        except FileExistsError:
            raise RuntimeError("this device is broken") from None
        super().load(device)


def out_of_memory(kind: str) -> BaseException:
    """An error as torch, its allocator on the CPU, or Python raises it."""
    import torch

    if kind == "cuda":
        return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    if kind == "allocator":
        return RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 99999999999 bytes."
        )
    return MemoryError()


class Hungry(Pointwise):
    """Each sample by itself; runs out of memory where a call holds more samples than `most`."""

    card = BaselineCard(name="kit-hungry", query_kinds=("text",), min_samples=32)

    def __init__(self, *, most: int, kind: str = "cuda", log: str = "") -> None:
        super().__init__(log=log)
        self.most, self.kind = most, kind

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        if mixture.numel() > self.most:
            raise out_of_memory(self.kind)
        return super().separate(mixture, condition)


class HungryWhole(Hungry):
    """As Hungry, never cut."""

    card = BaselineCard(name="kit-hungry-whole", query_kinds=("text",), chunking="none")


class HungryScene(SceneHalf):
    """As Hungry, about a whole scene at once."""

    card = BaselineCard(name="kit-hungry-scene", query_kinds=("text",), joint=True)

    def __init__(self, *, most: int) -> None:
        self.most = most

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        if mixture.shape[-1] * len(queries) > self.most:
            raise out_of_memory("memory")
        return (3 * mixture).tanh().expand(len(queries), -1, -1)


class Leaky(Logged):
    """Half the mixture, and a few megabytes that are never given back."""

    card = BaselineCard(name="kit-leaky", query_kinds=("text",))

    def __init__(self, *, megabytes: int, log: str = "") -> None:
        super().__init__(log=log)
        self.megabytes = megabytes
        self._kept: list[bytearray] = []

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        self._kept.append(bytearray(self.megabytes << 20))
        self._kept[-1][::4096] = b"x" * len(self._kept[-1][::4096])  # touched, so resident
        return super().separate(mixture, condition)


class Segfault(Half):
    """Reads where nothing is, as broken C code does, for queries with the mark."""

    card = BaselineCard(name="kit-segfault", query_kinds=("text",))

    def condition(self, queries: Sequence[Query]) -> Sequence[Tensor]:
        import torch

        return [torch.tensor([-1.0 if "marked" in q.words else 0.5]) for q in queries]

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        if bool((condition < 0).any()):
            ctypes.string_at(0)
        return mixture * 0.5
