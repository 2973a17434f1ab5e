"""Which device each separation process gets, found out without importing torch in the driver."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping


def lane_devices(
    device: str, lanes: int | None = None, *, gpus: int | None = None
) -> tuple[str, ...]:
    """One device name a separation process.

    Args:
        device: `auto`, `cpu`, `mps`, `cuda` (every GPU), `cuda:1`, or several: `cuda:0,1`,
            `cpu,cpu`.
        lanes: how many processes; None = one for each device named. More than there are devices
            share them in turn; fewer leave the last ones out.
        gpus: how many there are; None looks.
    """
    if device in ("auto", "cuda"):
        found = count_gpus() if gpus is None else gpus
        # With one GPU or none torch itself decides, which also knows whether it can use it.
        names = [f"{device}:{index}" for index in range(found)] if found > 1 else [device]
    else:
        names = []
        for part in device.split(","):
            names.append(f"cuda:{part}" if part.isdigit() else part)
    count = lanes or len(names)
    return tuple(names[index % len(names)] for index in range(count))


def on_cpu(device: str) -> bool:
    """Whether such a lane computes on the CPU; `auto` does where no GPU is seen."""
    return device == "cpu" or (device == "auto" and count_gpus() == 0)


def count_gpus(environment: Mapping[str, str] | None = None) -> int:
    """CUDA devices that a child process would see."""
    variables = os.environ if environment is None else environment
    visible = variables.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA stops counting at the first entry that is no device.
        names = [name.strip() for name in visible.split(",")]
        end = next((k for k, name in enumerate(names) if name in ("", "-1")), len(names))
        if end == 0:
            return 0
    if environment is None:
        program = shutil.which("nvidia-smi")
    else:
        program = shutil.which("nvidia-smi", path=environment.get("PATH", ""))
    if program is None:
        return 0
    try:
        done = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0  # a driver that does not answer; torch says so if it is asked for by name
    there = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    return there if visible is None else min(there, end)
