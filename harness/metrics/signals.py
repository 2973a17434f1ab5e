"""Signals as metrics want them: float64 NumPy, whatever came in, and of equal shape."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    Signal: TypeAlias = npt.NDArray[Any] | Tensor
else:
    Signal: TypeAlias = Any

Float64: TypeAlias = npt.NDArray[np.float64]


def is_tensor(signal: Signal) -> TypeGuard[Tensor]:
    """Whether it is a torch tensor, found out without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(signal, torch.Tensor)


def to_float64(signal: Signal) -> Float64:
    """The same numbers as a float64 NumPy array; a tensor is detached and brought to the host."""
    if is_tensor(signal):
        return np.asarray(signal.detach().cpu().double().numpy())
    return np.asarray(signal, dtype=np.float64)


def pair(reference: Signal, estimate: Signal) -> tuple[Float64, Float64]:
    """A reference and an estimate of one shape, channels laid end to end.

    Args:
        reference: (N,) or (C, N), NumPy array or torch tensor of any real type.
        estimate: of the same shape.

    Returns:
        Two float64 arrays of shape (C·N,).

    Raises:
        ValueError: the shapes differ, there are more than two axes or no samples, both shapes are
            named; or the numbers are complex.
    """
    same = tuple(reference.shape) == tuple(estimate.shape)
    if not same or reference.ndim not in (1, 2) or 0 in reference.shape:
        raise ValueError(
            f"Reference {tuple(reference.shape)} and estimate {tuple(estimate.shape)} must have "
            "one shape, (N,) or (C, N), with samples in it."
        )
    if "complex" in f"{reference.dtype} {estimate.dtype}":
        raise ValueError("Reference and estimate must hold real numbers, not complex ones.")
    return to_float64(reference).ravel(), to_float64(estimate).ravel()


def inner(a: Float64, b: Float64) -> float:
    """Σ a·b of two signals (N,).

    Not BLAS: its threads save nothing at these lengths, and where more threads run than cores
    they wait for each other (measured: 20 ms instead of 0.01 ms for one second at 16 kHz).
    """
    return float(np.einsum("n,n->", a, b))
