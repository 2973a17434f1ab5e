"""Separation of a track in segments of 2 s, end to end or cross-faded.

The separator was trained on 2 s and is published with this rule. Without overlap, segments are
joined end to end. With it, each segment is 1 s longer and linearly faded into the next.

Differences from the original: the last piece is padded with silence and the estimate cut to the
mixture's length, where the original drops up to 2 s; nothing goes through 16-bit files; a track
of one segment may overlap too.

Source: Chen et al., AAAI 2022; behaviour of the official code (3a4e363), ffmpeg's acrossfade.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sepbench.baselines.stsed.sizes import SEGMENT

if TYPE_CHECKING:
    from torch import Tensor

# B batch, N samples, S segments, L = 64000 + overlap samples, D condition


def separate_in_segments(
    separate: Callable[[Tensor, Tensor], Tensor],
    mixture: Tensor,
    condition: Tensor,
    *,
    overlap: int = 0,
    at_once: int = 8,
) -> Tensor:
    """Estimates of whole tracks, each segment separated by itself under the same condition.

    Args:
        separate: the network, (B', L), (B', D) -> (B', L).
        mixture: (B, N) of any length.
        condition: (B, D).
        overlap: samples that a segment reaches into the next, below 64000.
        at_once: B' at most.

    Returns:
        (B, N).
    """
    import torch

    pieces = cut(mixture, overlap)  # (B, S, L)
    flat = pieces.reshape(-1, pieces.shape[-1])
    conditions = condition.repeat_interleave(pieces.shape[1], dim=0)
    starts = range(0, len(flat), at_once)
    parts = [separate(flat[s : s + at_once], conditions[s : s + at_once]) for s in starts]
    return join(torch.cat(parts).reshape(pieces.shape), overlap)[:, : mixture.shape[-1]]


def cut(mixture: Tensor, overlap: int = 0) -> Tensor:
    """(B, N) -> (B, S, L), S = ceil(N / 64000); zeros after the end."""
    from torch.nn.functional import pad

    length = mixture.shape[-1]
    count = max(1, -(-length // SEGMENT))
    padded = pad(mixture, (0, count * SEGMENT + overlap - length))
    return padded.unfold(-1, SEGMENT + overlap, SEGMENT)


def join(pieces: Tensor, overlap: int = 0) -> Tensor:
    """(B, S, L) -> (B, S · 64000 + overlap).

    Over an overlap of n samples the gains are (n - 1 - i) / n and i / n.
    """
    import torch

    batch, count, length = pieces.shape
    if not overlap:
        return pieces.reshape(batch, count * length)
    rising = torch.arange(overlap, device=pieces.device, dtype=pieces.dtype) / overlap
    falling = (overlap - 1) / overlap - rising
    track = pieces.new_zeros(batch, count * SEGMENT + overlap)
    for index in range(count):
        piece = pieces[:, index].clone()
        if index > 0:
            piece[:, :overlap] *= rising
        if index < count - 1:
            piece[:, SEGMENT:] *= falling
        track[:, index * SEGMENT : index * SEGMENT + length] += piece
    return track
