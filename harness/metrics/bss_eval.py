"""BSS Eval v3 "sources": SDR, SIR and SAR up to a 512-tap filter.

Model. D_j is the space of the 512 delayed copies (0…511 samples) of reference j, D the space of
all of them; signals are zero-padded by 511. An estimate ŝ of source j splits into orthogonal
parts

    ŝ = s_target + e_interf + e_artif
    s_target = P_Dj ŝ,   s_target + e_interf = P_D ŝ

    SDR = |s_target|² / |e_interf + e_artif|²
    SIR = |s_target|² / |e_interf|²
    SAR = |s_target + e_interf|² / |e_artif|²

With the shares own = |P_Dj ŝ|²/|ŝ|² and joint = |P_D ŝ|²/|ŝ|² (squared cosines, in [0, 1]) these
are own/(1−own), own/(joint−own) and joint/(1−joint). fast_bss_eval finds the shares: torch,
float64, direct solver, no permutation search (a query asks for one source).

Memory: about 1 kB per sample (FFTs of the whole signal), so 60 s at 32 kHz take 1.2 GB.

Dimensions: S references, E estimates, C channels, N samples.

Source: Vincent, Gribonval, Févotte, "Performance measurement in blind audio source separation",
IEEE TASLP 2006; Scheibler, "SDR – medium rare with fast computations", ICASSP 2022; values equal
mir_eval.separation.bss_eval_sources(compute_permutation=False).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics.signals import Float64, inner, is_tensor, to_float64

if TYPE_CHECKING:
    from torch import Tensor

FILTER_LENGTH = 512
"""Taps of the forgiven filter: the customary value of BSS Eval v3."""

SAME_SOUND = 1e-9
"""A reference with less than this share of its own (90 dB down) is a filtered copy of others.

