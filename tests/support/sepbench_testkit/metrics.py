"""Metrics of known values, and ones that misbehave on scenes that carry the mark."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sepbench.harness.api import MetricCard, Samples
from sepbench_testkit.data import MARK

# Names a file: made at the first misdeed of `kit_kill`; there is no second one.
ONCE = "SEPBENCH_TESTKIT_ONCE"


def kit_gain(reference: Samples, estimate: Samples) -> float:
    """Level of the estimate over that of the reference, in dB."""
    return float(10 * np.log10(np.sum(estimate**2.0) / np.sum(reference**2.0)))


def _misdeed(name: str, act: Callable[[], None]) -> Callable[[Samples, Samples], float]:
    def metric(reference: Samples, estimate: Samples) -> float:
        if float(reference[0, 0]) == MARK:
            act()
        return 1.0

    metric.card = MetricCard(metric_id=name, version=1, title=name)  # type: ignore[attr-defined]
    return metric


def _kill() -> None:
    once = os.environ.get(ONCE)
    if once is not None:
        if Path(once).exists():
            return
        Path(once).touch()
    os.kill(os.getpid(), signal.SIGKILL)


def _raise() -> None:
    raise ValueError("this metric cannot count")


kit_gain.card = MetricCard(metric_id="kit_gain", version=1, title="Gain")  # type: ignore[attr-defined]
kit_kill = _misdeed("kit_kill", _kill)
kit_hang = _misdeed("kit_hang", lambda: time.sleep(3600))
kit_raise = _misdeed("kit_raise", _raise)
