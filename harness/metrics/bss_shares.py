"""BSS Eval v3 sources: which share of an estimate's energy is target, interference, artefact.

With P_j the projection on the delayed copies of reference j and P that on those of all references,

    target = |P_j ŝ|²/|ŝ|²,  interference = |Pŝ − P_j ŝ|²/|ŝ|²,  artefact = |ŝ − Pŝ|²/|ŝ|²

add up to 1. All are quadratic forms of the correlations, so no signal is filtered: with filters c
of all references and c_j of one (zero elsewhere), interference is (c − c_j)ᵀ G (c − c_j).

Dimensions: S references, E estimates, N samples, L taps; K = S·L.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics import bss_projection
from sepbench.harness.metrics.bss_projection import System, gram, quadratic, unexplained

SAME_SOUND = 1e-9
"""A reference with less than this share of its own (90 dB down) is a filtered copy of others.

Float32 rounding leaves about 1e-14 in a residual that is an exact copy. Measured against an
orthonormal basis (QR), SIR is right to 1e-6 dB down to 3e-9, off by 0.01 dB at 3e-14, and then
by anything.
"""

LOST = 1e-6
"""By how much shares may leave [0, 1] before the solver is not believed."""

DEPENDENT = "the references are filtered copies of one sound: the system is singular"


def energy_shares(
    references: Tensor, estimates: Tensor, targets: Sequence[int], taps: int
) -> Tensor:
    """Shares of estimates, filters of L taps forgiven.

    Args:
        references: (S, N), none silent.
        estimates: (E, N), none mute.
        targets: index of the reference of each estimate, (E,).
        taps: L.

    Returns:
        (3, E) float64: target, interference, artefact; rounding may leave them below 0 by 1e-15.

    Raises:
        UndefinedScoreError: the references are not independent.
    """
    num = len(references)
    lags = bss_projection.correlations([references], [estimates], taps)  # (S, S + E, L)
    norm = torch.cat([lags[:, :num, 0].diagonal(), energies(estimates)]).sqrt()
    lags = lags / (norm[:num, None] * norm)[..., None]
    system = System.of(gram(lags[:, :num]))  # (K, K)
    right = lags.permute(0, 2, 1).reshape(num * taps, -1)  # (K, S + E)
    one = torch.ones_like(norm)

    # The references ride along as estimates: what one explains of the others says whether the
    # system is singular, at the price of S more right-hand sides.
    alone = torch.zeros_like(right[:, num:])  # filters of the target alone, zero elsewhere (K, E)
    share = torch.empty(len(targets), dtype=torch.float64, device=right.device)
    rest = one.new_ones(num)  # what the others leave of each reference
    for index in range(num):
        rows = slice(index * taps, (index + 1) * taps)
        own = system.part(rows)
        filters = own.solve(right[rows])  # (L, S + E)
        left = unexplained(own.matrix, right[rows], one, filters)
        mine = [e for e, target in enumerate(targets) if target == index]
        alone[rows, mine] = filters[:, num:][:, mine]
        share[mine] = 1.0 - left[num:][mine]
        if num == 2:
            rest[1 - index] = left[1 - index]
        elif num > 2:
            rest[index] = _left_by_others(system.matrix, index, taps)
    if num == 1:
        return torch.stack([share, torch.zeros_like(share), 1.0 - share])
    if not bool((rest > SAME_SOUND).all()):
        raise UndefinedScoreError("reference", DEPENDENT)

    filters = system.solve(right[:, num:])  # (K, E)
    leak = filters - alone
    interference = quadratic(system.matrix, leak)
    artefact = unexplained(system.matrix, right[:, num:], one[num:], filters)
    shares = torch.stack([share, interference, artefact])
    # Projections onto a part and onto the whole: 0 ≤ |P_j ŝ|² ≤ |Pŝ|² ≤ |ŝ|². What breaks this by
    # more than rounding is the answer of a solver that lost the system; NaN fails it as well.
    kept = torch.stack([share, 1.0 - artefact - share, artefact])
    if not bool((kept > -LOST).all()):
        raise UndefinedScoreError("reference", DEPENDENT)
    return shares


def energies(signals: Tensor) -> Tensor:
    """Σ x² of signals (S, N) in float64, (S,)."""
    wide = signals.to(torch.float64)
    return wide.square().sum(-1)


def _left_by_others(matrix: Tensor, index: int, taps: int) -> Tensor:
    """Energy share of one reference that the delays of all others leave of it."""
    # A sum of two others is explained by neither alone, so it takes a system of its own.
    rows = torch.arange(len(matrix), device=matrix.device)
    others = rows[rows // taps != index]
    system, right = System.of(matrix[others][:, others]), matrix[others, index * taps, None]
    one = torch.ones_like(right[0])
    return unexplained(system.matrix, right, one, system.solve(right))[0]
