"""BSS Eval: SDR, ISR, SIR and SAR up to a 512-tap filter, as functions of arrays.

Model. D_j is the space of the 512 delayed copies (0…511 samples) of reference j, D the space of
those of all references, P_j and P the projections on them; signals are zero-padded by 511.

*Sources* (v3, `bss_eval_sources`): one channel each, any filtered version of the target counts as
the target.

    SDR = |P_j ŝ|² / |ŝ − P_j ŝ|²    SIR = |P_j ŝ|² / |Pŝ − P_j ŝ|²    SAR = |Pŝ|² / |ŝ − Pŝ|²

*Images* (v3 and v4, `bss_eval_images`): with channels, the true image is the target, and what
filters change of it is a distortion of its own, e_spat = P_j ŝ − s.

    SDR = |s|² / |ŝ − s|²            ISR = |s|² / |P_j ŝ − s|²    SIR, SAR as above

SDR of images is the plain SNR: the filters cancel out of it. v4 takes the filters from the whole
signal and the ratios from windows of 1 s.

Precision. float64 throughout, direct solver, no permutation search (a query asks for one source).
Real recordings that went through a lossy codec or a resampler have empty bands, and filters are
free to do anything there: SIR and SAR of *windows* then hang on rounding (up to 0.01 dB, and dB
where a source is a low-passed bass), in every implementation, museval's included.

Memory. Signals are read in blocks. Beside them stand the Gram matrix of the references,
(S·C·512)² numbers, and its factor: 134 MB each for 4 stereo sources, 16 MB for 3 mono ones. Peak
memory grew by 0.4 GB for 4 stereo sources; more where empty bands ask for a second look.

Dimensions: S sources, C channels, N samples, W windows.

Source: Vincent, Gribonval, Févotte, "Performance measurement in blind audio source separation",
IEEE TASLP 2006; Liutkus, Stöter, Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA
2018. Equal to mir_eval 0.8 `bss_eval_sources`, museval 0.4.1 `metrics.bss_eval` and fast_bss_eval
0.1.4, all without permutation.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt

from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics.signals import Float64, is_tensor

if TYPE_CHECKING:
    from torch import Tensor

FILTER_LENGTH = 512
"""Taps of the forgiven filter: the customary value of BSS Eval."""

NO_SHARE = 1e-12
"""Share of all references in an estimate below which SIR would compare two rounding errors."""

UNLIKE = "the estimate holds nothing of any reference, so SIR is 0/0"

A = TypeVar("A", npt.NDArray[Any], "Tensor")


@dataclass(frozen=True, slots=True)
class BssEval(Generic[A]):
    """SDR, ISR, SIR and SAR in dB, float64: (S,) for sources, (S, W) for images.

    Attributes:
        sdr: in [-inf, +inf].
        isr: image to spatial distortion; NaN for sources, which have none.
        sir: rounding noise above 60 dB.
        sar: rounding noise above 60 dB.
    """

    sdr: A
    isr: A
    sir: A
    sar: A


def bss_eval_sources(
    references: A, estimates: A, *, backend: Literal["sepbench", "fast_bss_eval"] = "sepbench"
) -> BssEval[A]:
    """BSS Eval v3 sources of S estimates of S sources, estimate j against reference j.

    Args:
        references: all sources of the mixture, (S, N), NumPy array or torch tensor, none silent.
        estimates: (S, N), none mute.
        backend: "fast_bss_eval" computes the projections with that package: same values, on CPU.
            It finds only exact copies among the references singular; a reference that is a
            filtered copy of others then has numbers that mean nothing.

    Returns:
        Three float64 arrays of shape (S,), of the kind and on the device that came in. SIR is
        +inf for S = 1.

    Raises:
        UndefinedScoreError: "reference" where a source is silent, not finite, a filtered copy of
            the others (the system is then singular) or shorter than the filters can explain;
            "estimate" where one is mute, not finite, or unlike every reference.
        MissingExtraError: the backend is not installed.
        ValueError: the shapes differ or are not (S, N).
    """
    _check_shapes(references, estimates, "(S, N)")
    _check_backend(backend, ("sepbench", "fast_bss_eval"))
    if references.shape[1] < shortest(len(references)):
        raise UndefinedScoreError("reference", too_few(references.shape[1], len(references)))
    truth, answers = as_tensor(references), as_tensor(estimates)
    for index, reference in enumerate(truth):
        check_sound(float(reference.double().square().sum()), "reference", f"reference {index}")
    for index, estimate in enumerate(answers):
        check_sound(float(estimate.double().square().sum()), "estimate", f"estimate {index}")

    targets = range(len(truth))
    if backend == "fast_bss_eval":
        from sepbench.harness.metrics.backends import fast_shares

        shares = fast_shares(truth, answers, targets, FILTER_LENGTH)
    else:
        from sepbench.harness.metrics.bss_shares import energy_shares

        shares = energy_shares(truth, answers, targets, FILTER_LENGTH)
    values = decibels(shares.cpu().numpy())
    if np.isnan(values).any():
        raise UndefinedScoreError("estimate", UNLIKE)
    sdr, sir, sar = (like(value, references) for value in values)
    return BssEval(sdr, like(np.full(len(values[0]), np.nan), references), sir, sar)


def bss_eval_images(
    references: A,
    estimates: A,
    *,
    sample_rate: int,
    window: float | None = 1.0,
    hop: float | None = 1.0,
    framewise_filters: bool = False,
    backend: Literal["sepbench", "museval"] = "sepbench",
) -> BssEval[A]:
    """BSS Eval of S estimates of S source images, estimate j against reference j.

    The defaults are v4, as MUSDB18 is scored; `framewise_filters` makes it v3 in windows, and
    `window=None` v3 of the whole signal.

    Args:
        references: all sources of the mixture, (S, C, N), NumPy array or torch tensor of any real
            type, none silent.
        estimates: (S, C, N), none mute.
        sample_rate: Hz.
        window: length of a window in seconds; None is the whole signal.
        hop: distance of windows in seconds; None is one window.
        framewise_filters: filters from each window instead of from the whole signal.
        backend: "museval" hands the arrays to that package.

    Returns:
        Four float64 arrays of shape (S, W), of the kind and on the device that came in, with
        W = ⌊(N − window + hop) / hop⌋ windows, 1 where N ≤ window; samples behind the last whole
        window are not scored. A window in which any reference or estimate is silent (the sum of
        its channels is zero in every sample) is NaN for all sources.

    Raises:
        UndefinedScoreError: "reference" where a source is silent, not finite, filtered copies of
            the others all through (the system is then singular) or shorter than the filters can
            explain; "estimate" where one is mute or not finite.
        MissingExtraError, UsageError: the backend is not installed, or lacks its ffmpeg.
        ValueError: the shapes differ or are not (S, C, N), or window or hop hold no sample.
    """
    _check_shapes(references, estimates, "(S, C, N)")
    _check_backend(backend, ("sepbench", "museval"))
    windows = spans(references.shape[-1], sample_rate, window, hop)
    if backend == "museval":
        from sepbench.harness.metrics.backends import museval_images

        length = windows[0][1] - windows[0][0]
        step = windows[1][0] if len(windows) > 1 else references.shape[-1]
        for index, signal in enumerate(as_tensor(references)):
            check_sound(_joined_energy(signal), "reference", f"reference {index}")
        for index, signal in enumerate(as_tensor(estimates)):
            check_sound(_joined_energy(signal), "estimate", f"estimate {index}")
        found = museval_images(
            *(as_tensor(x).cpu().numpy() for x in (references, estimates)),
            window=length,
            hop=step,
            framewise_filters=framewise_filters,
            taps=FILTER_LENGTH,
        )
        sdr, isr, sir, sar = (like(value, references) for value in found)
        return BssEval(sdr, isr, sir, sar)

    enough_samples(references.shape, windows, framewise_filters)
    from sepbench.harness.metrics.bss_frames import score_windows

    frames = score_windows(
        list(as_tensor(references)),
        list(as_tensor(estimates)),
        range(len(references)),
        windows,
        FILTER_LENGTH,
        framewise_filters=framewise_filters,
    )
    values = frames.decibels.cpu().numpy()  # (4, S, W)
    values[..., frames.silent_estimates.any(0).numpy()] = np.nan
    sdr, isr, sir, sar = (like(value, references) for value in values)
    return BssEval(sdr, isr, sir, sar)


def spans(
    num_samples: int, sample_rate: int, window: float | None, hop: float | None
) -> list[tuple[int, int]]:
    """First and last + 1 sample of each window, as museval counts them.

    Raises:
        ValueError: window or hop are shorter than one sample.
    """
    length = num_samples if window is None else int(window * sample_rate)
    step = num_samples if hop is None else int(hop * sample_rate)
    if length < 1 or step < 1:
        raise ValueError(f"A window of {window} s and a hop of {hop} s hold no sample.")
    if length >= num_samples:
        return [(0, num_samples)]
    count = (num_samples - length + step) // step
    return [(index * step, index * step + length) for index in range(count)]


def enough_samples(
    shape: tuple[int, ...], windows: Sequence[tuple[int, int]], framewise_filters: bool
) -> None:
    """Refuse images (S, C, N) that the filters can explain completely.

    Raises:
        UndefinedScoreError: they, or the windows whose filters are asked for, are too short.
    """
    num_samples = windows[0][1] - windows[0][0] if framewise_filters else shape[-1]
    channels = shape[0] * shape[1]
    if num_samples < shortest(channels):
        raise UndefinedScoreError("reference", too_few(num_samples, channels))


def shortest(channels: int) -> int:
    """Samples from which on all values can be finite, by the number of channels of all references.

    P·512 delayed copies live in N + 511 dimensions; while they fill them, every estimate is
    explained completely, and SAR is infinite whatever was separated.
    """
    return max(FILTER_LENGTH, (channels - 1) * FILTER_LENGTH + 2)


def too_few(num_samples: int, channels: int) -> str:
    """The reason that goes with `shortest`."""
    return f"too short: {num_samples} samples, {shortest(channels)} are needed"


def check_sound(energy: float, cause: Literal["reference", "estimate"], name: str) -> None:
    """Refuse a signal that has no direction, judged by Σ x².

    Raises:
        UndefinedScoreError: it is silent, or not finite; `cause` and `name` say whose fault it is.
    """
    if not math.isfinite(energy):
        raise UndefinedScoreError(cause, f"the {name} holds NaN or infinite samples")
    if energy == 0.0:
        state = "mute" if cause == "estimate" else "silent"
        raise UndefinedScoreError(cause, f"the {name} is {state}")


def decibels(shares: Float64) -> Float64:
    """SDR, SIR, SAR (3, E) in dB of shares (target, interference, artefact; E).

    NaN where there is no SIR.
    """
    target, interference, artefact = np.clip(shares, 0.0, None)
    over = np.stack([target, target, target + interference])
    under = np.stack([interference + artefact, interference, artefact])
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing over something is -inf
        values: Float64 = 10.0 * np.log10(over / under)
    values[under == 0.0] = np.inf
    values[1, target + interference <= NO_SHARE] = np.nan
    return values


def as_tensor(signal: npt.NDArray[Any] | Tensor) -> Tensor:
    """The same numbers as a tensor without history; memory is shared where it can be."""
    if is_tensor(signal):
        return signal.detach()
    import torch

    with warnings.catch_warnings():
        # Read-only arrays (memory-mapped audio) are only read here.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(np.ascontiguousarray(signal))


def like(values: Float64, signal: A) -> A:
    """Values in the kind and on the device of a signal."""
    if is_tensor(signal):
        import torch

        found: Any = torch.from_numpy(values).to(signal.device)
    else:
        found = values
    return cast("A", found)  # the type of `signal`, which no checker sees through the test


def _check_shapes(references: A, estimates: A, form: str) -> None:
    same = tuple(references.shape) == tuple(estimates.shape)
    if not same or references.ndim != form.count(",") + 1 or 0 in references.shape:
        raise ValueError(
            f"References {tuple(references.shape)} and estimates {tuple(estimates.shape)} must "
            f"have one shape, {form}, with samples in it."
        )


def _joined_energy(signal: Tensor) -> float:
    """Energy of the sum of the channels (C, N), by which museval calls a source silent."""
    return float(signal.double().sum(0).square().sum())


def _check_backend(backend: str, known: Sequence[str]) -> None:
    if backend not in known:
        raise ValueError(f"backend={backend!r}; one of {', '.join(known)}.")
