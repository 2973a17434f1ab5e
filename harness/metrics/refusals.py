"""The words in which a signal is refused, the same for every metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from sepbench.harness.api import Undefined, Value
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics.contract import as_value
from sepbench.harness.metrics.signals import Float64

Cause = Literal["reference", "estimate"]


def refuse_infinite(signal: Float64, cause: Cause) -> None:
    """Refuse NaN and infinite samples.

    Raises:
        UndefinedScoreError: there are some; `cause` says whose.
    """
    if not np.isfinite(signal).all():
        raise UndefinedScoreError(cause, f"the {cause} holds NaN or infinite samples")


def refuse_silence(signal: Float64, cause: Cause, but_for: str = "") -> None:
    """Refuse a signal whose samples are all 0, or not finite.

    Args:
        signal: any shape.
        cause: which of the two it is.
        but_for: what was taken away before, for the reason.

    Raises:
        UndefinedScoreError: it is.
    """
    refuse_infinite(signal, cause)
    if not signal.any():
        state = "mute" if cause == "estimate" else "silent"
        rest = f" but for {but_for}" if but_for else ""
        raise UndefinedScoreError(cause, f"the {cause} is {state}{rest}")


def value_of(compute: Callable[[], float]) -> Value:
    """What a computation gives, or why it gives nothing."""
    try:
        return as_value(compute())
    except UndefinedScoreError as error:
        return Undefined(cause=error.cause, reason=error.reason)
