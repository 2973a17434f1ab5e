"""Whether torch should compile a model's networks: it takes a minute and has to pay."""

from __future__ import annotations

import os
import shutil
from typing import Literal

from sepbench.harness.errors import SettingError

ITEMS_THAT_PAY = 60
"""On a GPU; a guess, until one has been measured. On the CPU compiling gained nothing when it was
tried: the networks are prepared by hand, and what is left is convolutions. To see it:
`python tests/bench/separators.py --compile`."""


def compiler() -> str | None:
    """The C++ compiler that torch would use on the CPU, None where there is none."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def should_compile(choice: Literal["auto", "on", "off"], items: int, device: str) -> bool:
    """Decide for one model.

    Args:
        choice: the setting `compile`.
        items: left to do with it in this run.
        device: as it was asked for.

    Raises:
        SettingError: compile=on without a compiler.
    """
    if choice == "on" and compiler() is None:
        raise SettingError(
            "compile=on needs a C++ compiler (g++ or clang++, or the one that CXX names), and "
            "there is none. Install one, or use compile=auto."
        )
    if choice != "auto":
        return choice == "on"
    return items >= ITEMS_THAT_PAY and compiler() is not None and _is_cuda(device)


def _is_cuda(device: str) -> bool:
    """Whether the model will run on a GPU; torch, which knows, is not imported in the driver."""
    if device != "auto":
        return device.startswith("cuda")
    return shutil.which("nvidia-smi") is not None
