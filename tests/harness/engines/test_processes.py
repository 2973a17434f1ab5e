"""One child process: what the driver may send it, and what it is deaf to."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from sepbench.harness.engines.children import Ready, Scored, ScoreMessage, scoring_main
from sepbench.harness.engines.processes import Child

LARGE = 1 << 20  # many times what a pipe holds


@pytest.fixture
def scorer() -> Iterator[Child]:
    child = Child("sepbench-score", scoring_main, (), 1)
    yield child
    child.kill()


class Nothing:
    """No scenes, in a message of so many bytes."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return re.findall, ("y", "x" * self._nbytes)  # an empty list, where it arrives


def message(nbytes: int) -> ScoreMessage:
    return ScoreMessage(Nothing(nbytes))  # type: ignore[arg-type] # no scenes


def test_the_driver_does_not_wait_for_a_child_that_is_busy(scorer: Child) -> None:
    assert isinstance(scorer.receive(), Ready)
    assert scorer.pid is not None
    os.kill(scorer.pid, signal.SIGSTOP)

    driver = threading.Thread(target=lambda: [scorer.send(message(LARGE), 60) for _ in range(3)])
    driver.start()
    driver.join(5)
    waits = driver.is_alive()
    os.kill(scorer.pid, signal.SIGCONT)
    answers = [scorer.receive() for _ in range(3)]

    assert not waits
    assert all(isinstance(answer, Scored) for answer in answers)


def test_a_child_that_dies_with_a_message_on_its_way_holds_up_nothing(scorer: Child) -> None:
    assert isinstance(scorer.receive(), Ready)
    assert scorer.pid is not None
    os.kill(scorer.pid, signal.SIGSTOP)
    scorer.send(message(LARGE), 60)
    os.kill(scorer.pid, signal.SIGKILL)
    began = time.monotonic()

    how = scorer.kill(dying=True)

    assert "killed by signal 9" in how
    assert scorer.was_killed
    assert time.monotonic() - began < 5


def test_requests_to_stop_are_for_the_driver_from_the_first_moment(scorer: Child) -> None:
    assert scorer.pid is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(scorer.pid, number)  # the interpreter has hardly begun

    answer = scorer.receive()
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(scorer.pid, number)
    scorer.send(ScoreMessage(()), 60)

    assert isinstance(answer, Ready)
    assert isinstance(scorer.receive(), Scored)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
