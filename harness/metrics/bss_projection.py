"""Projections on delayed copies of signals: correlations, Gram matrix, filters.

BSS Eval asks how much of an estimate L = 512 delayed copies of each reference explain. With X the
matrix whose columns are these copies, the least-squares filters are c = (XᵀX)⁻¹ Xᵀŝ, so all that
is needed of signals of any length are their correlations at 512 lags:

    r[p, q, k] = Σ_n x_p[n − k] · y_q[n],   0 ≤ k < L

Blocks. A lag is at most L − 1, so the FFTs need not be as long as the signals. Cut y into blocks
of B samples and give each block the stretch of x that its lags reach, the same B samples and
L − 1 before them. With F = B + L − 1 points, the products of their spectra are exact at the L
lags wanted, and the sum over blocks is taken before the one inverse FFT. Signals are read block
by block, in whatever type they come: memory does not grow with their length.

Gram matrix. Copies k of x_p and l of x_q meet at r[p, q, k − l], or r[q, p, l − k] where l > k:
P² Toeplitz blocks. It is shared by all estimates and factored once (Cholesky, n³/3).

Dimensions: P reference channels, Q other channels, R right-hand sides, N samples, L taps, F FFT
length, B = F − L + 1 new samples a block, T blocks, K = F/2 + 1 frequencies.

Source: Vincent, Gribonval, Févotte, IEEE TASLP 2006; Scheibler, ICASSP 2022 (filters from
correlations); the blocks are those of overlap-save convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

FFT_LENGTH = 4096
"""Longest FFT (points): the fastest of 1024…65536 on CPU, and it costs 14 % for its overlap."""

CHUNK = {"cpu": 2**19, "cuda": 2**25}
"""Samples transformed at once. On CPU more than this leaves the cache (4 times as many took half as
long again), and less makes products of few blocks, which cost more yet."""

PADDING = 8
"""Rows that part a matrix from a multiple of 512 while Cholesky factors it on CPU. Without them the
entries of a column share a few sets of the cache: 1024 rows took 17 ms instead of 11."""


def read(signals: Sequence[Tensor], start: int, stop: int) -> Tensor:
    """Samples start…stop of signals (C, N) each, channels laid end to end.

    Returns:
        (P, stop − start) float64; zeros before the first sample and after the last.
    """
    num_samples = signals[0].shape[-1]
    low, high = max(start, 0), max(min(stop, num_samples), max(start, 0))
    found = torch.cat([signal[:, low:high] for signal in signals]).to(torch.float64)
    if (low, high) == (start, stop):
        return found
    return torch.nn.functional.pad(found, (low - start, stop - high))


def fft_length(num_samples: int, taps: int) -> int:
    """FFT points for blocks of a signal: a power of two that holds at least two filters."""
    whole, least = (1 << (n - 1).bit_length() for n in (num_samples + taps - 1, 2 * taps))
    return max(min(whole, FFT_LENGTH), least)


def blocks_at_once(channels: int, size: int, device: torch.device) -> int:
    """How many blocks of that many channels make one step."""
    return max(1, CHUNK.get(device.type, CHUNK["cuda"]) // (channels * size))


def correlations(references: Sequence[Tensor], others: Sequence[Tensor], taps: int) -> Tensor:
    """Correlations of delayed references with references and with other signals.

    Args:
        references: (C, N) each, P channels together, any real type.
        others: (C, N) each, Q channels together.
        taps: number of delays, L.

    Returns:
        r (P, P + Q, L) float64 as in the module's formula.
    """
    signals = [*references, *others]
    num_samples, device = signals[0].shape[-1], signals[0].device
    delayed = sum(len(signal) for signal in references)
    size = fft_length(num_samples, taps)
    hop = size - taps + 1
    blocks = blocks_at_once(delayed + sum(len(signal) for signal in signals), size, device)

    total: Tensor | None = None
    for start in range(0, num_samples, blocks * hop):
        blocks = min(blocks, -(-(num_samples - start) // hop))  # the last step may be smaller
        x = read(signals, start - taps + 1, start + blocks * hop)
        early = torch.fft.rfft(x[:delayed].unfold(1, size, hop))  # (P, T, K)
        now = torch.fft.rfft(x[:, taps - 1 :].view(-1, blocks, hop), n=size)  # (P+Q, T, K)
        # Conjugated in memory: on a lazily conjugated operand bmm copies matrix by matrix.
        product = torch.bmm(frequency_first(early).conj_physical_(), frequency_first(now).mT)
        total = product if total is None else total.add_(product)
    if total is None:
        raise ValueError("The signals hold no samples.")
    # Frames of x begin taps − 1 samples before the blocks of y: lag k is at index k − (taps − 1).
    found: Tensor = torch.fft.irfft(total.permute(1, 2, 0), n=size)
    return found.roll(taps - 1, dims=-1)[..., :taps]


def frequency_first(spectra: Tensor) -> Tensor:
    """(P, T, K) to (K, P, T), contiguous: batched products copy strided operands one by one."""
    return spectra.permute(2, 0, 1).contiguous()


def gram(lags: Tensor) -> Tensor:
    """Inner products of all delayed copies of the references.

    Args:
        lags: correlations of the references among themselves, (P, P, L).

    Returns:
        (P·L, P·L) float64, symmetric: row p·L + k is copy k of channel p.
    """
    channels, taps = len(lags), lags.shape[-1]
    # Lags −(L−1)…L−1 backwards; L neighbours of them are a row of a Toeplitz block.
    both = torch.cat([lags.flip(-1), lags.transpose(0, 1)[..., 1:]], dim=-1)  # (P, P, 2L − 1)
    rows = both.unfold(-1, taps, 1)  # (P, P, L, L), row i holds those of copy L − 1 − i
    matrix = lags.new_empty(channels, taps, channels, taps)
    for channel in range(channels):
        matrix[channel] = rows[channel].flip(1).transpose(0, 1)
    return matrix.view(channels * taps, channels * taps)


@dataclass(frozen=True, slots=True)
class System:
    """A Gram matrix (n, n), and its Cholesky factor where it has one, n or more rows of it.

    That of band-limited sounds (any lossy codec, any resampling) is positive definite only up to
    rounding, and Cholesky may stop at a pivot of −1e-17. Elimination with pivots goes on and
    finds filters whose projection is as good; museval and mir_eval always use it. It takes twice
    as long, and stops only at a pivot of exactly zero.
    """

    matrix: Tensor
    factor: Tensor | None
    lu: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, matrix: Tensor) -> System:
        """Factored, one way or the other."""
        factor = cholesky(matrix)
        if factor is not None:
            return cls(matrix, factor)
        lu, pivots, failed = torch.linalg.lu_factor_ex(matrix)
        if not bool(failed):
            return cls(matrix, None, (lu, pivots))
        del lu
        # Two equal channels of one source, say. The projection exists nevertheless, and is that
        # of a system moved by as little as gives it a factor.
        for exponent in range(-14, -9):
            moved = matrix.clone()
            moved.diagonal().add_(10.0**exponent * matrix.diagonal().max())
            factor = cholesky(moved)
            if factor is not None:
                return cls(matrix, factor)
        return cls(matrix, None)

    def part(self, rows: slice) -> System:
        """The system of some neighbouring rows; that of the first ones is factored already."""
        matrix = self.matrix[rows, rows]
        if self.factor is None or rows.start != 0:
            return System.of(matrix)
        return System(matrix, self.factor.mT[rows, rows].contiguous().mT)

    def solve(self, right: Tensor) -> Tensor:
        """Filters c with matrix · c = right, (n, R); NaN where nothing could factor the matrix."""
        if self.factor is not None:
            # Not cholesky_solve, which copies the factor to begin with (134 MB for 4096 rows).
            more = len(self.factor) - len(right)
            padded = torch.nn.functional.pad(right, (0, 0, 0, more))
            half = torch.linalg.solve_triangular(self.factor, padded, upper=False)
            whole: Tensor = torch.linalg.solve_triangular(self.factor.mT, half, upper=True)
            return whole[: len(right)]
        if self.lu is not None:
            found: Tensor = torch.linalg.lu_solve(*self.lu, right)
            return found
        return torch.full_like(right, torch.nan)


def cholesky(matrix: Tensor) -> Tensor | None:
    """Lower factor of a symmetric matrix (n, n), or None where it is not positive definite.

    On CPU it has `PADDING` more rows and columns, of the unit matrix.
    """
    if matrix.device.type != "cpu":
        factor, failed = torch.linalg.cholesky_ex(matrix)
        return None if bool(failed) else factor
    num = len(matrix)
    padded = torch.nn.functional.pad(matrix, (0, PADDING, 0, PADDING))
    padded.diagonal()[num:] = 1.0
    factor = padded.mT  # the same matrix, in the order of LAPACK: factored in its place
    _, failed = torch.linalg.cholesky_ex(factor, out=(factor, torch.empty((), dtype=torch.int32)))
    return None if bool(failed) else factor


def unexplained(matrix: Tensor, right: Tensor, energy: Tensor, filters: Tensor) -> Tensor:
    """Energies |y − X·c|² of what filters leave of signals.

    |y|² − 2 c·d + cᵀGc rather than |y|² − c·d: an error of the filters then counts squared.

    Args:
        matrix: Gram matrix G, (n, n).
        right: d = Xᵀy, (n, R).
        energy: |y|², (R,).
        filters: c, (n, R).

    Returns:
        (R,); rounding may leave it below zero by 1e-15 of `energy`.
    """
    return energy - 2.0 * column_dot(filters, right) + quadratic(matrix, filters)


def quadratic(matrix: Tensor, filters: Tensor) -> Tensor:
    """cᵀGc of a symmetric matrix G (n, n) and each column c of filters (n, R), (R,)."""
    # A few rows times a matrix read it once; a matrix times a few columns takes 3 times as long.
    return column_dot(filters, (filters.mT @ matrix).mT)


def column_dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the columns of two matrices (n, R), (R,)."""
    return (a * b).sum(0)
