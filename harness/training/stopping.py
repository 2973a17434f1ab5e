"""Ctrl-C in a training: the step is finished and kept, then it ends. A second one ends it at once.

SIGTERM, which clusters send before they take a machine back, does the same.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping(Callback):
    """Hears the signals while a training runs; a context that gives them back to who had them.

    Attributes:
        asked: whether one has come.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stopping:
        """Remember who hears them."""
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            self._before = {each: signal.getsignal(each) for each in SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        """Give them back; Lightning leaves Ctrl-C without effect where it has caught one."""
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen from here on: Lightning has put its own handlers in place by now.

        Not with several processes: each would keep its weights at another step.
        """
        if trainer.world_size == 1:
            for each in self._before:
                signal.signal(each, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
