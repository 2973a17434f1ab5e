"""Audio to the device and back. The parts that need a GPU are marked and skipped without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sepbench.harness.stages.transfer import DOUBLE, Transfers

if TYPE_CHECKING:
    from torch import Tensor


@pytest.fixture
def cuda() -> object:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device("cuda")


def test_on_the_cpu_an_estimate_is_there_at_once() -> None:
    import torch

    transfers, arrived = Transfers(torch.device("cpu")), list[list[float]]()

    transfers.download(torch.ones(1, 3), lambda estimate: arrived.append(estimate.tolist()))

    assert arrived == [[[1.0, 1.0, 1.0]]]


def test_an_upload_on_the_cpu_copies_nothing() -> None:
    import torch

    samples = np.zeros((1, 4), dtype=np.float32)

    audio = Transfers(torch.device("cpu")).upload(samples)

    samples[0, 2] = 5
    assert audio[0, 2] == 5


def test_two_estimates_may_be_on_their_way_and_arrive_in_order() -> None:
    import torch

    transfers, arrived = Transfers(torch.device("cpu"), deferred=DOUBLE), list[float]()

    def note(estimate: Tensor) -> None:
        arrived.append(float(estimate))

    for number in range(4):
        transfers.download(torch.tensor(number), note)
    before = list(arrived)
    transfers.settle()

    assert before == [0, 1]
    assert arrived == [0, 1, 2, 3]


@pytest.mark.gpu
def test_audio_goes_to_a_gpu_and_back_unchanged(cuda: object) -> None:
    transfers = Transfers(cuda)
    samples = [np.full((2, 100_000), number, dtype=np.float32) for number in range(6)]
    arrived: list[float] = []

    for each in samples:
        estimate = transfers.upload(each) * 2
        transfers.download(estimate, lambda back: arrived.append(float(back.double().mean())))
    transfers.settle()

    assert arrived == [0, 2, 4, 6, 8, 10]


@pytest.mark.gpu
def test_what_is_uploaded_may_be_overwritten_at_once(cuda: object) -> None:
    transfers = Transfers(cuda)
    samples = np.ones((1, 1_000_000), dtype=np.float32)

    audio = transfers.upload(samples)
    samples[...] = 7
    transfers.synchronize()

    assert float(audio.mean()) == 1.0
