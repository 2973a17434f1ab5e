"""Filters made of two known spectra, target and residual: the ratio mask and the Wiener filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# C channels, K frequency bins, T frames

# Share of a bin's total power by which its mixture covariance is loaded, so that it can be
# inverted where two channels carry the same signal. In float64 it bounds the error at -200 dB.
LOADING = 1e-10
# Frames times bins that the Wiener filter solves at once: about 100 MB for two channels.
SOLVED_AT_ONCE = 1 << 19


def ratio_share(target: Tensor, residual: Tensor, exponent: float) -> Tensor:
    """target^a / (target^a + residual^a), 0 where both are 0; shapes equal, values in [0, 1]."""
    import torch

    # Dividing by the louder of the two first keeps powers from underflowing to 0 / 0.
    louder = torch.maximum(target, residual)
    safe = torch.where(louder > 0, louder, 1.0)
    wanted, rest = (target / safe) ** exponent, (residual / safe) ** exponent
    return torch.where(louder > 0, wanted / torch.where(louder > 0, wanted + rest, 1.0), 0.0)


def wiener_filter(mixed: Tensor, target: Tensor, residual: Tensor) -> Tensor:
    """P_s R_s (P_s R_s + P_r R_r)⁻¹ x in blocks of frequencies, all (C, K, T) complex."""
    import torch

    channels, bins, frames = mixed.shape
    step = max(1, SOLVED_AT_ONCE // frames)
    filtered = torch.empty_like(mixed)
    eye = torch.eye(channels, dtype=torch.complex128, device=mixed.device)
    for low in range(0, bins, step):
        part = slice(low, low + step)
        x = mixed[:, part].to(torch.complex128).permute(1, 2, 0).unsqueeze(-1)  # (K', T, C, 1)
        wanted = _covariance(target[:, part])  # (K', T, C, C)
        total = wanted + _covariance(residual[:, part])
        power = total.diagonal(dim1=-2, dim2=-1).real.sum(-1)  # (K', T)
        # Where nothing sounds the numerator is 0 too, so any load gives 0.
        load = torch.where(power > 0, LOADING * power, 1.0)
        whitened = torch.linalg.solve(total + load[..., None, None] * eye, x)
        filtered[:, part] = (wanted @ whitened).squeeze(-1).permute(2, 0, 1).to(mixed.dtype)
    return filtered


def _covariance(source: Tensor) -> Tensor:
    """P(f, t) R(f) of one source's spectrum, (C, K, T) complex -> (K, T, C, C) complex128."""
    import torch

    s = source.to(torch.complex128)
    power = s.abs().square().mean(0)  # (K, T)
    energy = power.sum(-1)  # (K,)
    outer = torch.einsum("ckt,dkt->kcd", s, s.conj())
    spatial = outer / torch.where(energy > 0, energy, 1.0)[:, None, None]  # (K, C, C)
    return power[..., None, None] * spatial[:, None]
