from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sepbench.harness.errors import EstimateError
from sepbench.harness.stages.signal import (
    OverlapAdd,
    channel_units,
    chunk_starts,
    resample,
    stack_key,
)

CUTS = st.integers(1, 400).flatmap(
    lambda size: st.tuples(st.integers(1, 1500), st.just(size), st.integers(0, size // 2))
)


@given(CUTS)
def test_chunks_have_one_size_and_cover_the_whole_signal(cut: tuple[int, int, int]) -> None:
    total, size, overlap = cut
    size = min(size, total)

    starts = chunk_starts(total, size, overlap)

    assert starts[0] == 0
    assert starts[-1] + size == total
    assert starts == sorted(set(starts))


@given(CUTS)
def test_neighbouring_chunks_share_at_least_the_overlap(cut: tuple[int, int, int]) -> None:
    total, size, overlap = cut
    size = min(size, total)

    starts = chunk_starts(total, size, overlap)

    shared = [before + size - after for before, after in pairwise(starts)]
    assert all(samples >= min(overlap, size) for samples in shared)


@given(CUTS)
def test_a_model_that_returns_its_input_gives_the_input_back(cut: tuple[int, int, int]) -> None:
    total, size, overlap = cut
    size = min(size, total)
    signal = torch.linspace(-1, 1, 2 * total).reshape(2, total)
    added = OverlapAdd(2, total, size, overlap, torch.device("cpu"))

    for start in chunk_starts(total, size, overlap):
        added.add(signal[:, start : start + size], start)

    torch.testing.assert_close(added.result(), signal, rtol=0, atol=1e-6)


def test_the_cross_fade_is_linear() -> None:
    added = OverlapAdd(1, 7, 5, 3, torch.device("cpu"))

    added.add(torch.zeros(1, 5), 0)
    added.add(torch.ones(1, 5), 2)

    expected = torch.tensor([[0, 0, 0.25, 0.5, 0.75, 1, 1]])
    torch.testing.assert_close(added.result(), expected)


@pytest.mark.parametrize("rates", [(16000, 32000), (44100, 32000), (8000, 44100)])
def test_there_and_back_keeps_the_level_of_a_tone(rates: tuple[int, int]) -> None:
    own, other = rates
    times = torch.arange(own) / own
    tone = 0.5 * torch.sin(2 * math.pi * 440 * times)[None]

    back = resample(resample(tone, own, other), other, own)

    middle = slice(own // 4, 3 * own // 4)
    torch.testing.assert_close(back[:, middle], tone[:, middle], rtol=0, atol=1e-3)
    assert abs(back.shape[1] - own) <= 1


def test_an_equal_rate_leaves_the_signal_itself() -> None:
    signal = torch.zeros(1, 10)

    assert resample(signal, 8000, 8000) is signal


@pytest.mark.parametrize(
    ("channels", "downmix", "shapes"),
    [
        (None, False, [(2, 4)]),
        (2, False, [(2, 4)]),
        (1, False, [(1, 4), (1, 4)]),
        (1, True, [(1, 4)]),
    ],
)
def test_a_stereo_signal_is_handed_over_as_the_model_takes_it(
    channels: int | None, downmix: bool, shapes: list[tuple[int, int]]
) -> None:
    units = channel_units(torch.ones(2, 4), channels, downmix=downmix)

    assert [tuple(unit.shape) for unit in units] == shapes


def test_a_mono_signal_is_repeated_for_a_stereo_model() -> None:
    (unit,) = channel_units(torch.arange(4.0)[None], 2, downmix=False)

    torch.testing.assert_close(unit, torch.arange(4.0).repeat(2, 1))


def test_three_channels_do_not_go_into_a_stereo_model() -> None:
    with pytest.raises(EstimateError, match="takes 2 channels; the mixture has 3"):
        channel_units(torch.ones(3, 4), 2, downmix=False)


def test_only_tensors_of_one_shape_and_type_are_stacked() -> None:
    assert stack_key(torch.zeros(3)) == stack_key(torch.ones(3))
    assert stack_key(torch.zeros(3)) != stack_key(torch.zeros(4))
    assert stack_key(torch.zeros(3)) != stack_key(torch.zeros(3, dtype=torch.float64))
    assert stack_key({"dictionary": torch.zeros(3)}) is None
