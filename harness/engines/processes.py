"""One child process: started with `spawn`, spoken to through its own pipe, killed when it hangs.

Each child has a pipe of its own, so that one that dies takes no lock or queue with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from typing import Any

from sepbench.harness.engines.children import ASKS_TO_STOP, Answer, Message

# How often one is started that is killed before it has loaded: memory may have been short.
STARTS = 3
# For the writer to notice that the child is gone, or to write what is left.
SECONDS_TO_WRITE = 1.0
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


class Child:
    """A running child.

    Args:
        name: for process lists and messages.
        main: module-level function that serves the connection.
        arguments: further arguments of `main`.
        threads: BLAS and OpenMP threads.

    Attributes:
        deadline: when the current work has taken too long; None while there is none.
        was_killed: by a signal that was not ours; known once `kill` was called.
    """

    def __init__(
        self, name: str, main: Callable[..., None], arguments: tuple[Any, ...], threads: int
    ) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.name = name
        self.connection: Connection = ours
        self.deadline: float | None = None
        self.was_killed = False
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._process = context.Process(target=main, args=(theirs, *arguments), name=name)
        with _environment(threads), _held_back():
            self._process.start()
        theirs.close()

    @property
    def sentinel(self) -> int:
        """Becomes ready when the process ends."""
        return self._process.sentinel

    def expect(self, seconds: float) -> None:
        """An answer is to come within this time."""
        self.deadline = time.monotonic() + seconds

    def send(self, message: Message, seconds: float | None) -> None:
        """Hand over work, without waiting for the child to take it; its sentinel tells its death.

        A pipe holds about 180 KB: what comes on top waits in a thread, and not the driver.

        Args:
            message: the work.
            seconds: that it may take; None where it waits for other work to be done first.
        """
        if seconds is not None:
            self.expect(seconds)
        self._outbox.put(bytes(ForkingPickler.dumps(message)))
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="send", daemon=True)
            self._writer.start()

    def _write(self) -> None:
        while (message := self._outbox.get()) is not None:
            try:
                self.connection.send_bytes(message)
            except (OSError, TypeError):  # it died, or was hung up on; a closed handle is None
                return

    def _close(self) -> None:
        """Close the pipe, which nobody may be writing to any more: the number is used again."""
        self._outbox.put(None)
        if self._writer is not None and self._writer is not threading.current_thread():
            self._writer.join(SECONDS_TO_WRITE)
        self.connection.close()

    def receive(self) -> Answer | None:
        """The answer that is waiting; None when the child died instead."""
        try:
            answer: Answer = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.deadline = None
        return answer

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return self._process.is_alive()

    @property
    def pipe(self) -> Connection | None:
        """What becomes readable with an answer; None once hung up."""
        return None if self.connection.closed else self.connection

    def hang_up(self, seconds: float) -> None:
        """Let it end by itself within this time, without waiting for it."""
        self._close()
        self.expect(seconds)

    @property
    def overdue(self) -> bool:
        """Whether the current work has taken longer than it may."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def kill(self, *, dying: bool = False) -> str:
        """End it at once; returns how it ended, in words.

        Args:
            dying: its pipe or sentinel says that it is ending; it gets a moment to, because the
                pipe closes before the exit code is known.
        """
        if dying:
            self._process.join(timeout=1)
        ended_by_itself = not self._process.is_alive()
        self._process.kill()
        self._process.join()
        self._close()
        code = self._process.exitcode or 0
        if not ended_by_itself:
            return "was stopped"
        if code < 0:
            self.was_killed = True
            hint = " (often: out of memory)" if code == -9 else ""
            return f"was killed by signal {-code}{hint}"
        return f"ended with exit code {code}"

    def close(self) -> None:
        """Hang up and let it end; kill it if it does not."""
        self._close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals to stop wait: in the driver for the moment, in what it starts until that is deaf.

    The mask is inherited, so that not even an interpreter that has just begun dies of one.
    """
    resource_tracker.ensure_running()  # it would lift the mask where it had to be started first
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKS_TO_STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Thread counts reach BLAS only through variables set before the child's imports."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
