"""BSS Eval by the packages that others use, for people who want their code and for our tests.

    bss_eval_images(references, estimates, sample_rate=44100, backend="museval")
    bss_eval_sources(references, estimates, backend="fast_bss_eval")

Each package is imported when it is asked for.

Dimensions: S references, E estimates, C channels, N samples, W windows.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sepbench.harness.errors import MissingExtraError, UndefinedScoreError, UsageError
from sepbench.harness.metrics.signals import Float64

if TYPE_CHECKING:
    from torch import Tensor


def museval_images(
    references: npt.NDArray[Any],
    estimates: npt.NDArray[Any],
    *,
    window: int,
    hop: int,
    framewise_filters: bool,
    taps: int,
) -> Float64:
    """SDR, ISR, SIR, SAR (4, S, W) of images (S, C, N) by museval, no permutation.

    Args:
        references: (S, C, N).
        estimates: (S, C, N).
        window: samples.
        hop: samples from one window to the next.
        framewise_filters: museval's mode "v3".
        taps: filter length.

    Raises:
        MissingExtraError, UsageError: museval is not installed, or lacks ffmpeg.
        ValueError: a reference or an estimate is silent (museval's own message).
    """
    found = import_museval().bss_eval(
        *(np.moveaxis(x, 1, 2).astype(np.float64) for x in (references, estimates)),
        window=window,
        hop=hop,
        compute_permutation=False,
        filters_len=taps,
        framewise_filters=framewise_filters,
        bsseval_sources_version=False,
    )
    return np.stack(found[:4])


def import_museval() -> ModuleType:
    """The module of metrics in museval.

    Raises:
        MissingExtraError: museval is not installed.
        UsageError: it is, but the ffmpeg programs that it looks for at import are not.
    """
    try:
        return importlib.import_module("museval.metrics")
    except ModuleNotFoundError as error:
        raise MissingExtraError("The backend museval", error.name or "museval", "museval") from None
    except RuntimeError as error:
        if "ffmpeg" not in str(error):
            raise
        raise UsageError(
            "The backend museval needs the programs ffmpeg and ffprobe on the PATH when it is "
            "imported, and they are not there. Install them (Debian: apt install ffmpeg; conda: "
            "conda install -c conda-forge ffmpeg), or leave out the backend: the built-in "
            "BSS Eval gives the same values."
        ) from None


def fast_shares(references: Tensor, estimates: Tensor, targets: Sequence[int], taps: int) -> Tensor:
    """Shares as `bss_shares.energy_shares` has them, (3, E), by fast_bss_eval's direct solver.

    Args:
        references: (S, N); computed on the CPU, wherever they are.
        estimates: (E, N).
        targets: index of the reference of each estimate.
        taps: filter length.

    Raises:
        MissingExtraError: fast_bss_eval is not installed.
        UndefinedScoreError: its solver found the system singular.
    """
    import torch

    try:
        from fast_bss_eval.torch.metrics import square_cosine_metrics
    except ModuleNotFoundError:
        raise MissingExtraError("The backend fast_bss_eval", "fast_bss_eval", "all") from None
    # Norms are made 1 here because fast_bss_eval floors them at 1e-6, which quiet signals pass.
    unit = [
        torch.nn.functional.normalize(x.cpu().double(), eps=0.0) for x in (references, estimates)
    ]
    threads = torch.get_num_threads()
    # It solves a batch of systems by LU, which with MKL and several threads meets wrong pivots
    # (torch 2.11 on an AMD processor: "Pivots given to lu_solve must all be ≥ 1").
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            own, joint = square_cosine_metrics(
                *unit,
                filter_length=taps,
                use_cg_iter=None,
                zero_mean=False,
                pairwise=True,
                load_diag=None,
            )
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # public, but not declared
        raise UndefinedScoreError(
            "reference", "fast_bss_eval finds the system of the references singular"
        ) from None
    finally:
        torch.set_num_threads(threads)
    mine = own[torch.as_tensor(targets), torch.arange(len(estimates))]
    # With one reference both systems are one; the rounding of two solvers is no interference.
    all_ = mine if len(references) == 1 else joint[0]
    return torch.stack([mine, all_ - mine, 1.0 - all_])
