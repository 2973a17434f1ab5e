"""Whether torch should compile a model's networks: it takes a minute and has to pay."""

from __future__ import annotations

import os
import shutil
from typing import Literal

from sepbench.harness.errors import SettingError

ITEMS_THAT_PAY = 60
"""Compiling AudioSep on two CPU cores takes about as long as it saves on so many 10-s items
(`tests/bench/separators.py`)."""


def compiler() -> str | None:
    """The C++ compiler that torch would use on the CPU, None where there is none."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def should_compile(choice: Literal["auto", "on", "off"], items: int) -> bool:
    """Decide for one model.

    Args:
        choice: the setting `compile`.
        items: left to do with it in this run.

    Raises:
        SettingError: compile=on without a compiler.
    """
    if choice == "off" or (choice == "auto" and items < ITEMS_THAT_PAY):
        return False
    if compiler() is not None:
        return True
    if choice == "on":
        raise SettingError(
            "compile=on needs a C++ compiler (g++ or clang++, or the one that CXX names), and "
            "there is none. Install one, or use compile=auto."
        )
    return False