Float32 rounding leaves about 1e-14 in a residual that is an exact copy. Measured against an
orthonormal basis (QR), SIR is right to 1e-6 dB down to 3e-9, off by 0.01 dB at 3e-14, and then
by anything.
"""

LOST = 1e-6
"""By how much shares may leave their bounds before the solver is not believed."""

NO_SHARE = 1e-12
"""Joint share below which SIR would compare two rounding errors."""

DEPENDENT = "the references are filtered copies of one sound: the system is singular"
UNLIKE = "the estimate holds nothing of any reference, so SIR is 0/0"

A = TypeVar("A", npt.NDArray[Any], "Tensor")


@dataclass(frozen=True, slots=True)
class BssEval(Generic[A]):
    """SDR, SIR and SAR in dB, one per source.

    Attributes:
        sdr: (S,) float64 in [-inf, +inf].
        sir: (S,) float64; rounding noise above 60 dB.
        sar: (S,) float64; rounding noise above 60 dB.
    """

    sdr: A
    sir: A
    sar: A


def bss_eval_sources(references: A, estimates: A) -> BssEval[A]:
    """BSS Eval v3 sources of S estimates of S sources, estimate j against reference j.

    Args:
        references: all sources of the mixture, (S, N), NumPy array or torch tensor, none silent.
        estimates: (S, N), none mute.

    Returns:
        Three float64 arrays of shape (S,), of the kind that came in. SIR is +inf for S = 1.

    Raises:
        UndefinedScoreError: "reference" where a source is silent, not finite, a filtered copy of
            the others (the system is then singular) or shorter than the filters can explain;
            "estimate" where one is mute, not finite, or unlike every reference.
        ValueError: the shapes differ or are not (S, N).
    """
    if tuple(references.shape) != tuple(estimates.shape) or references.ndim != 2:
        raise ValueError(
            f"References {tuple(references.shape)} and estimates {tuple(estimates.shape)} must "
            "have one shape, (S, N)."
        )
    truth, answers = to_float64(references), to_float64(estimates)
    if truth.shape[1] < shortest(len(truth)):
        raise UndefinedScoreError(
            "reference",
            f"too short: {truth.shape[1]} samples, {shortest(len(truth))} are needed",
        )
    for index, reference in enumerate(truth):
        check_sound(reference, "reference", f"reference {index}")
    for index, estimate in enumerate(answers):
        check_sound(estimate, "estimate", f"estimate {index}")

    own, joint = energy_shares(truth, answers)
    values = decibels(np.diagonal(own), joint)
    if np.isnan(values).any():
        raise UndefinedScoreError("estimate", UNLIKE)
    if is_tensor(references):
        import torch

        return BssEval(*torch.from_numpy(values).to(references.device))
    return BssEval(*values)


def shortest(num_references: int) -> int:
    """Samples from which on all values can be finite.

    S·512 delayed copies live in N + 511 dimensions; while they fill them, every estimate is
    explained completely, and SAR is infinite whatever was separated.
    """
    return max(FILTER_LENGTH, (num_references - 1) * FILTER_LENGTH + 2)


def check_sound(signal: Float64, cause: Literal["reference", "estimate"], name: str) -> None:
    """Refuse a signal (N,) that has no direction.

    Raises:
        UndefinedScoreError: it is silent, or not finite; `cause` and `name` say whose fault it is.
    """
    energy = inner(signal, signal)
    if not np.isfinite(energy):
        raise UndefinedScoreError(cause, f"the {name} holds NaN or infinite samples")
    if energy == 0.0:
        state = "mute" if cause == "estimate" else "silent"
        raise UndefinedScoreError(cause, f"the {name} is {state}")


def energy_shares(references: Float64, estimates: Float64) -> tuple[Float64, Float64]:
    """Energy shares of estimates (E, N) that references (S, N) explain, filters forgiven.

    Returns:
        own (S, E), by the delays of one reference alone, and joint (E,), by those of all.

    Raises:
        UndefinedScoreError: the references are not independent.
    """
    # The references ride along as estimates: what one explains of the others says whether the
    # system is singular, at the price of S more right-hand sides.
    num = len(references)
    own, joint = _solve(references, np.concatenate([references, estimates]))
    for index in range(num):
        if _explained_by_others(references, own, index) > 1.0 - SAME_SOUND:
            raise UndefinedScoreError("reference", DEPENDENT)
    # Projections onto a part and onto the whole: 0 ≤ own ≤ joint ≤ 1. What breaks this by more
    # than rounding is the answer of a solver that lost the system.
    if not ((own > -LOST) & (own < joint + LOST) & (joint < 1.0 + LOST)).all():
        raise UndefinedScoreError("reference", DEPENDENT)
    return own[:, num:], joint[num:]


def _explained_by_others(references: Float64, own: Float64, index: int) -> float:
    """Energy share of one reference that the delays of the others make up."""
    if len(references) == 1:
        return 0.0
    if len(references) == 2:
        return float(own[1 - index, index])
    # A sum of two others is explained by neither alone, so it takes a system of its own.
    others = np.delete(references, index, axis=0)
    return float(_solve(others, references[index : index + 1])[1][0])


def _solve(references: Float64, estimates: Float64) -> tuple[Float64, Float64]:
    """The shares as fast_bss_eval computes them: own (S, E), joint (E,)."""
    import torch
    from fast_bss_eval.torch.metrics import square_cosine_metrics

    # Norms are made 1 here because fast_bss_eval floors them at 1e-6, which quiet signals pass.
    references = references / np.linalg.norm(references, axis=-1, keepdims=True)  # (S, N)
    estimates = estimates / np.linalg.norm(estimates, axis=-1, keepdims=True)  # (E, N)
    try:
        with torch.no_grad():
            # "pairwise" is what lets E differ from S; without it each target would need its own
            # call with a residual estimate that nobody reads.
            own, joint = square_cosine_metrics(
                torch.from_numpy(references),
                torch.from_numpy(estimates),
                filter_length=FILTER_LENGTH,
                use_cg_iter=None,
                zero_mean=False,
                pairwise=True,
                load_diag=None,
            )
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # public, but not declared
        raise UndefinedScoreError("reference", DEPENDENT) from None
    # With one reference both systems are one; the rounding between two solvers is no interference.
    return own.numpy(), (own if len(references) == 1 else joint)[0].numpy()


def decibels(own: Float64, joint: Float64) -> Float64:
    """SDR, SIR, SAR (3, E) in dB of shares (E,); NaN where there is no SIR."""
    own, joint = np.clip(own, 0.0, 1.0), np.clip(joint, 0.0, 1.0)
    has_sir = joint > NO_SHARE
    purity = np.divide(own, joint, out=np.full_like(own, np.nan), where=has_sir)
    shares = np.stack([own, np.minimum(purity, 1.0), joint])  # (3, E)
    with np.errstate(divide="ignore"):  # 0 and 1 are -inf and +inf
        values: Float64 = 10.0 * np.log10(shares / (1.0 - shares))
    return values
