"""Devices and precisions: chosen, checked, described."""

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

    Raises:
        SettingError: no such device here, or one that does not offer the precision.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
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
