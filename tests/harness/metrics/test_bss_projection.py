"""Correlations, Gram matrices and systems, against the delayed copies written out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sepbench.harness.metrics import bss_projection
from sepbench.harness.metrics.bss_projection import (
    System,
    cholesky,
    correlations,
    gram,
    read,
    unexplained,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def copies(signals: torch.Tensor, taps: int) -> torch.Tensor:
    """All delayed copies, (P·L, N + L − 1), the slow way."""
    padded = torch.nn.functional.pad(signals, (0, taps - 1))
    return torch.stack([torch.roll(x, k) for x in padded for k in range(taps)])


@given(
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 700),
    st.sampled_from([1, 2, 7, 16]),
    st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_block_correlations_are_those_of_delayed_copies(channels, others, samples, taps, seed):
    signals = noise(channels + others, samples, seed=seed)
    references, rest = signals[:channels], signals[channels:]
    with pytest.MonkeyPatch.context() as patch:  # many blocks, and many steps of them
        patch.setattr(bss_projection, "FFT_LENGTH", 64)
        patch.setattr(bss_projection, "CHUNK", {"cpu": 1000, "cuda": 1000})
        lags = correlations([references], [rest] if others else [], taps)

    delayed = copies(references, taps)
    padded = torch.nn.functional.pad(signals, (0, taps - 1))
    expected = (delayed @ padded.T).view(channels, taps, -1).transpose(1, 2)
    torch.testing.assert_close(lags, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(gram(lags[:, :channels]), delayed @ delayed.T, atol=1e-10, rtol=0)


def test_correlations_do_not_depend_on_how_channels_are_grouped_into_signals():
    signals = noise(4, 3000)

    one = correlations([signals[:2]], [signals[2:]], 32)
    many = correlations([signals[:1], signals[1:2]], [signals[2:3], signals[3:]], 32)

    assert torch.equal(one, many)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16])
def test_samples_outside_the_signal_are_read_as_zero(dtype):
    signal = torch.arange(1, 7).view(2, 3).to(dtype)

    found = read([signal], -2, 4)

    assert found.dtype == torch.float64
    assert found.tolist() == [[0, 0, 1, 2, 3, 0], [0, 0, 4, 5, 6, 0]]


def test_a_part_of_a_system_solves_like_that_part_alone():
    delayed = copies(noise(3, 400), 16)
    system, right = System.of(delayed @ delayed.T), noise(16, 2)

    for rows in (slice(0, 16), slice(16, 32)):
        alone = torch.linalg.solve(system.matrix[rows, rows], right)
        torch.testing.assert_close(system.part(rows).solve(right), alone)


@pytest.mark.parametrize("rows", [1, 48, 512])
def test_a_factor_belongs_to_its_matrix_and_leaves_it_as_it_was(rows):
    delayed = noise(rows, 2 * rows)
    matrix = delayed @ delayed.T
    before = matrix.clone()

    factor = cholesky(matrix)

    torch.testing.assert_close((factor @ factor.T)[:rows, :rows], before)
    assert torch.equal(matrix, before)


def test_a_matrix_that_is_not_positive_definite_is_solved_by_elimination():
    matrix = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    system = System.of(matrix)

    assert system.factor is None
    assert (matrix @ system.solve(torch.ones(2, 1).double())).flatten().tolist() == [1.0, 1.0]
    assert System.of(system.matrix).part(slice(0, 1)).solve(torch.ones(1, 1).double()).item() == 1.0


def test_a_consistent_singular_system_is_solved_too():
    delayed = copies(noise(1, 400), 16).repeat(2, 1)  # every copy twice
    right = delayed @ noise(1, 415, seed=1).T
    system = System.of(delayed @ delayed.T)

    torch.testing.assert_close(system.matrix @ system.solve(right), right, atol=1e-8, rtol=1e-8)


def test_a_matrix_of_zeros_gives_nan():
    system = System.of(torch.zeros(3, 3, dtype=torch.float64))

    assert system.solve(torch.ones(3, 1).double()).isnan().all()


def test_what_filters_leave_of_a_signal_is_the_energy_of_the_difference():
    delayed, signal = copies(noise(2, 200), 8), noise(207, seed=1)
    system, right = System.of(delayed @ delayed.T), (delayed @ signal)[:, None]
    filters = system.solve(right)

    left = unexplained(system.matrix, right, (signal @ signal)[None], filters)

    expected = (signal - filters[:, 0] @ delayed).square().sum()
    assert left.item() == pytest.approx(expected.item(), rel=1e-12)
