"""BSS Eval of source images: energies of the parts of estimates, window by window.

The estimate ŝ of image s is a sum of four parts, P_j and P being the projections on the delayed
copies of the channels of image j and of all images:

    ŝ = s + e_spat + e_interf + e_artif
    s + e_spat = P_j ŝ,   s + e_spat + e_interf = Pŝ

    SDR = |s|² / |ŝ − s|²                 ISR = |s|² / |P_j ŝ − s|²
    SIR = |P_j ŝ|² / |Pŝ − P_j ŝ|²        SAR = |Pŝ|² / |ŝ − Pŝ|²

The filters of P_j and P come from the whole signal (v4) or from each window (v3). A window is cut
out of references and estimates first and filtered then: its projections ring on for L − 1 samples
after its end, against zeros. Parts are made as signals and subtracted before they are squared;
differences of energies would lose every digit above 80 dB.

Filtering is one product per frequency for all estimates at once, (T, S·C) × (S·C, 2·E·C), on
blocks of F samples of which L − 1 overlap.

Dimensions: S references, E estimates, C channels, N samples, W windows, L taps, F FFT length,
B = F − L + 1, T blocks, K = F/2 + 1 frequencies, n = S·C·L.

Source: museval 0.4.1 `metrics.bss_eval` (Liutkus, Stöter, Ito, LVA/ICA 2018), whose windows,
silence test and diagonal these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics.bss_projection import (
    System,
    blocks_at_once,
    correlations,
    fft_length,
    frequency_first,
    gram,
    read,
    unexplained,
)
from sepbench.harness.metrics.bss_shares import DEPENDENT, SAME_SOUND

DIAGONAL = float(torch.finfo(torch.float64).eps)
"""museval adds it to the Gram matrix. It gives a channel of zeros filters of zero, and it is felt
where energies are near it: float signals below −140 dB."""

LOOK = 4096
"""Samples looked at together when a window is asked whether it is silent."""

NUM_PARTS = 7
"""s, ŝ − s, P_j ŝ − s, P_j ŝ, Pŝ − P_j ŝ, Pŝ, ŝ − Pŝ."""


@dataclass(frozen=True, slots=True)
class Frames:
    """What each window holds.

    Attributes:
        decibels: SDR, ISR, SIR, SAR (4, E, W) float64; ratios of energies, +inf over nothing,
            NaN in skipped windows.
        silent_references: (S, W) bool: the channels' sum is zero in every sample.
        silent_estimates: (E, W) bool.
    """

    decibels: Tensor
    silent_references: Tensor
    silent_estimates: Tensor


def score_windows(
    references: Sequence[Tensor],
    estimates: Sequence[Tensor],
    targets: Sequence[int],
    spans: Sequence[tuple[int, int]],
    taps: int,
    *,
    framewise_filters: bool = False,
) -> Frames:
    """SDR, ISR, SIR and SAR of estimates in windows.

    Windows in which a reference is silent are skipped (NaN for all estimates), and those in which
    an estimate is (NaN for it). That one silent estimate takes the window from all of its set, as
    museval has it, is left to the caller, who knows which estimates make a set.

    Args:
        references: S images, (C, N) each, of any real type; converted as they are read.
        estimates: E images, (C, N) each.
        targets: the reference of each estimate, (E,).
        spans: first and last + 1 sample of each window.
        taps: L.
        framewise_filters: filters of each window rather than of the whole signal.

    Raises:
        UndefinedScoreError: "reference" where one is silent, not finite, or filtered copies of
            others all through the signal; "estimate" where one is mute or not finite.
    """
    refuse_silent(references, "reference")
    refuse_silent(estimates, "estimate")
    whole = correlations(references, estimates, taps)
    refuse_unsound(whole, references)
    filters, system = projection_filters(whole, references, targets, taps)
    refuse_dependent(system, references, taps)
    del whole, system  # 134 MB for 4 stereo sources, and as much again for the factor

    quiet_references, quiet_estimates = (
        torch.tensor([[is_silent(signal, *span) for span in spans] for signal in group])
        for group in (references, estimates)
    )
    shape = (NUM_PARTS, len(estimates), len(spans))
    parts = torch.full(shape, torch.nan, dtype=torch.float64, device=filters.device)
    skipped = quiet_references.any(0).tolist()
    size = fft_length(max(stop - start for start, stop in spans), taps)
    responses = torch.fft.rfft(filters, n=size, dim=0).contiguous()  # (K, S·C, 2·E·C)
    for index, (start, stop) in enumerate(spans):
        if skipped[index]:
            continue
        truth, answers = ([x[:, start:stop] for x in group] for group in (references, estimates))
        if framewise_filters:
            lags = correlations(truth, answers, taps)
            filters, _ = projection_filters(lags, truth, targets, taps)
            responses = torch.fft.rfft(filters, n=size, dim=0).contiguous()
        parts[..., index] = part_energies(truth, answers, targets, responses, taps)
    parts.masked_fill_(quiet_estimates.to(parts.device), torch.nan)
    return Frames(ratios(parts), quiet_references, quiet_estimates)


def projection_filters(
    lags: Tensor, references: Sequence[Tensor], targets: Sequence[int], taps: int
) -> tuple[Tensor, System]:
    """Least-squares filters from references to estimates.

    Args:
        lags: correlations (S·C, S·C + E·C, L).
        references: (C, N) each, for their number alone.
        targets: the reference of each estimate, (E,).
        taps: L.

    Returns:
        filters (L, S·C, 2·E·C) from each reference channel to P_j ŝ, all estimates' channels
        first, and to Pŝ; and the joint system.
    """
    channels = len(references[0])
    num = len(references) * channels
    matrix = gram(lags[:, :num])
    matrix.diagonal().add_(DIAGONAL)
    system = System.of(matrix)
    right = lags[:, num:].transpose(1, 2).reshape(num * taps, -1)  # (n, E·C)
    both = torch.stack([torch.zeros_like(right), system.solve(right)], dim=1)  # (n, 2, E·C)
    for target in sorted(set(targets)):
        rows = slice(target * channels * taps, (target + 1) * channels * taps)
        # Columns of all channels of the estimates of this image.
        mine = [
            e * channels + c for e, t in enumerate(targets) if t == target for c in range(channels)
        ]
        both[rows, 0][:, mine] = system.part(rows).solve(right[rows][:, mine])
    return both.view(num, taps, -1).transpose(0, 1), system


def part_energies(
    references: Sequence[Tensor],
    estimates: Sequence[Tensor],
    targets: Sequence[int],
    responses: Tensor,
    taps: int,
) -> Tensor:
    """Energies of the parts of one window, (7, E), in the order of `NUM_PARTS`.

    Args:
        references: (C, n) each, the window's samples alone.
        estimates: likewise.
        targets: the reference of each estimate, (E,).
        responses: spectra of the filters, (K, S·C, 2·E·C).
        taps: L.
    """
    channels, num_samples = references[0].shape
    num, answers = len(references) * channels, len(estimates) * channels
    size = 2 * (len(responses) - 1)
    hop = size - taps + 1
    truth = [target * channels + c for target in targets for c in range(channels)]  # (E·C,)
    blocks = blocks_at_once(num + 3 * answers, size, responses.device)
    total = responses.new_zeros(NUM_PARTS, answers, dtype=torch.float64)
    end = num_samples + taps - 1  # projections ring on
    for start in range(0, end, blocks * hop):
        blocks = min(blocks, -(-(end - start) // hop))
        x = read([*references, *estimates], start - taps + 1, start + blocks * hop)
        spectra = torch.fft.rfft(x[:num].unfold(1, size, hop))  # (S·C, T, K)
        filtered = torch.bmm(frequency_first(spectra).mT, responses)  # (K, T, 2·E·C)
        signals = torch.fft.irfft(filtered.permute(2, 1, 0), n=size)[..., taps - 1 :]
        own, all_ = signals.split(answers)  # (E·C, T, B) each
        now = x[:, taps - 1 :].view(-1, blocks, hop)
        s, s_hat = now[truth], now[num:]
        parts = (s, s_hat - s, own - s, own, all_ - own, all_, s_hat - all_)
        for row, part in zip(total, parts, strict=True):
            row += torch.linalg.vecdot(part, part).sum(1)
    return total.view(NUM_PARTS, len(estimates), channels).sum(-1)


def ratios(parts: Tensor) -> Tensor:
    """SDR, ISR, SIR, SAR in dB (4, E, W) of the energies of parts (7, E, W).

    As in museval, a part of no energy makes the ratio +inf, whatever is held against it.
    """
    s, error, spatial, own, interference, all_, artefact = parts
    over, under = (
        torch.stack([s, s, own, all_]),
        torch.stack([error, spatial, interference, artefact]),
    )
    values = 10.0 * torch.log10(over / under)
    return torch.where(under == 0.0, torch.inf, values)


def is_silent(signal: Tensor, start: int, stop: int) -> bool:
    """Silence as museval has it: the channels' sum is zero in every sample, so L = −R passes."""
    # Most windows show in their first samples that they are not.
    while start < stop:
        next_ = min(stop, start + LOOK)
        if bool(signal[:, start:next_].to(torch.float64).sum(0).any()):
            return False
        start = next_
    return True


