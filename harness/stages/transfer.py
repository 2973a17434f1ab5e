"""Audio to a device and back without making it wait.

On CUDA both ways go through page-locked memory on a stream of their own, beside the computation:
the next mixture comes while this one is separated, and an estimate leaves while the next is made.
On the CPU there is nothing to copy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sepbench.harness.api import Samples

if TYPE_CHECKING:
    from torch import Tensor

# Estimates on their way back at once: one that is copied and one that is written out.
DOUBLE = 2


class Transfers:
    """Copies between this process's memory and a device.

    Args:
        device: torch's.
        deferred: how many estimates may be on their way back; None = two on CUDA, none elsewhere.
    """

    def __init__(self, device: Any, *, deferred: int | None = None) -> None:
        import torch

        self._device = device
        self._cuda = device.type == "cuda"
        self._stream: Any = None
        if self._cuda:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch's own
        self._deferred = (DOUBLE if self._cuda else 0) if deferred is None else deferred
        self._leaving: deque[tuple[Tensor, Any, Callable[[Tensor], None]]] = deque()

    def upload(self, samples: Samples) -> Tensor:
        """(C, N) float32 on the device; later work there waits for the copy by itself."""
        import torch

        audio = torch.from_numpy(samples)
        if self._stream is None:
            return audio.to(self._device)
        with torch.cuda.stream(self._stream):
            there = audio.pin_memory().to(self._device, non_blocking=True)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        there.record_stream(current)
        return there

    def download(self, estimate: Tensor, write: Callable[[Tensor], None]) -> None:
        """Bring an estimate back; `write` gets it on the CPU, at the latest in `settle`."""
        import torch

        if self._stream is None:
            self._leaving.append((estimate.cpu(), None, write))
        else:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._stream):
                here = torch.empty(estimate.shape, dtype=estimate.dtype, pin_memory=True)
                here.copy_(estimate, non_blocking=True)
                arrived = torch.cuda.Event()  # type: ignore[no-untyped-call] # torch's own
                arrived.record(self._stream)
            estimate.record_stream(self._stream)
            self._leaving.append((here, arrived, write))
        while len(self._leaving) > self._deferred:
            self._arrive()

    def settle(self) -> None:
        """Wait for all that is on its way back."""
        while self._leaving:
            self._arrive()

    def _arrive(self) -> None:
        here, arrived, write = self._leaving.popleft()
        if arrived is not None:
            arrived.synchronize()
        write(here)

    def synchronize(self) -> None:
        """Wait until the device has done what was asked of it: times are measured then."""
        if self._cuda:
            import torch

            torch.cuda.current_stream(self._device).synchronize()
