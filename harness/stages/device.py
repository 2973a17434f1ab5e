"""Devices and precisions: chosen, checked, described; and what their memory says."""

from __future__ import annotations

import platform
import resource
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from sepbench.harness.errors import SettingError


def pick_device(name: str, precision: str) -> Any:
    """The torch device for a name, with matmul precision set.

    Args:
        name: torch's, or "auto": a GPU where there is one; "auto:1" the second of several.
        precision: float32, tf32, bf16 or fp16.

    Raises:
        SettingError: no such device here, or one that does not offer the precision.
    """
    import torch

    if name.startswith("auto"):
        name = name.replace("auto", "cuda") if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingError(f"device={name} is not a device: {error}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingError(f"device={name}: no CUDA device is available here. Use device=cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingError(f"device={name}: there are {torch.cuda.device_count()} CUDA devices.")
    if device.type == "cpu" and precision in ("tf32", "fp16"):
        raise SettingError(f"precision={precision} needs a CUDA device; the CPU has float32, bf16.")
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return device


def autocast(device: Any, precision: str) -> AbstractContextManager[Any]:
    """Context in which a model runs at the stated precision."""
    import torch

    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    if precision not in kinds:
        return nullcontext()
    return torch.autocast(device_type=device.type, dtype=kinds[precision])


def peak_memory(device: str) -> int:
    """Bytes: the device's peak on CUDA, else the peak resident size of this process."""
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None:
        return int(torch.cuda.max_memory_allocated(device))
    return peak_resident()


_MEMORY_WORDS = (
    "out of memory",  # CUDA, and what libraries on top of it say
    "CUBLAS_STATUS_ALLOC_FAILED",
    "can't allocate memory",  # torch's allocator on the CPU
    "not enough memory",
    "Cannot allocate memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the device or on the CPU."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (
        torch is not None and isinstance(error, torch.OutOfMemoryError)
    ):
        return True
    return isinstance(error, RuntimeError | OSError) and any(
        words in str(error) for words in _MEMORY_WORDS
    )


def release_memory() -> None:
    """Give back what a failed call left behind."""
    import gc

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def resident_bytes() -> int:
    """Bytes of memory this process has now; its peak where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return peak_resident()
    return pages * resource.getpagesize()


def peak_resident() -> int:
    """Bytes, the peak resident size of this process alone.

    Linux hands `ru_maxrss` down to children: one started by a large process would begin with its
    parent's peak. VmHWM begins anew.
    """
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def versions(device: Any) -> dict[str, str]:
    """What the estimates were made with."""
    import torch
    import torchaudio

    found = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # its own class would make the driver import torch
        "torchaudio": str(torchaudio.__version__),
    }
    if device.type == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(device), "cuda": str(torch.version.cuda)}
    return found