def refuse_silent(signals: Sequence[Tensor], cause: Literal["reference", "estimate"]) -> None:
    """Raise UndefinedScoreError where a whole signal is silent."""
    for index, signal in enumerate(signals):
        if is_silent(signal, 0, signal.shape[-1]):
            state = "mute" if cause == "estimate" else "silent"
            raise UndefinedScoreError(cause, f"the {cause} {index} is {state}")


def refuse_unsound(lags: Tensor, references: Sequence[Tensor]) -> None:
    """Raise UndefinedScoreError where samples, and therefore correlations, are not finite."""
    channels = len(references[0])
    num = len(references) * channels
    finite = torch.isfinite(lags).all(-1)  # (S·C, S·C + E·C)
    for name, found in (("reference", finite[:, :num].diagonal()), ("estimate", finite[0, num:])):
        for index in (~found).nonzero().flatten().tolist()[:1]:
            raise UndefinedScoreError(
                "reference" if name == "reference" else "estimate",
                f"the {name} {index // channels} holds NaN or infinite samples",
            )


def refuse_dependent(system: System, references: Sequence[Tensor], taps: int) -> None:
    """Raise UndefinedScoreError where filtered copies of the other images make up an image."""
    if len(references) == 1:
        return
    matrix, channels = system.matrix, len(references[0])
    rows = torch.arange(len(matrix), device=matrix.device)
    first = rows[::taps]  # copy 0 of each channel
    energy = matrix.diagonal()[first]
    # 1/(G⁻¹)_ii is what all other copies leave of copy i, those of its own image included: a
    # lower bound of what the other images leave, and nearly free. Band-limited sounds predict
    # themselves, so for them it says nothing, and a system without the image is solved.
    unit = torch.zeros(len(matrix), len(first), dtype=matrix.dtype, device=matrix.device)
    unit[first, range(len(first))] = 1.0
    left = 1.0 / system.solve(unit)[first, range(len(first))]
    for index in range(len(references)):
        mine = slice(index * channels, (index + 1) * channels)
        enough = SAME_SOUND * energy[mine].sum()
        if bool(left[mine].clamp(min=0.0).sum() > enough):
            continue
        others = rows[rows // (channels * taps) != index]
        without = System.of(matrix[others][:, others])
        right = matrix[others][:, first[mine]]
        rest = unexplained(without.matrix, right, energy[mine], without.solve(right))
        if not bool(rest.sum() > enough):
            raise UndefinedScoreError("reference", DEPENDENT)
