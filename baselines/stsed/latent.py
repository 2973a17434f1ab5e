"""The latent processor: from example clips to the vector a separator is queried with.

A clip is cut into whole 2-s segments, the quiet ones are dropped, and the latents of the others
are averaged; the query is the mean over its clips, so each clip weighs the same whatever its
length. Nothing is normalised.

Differences from the original, which fails or gives NaN there: a clip under 2 s is one segment of
its own length (its loudness counted per second); a clip with no segment loud enough is left out
of the mean; and where all are, the query is refused.

Source: Chen et al., AAAI 2022; behaviour of the official code (3a4e363).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sepbench.baselines.stsed.sizes import SAMPLE_RATE, SEGMENT, SHORTEST_CLIP
from sepbench.harness.errors import QueryError

if TYPE_CHECKING:
    from torch import Tensor

# N samples, S segments, D = 2048

THRESHOLD = 0.1
"""Sum of squared samples that a 2-s segment must exceed: -58 dB of full scale."""


def checked(clip: Tensor, what: str) -> Tensor:
    """Mono samples (N,) float32 that can be cut into segments.

    Args:
        clip: (N,) at 32 kHz.
        what: names the clip in messages.

    Raises:
        QueryError: not mono, shorter than 16 ms, or with NaN or infinite samples.
    """
    import torch

    if clip.ndim != 1:
        raise QueryError(f"{what} has the shape {tuple(clip.shape)}; give mono samples (N,).")
    if len(clip) < SHORTEST_CLIP:
        raise QueryError(
            f"{what} has {len(clip)} samples; at least {SHORTEST_CLIP} are needed (16 ms at "
            f"{SAMPLE_RATE} Hz). Give a longer example."
        )
    if not torch.isfinite(clip).all():
        raise QueryError(f"{what} holds NaN or infinite samples. Export the file again.")
    return clip.float()


def loud_segments(clip: Tensor, threshold: float = THRESHOLD, segment: int = SEGMENT) -> Tensor:
    """Those segments of a clip that are loud enough to say something.

    Args:
        clip: (N,) at 32 kHz.
        threshold: as THRESHOLD, scaled down for a shorter segment.
        segment: samples of 2 s, where the rate is another one.

    Returns:
        (S, 64000), the tail beyond the last whole segment dropped; (1, N) of a clip under 2 s;
        S = 0 where nothing is loud enough.
    """
    count = len(clip) // segment
    segments = clip[: count * segment].reshape(count, segment) if count else clip[None]
    energy = segments.square().sum(1)
    return segments[energy > threshold * segments.shape[1] / segment]


def clip_means(
    answer: Callable[[Tensor], Tensor], clips: Sequence[Tensor], *, at_once: int
) -> list[Tensor]:
    """One answer (D,) a clip: the mean over its segments.

    Segments of all clips go through the detector together, those of equal length in one batch.

    Args:
        answer: the detector's latent or probabilities, (B, n) -> (B, D).
        clips: of each, its segments (S, n) with S ≥ 1.
        at_once: B at most.
    """
    import torch

    places: dict[int, list[tuple[int, Tensor]]] = defaultdict(list)
    for index, segments in enumerate(clips):
        places[segments.shape[1]] += [(index, segment) for segment in segments]
    found: dict[int, list[Tensor]] = defaultdict(list)
    for same in places.values():
        for start in range(0, len(same), at_once):
            part = same[start : start + at_once]
            answers = answer(torch.stack([segment for _, segment in part]))  # (B, D)
            for (index, _), each in zip(part, answers, strict=True):
                found[index].append(each)
    return [torch.stack(found[index]).mean(0) for index in range(len(clips))]
