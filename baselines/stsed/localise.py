"""Where in a weakly labelled clip its class sounds: the 2 s that training and evaluation use.

AudioSet says what sounds in a clip, not when. The detector's probability of the class over time
is summed over a window; the 2 s around the largest sum are the segment. There is no threshold:
every clip has a segment.

Source: Chen et al., AAAI 2022; behaviour of the official code (3a4e363).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sepbench.baselines.stsed.sizes import HOP, SAMPLE_RATE, SEGMENT
from sepbench.harness.errors import QueryError

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.stsed.network_sed import SoundEventDetector

# B batch, N samples, T frames of 10 ms, E event classes

# Steps of the detector's grid that the window spans: 200 of 1024, which in a clip of 10 s are
# 1.953 s and not 2 s; so published.
WINDOW = 200


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Segment:
    """Where in a clip a class sounds.

    Attributes:
        start: seconds from the clip's beginning.
        end: likewise; always 2 s later.
        framewise: (T,) probabilities of the class, one for every 10 ms of the clip.
    """

    start: float
    end: float
    framewise: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """A segment of a clip.

    Attributes:
        anchor: frame of 10 ms that it was placed around.
        begin: first sample.
        end: sample after the last; always 64000 more.
    """

    anchor: int
    begin: int
    end: int


def localise(detector: SoundEventDetector, clips: Tensor, classes: Sequence[int]) -> list[Located]:
    """The 2 s of each clip in which its class sounds most.

    Args:
        detector: on the clips' device.
        clips: (B, N) at 32 kHz, of 2 s to 10.24 s; 10 s in the original.
        classes: B numbers of the detector's classes.

    Raises:
        QueryError: clips shorter than a segment or longer than the detector takes, or a class it
            does not have.
    """
    length = clips.shape[-1]
    found = _presence(detector, clips, classes)
    return [place(anchor_of(presence, length), length) for presence in found]


def segment_of(detector: SoundEventDetector, clip: Tensor, class_index: int) -> Segment:
    """The 2 s of one clip (N,) in which a class sounds most, and its probability over time.

    Raises:
        QueryError: as `localise`.
    """
    import torch

    length = len(clip)
    (presence,) = _presence(detector, clip[None], [class_index])
    located = place(anchor_of(presence, length), length)
    return Segment(
        start=located.begin / SAMPLE_RATE,
        end=located.end / SAMPLE_RATE,
        framewise=torch.from_numpy(on_frames(presence, length)).float(),
    )


def anchor_of(presence: npt.NDArray[np.float64], length: int) -> int:
    """The frame of 10 ms around which the class is likeliest.

    Args:
        presence: (1024,) probabilities on the detector's grid, which holds a short clip as often
            as it fits.
        length: samples of the clip.
    """
    summed = np.convolve(presence, np.ones(WINDOW), mode="same")
    frames, repeats = _frames(len(presence), length)
    return int(np.argmax(summed)) * repeats * frames // len(presence) % frames


def on_frames(presence: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.float64]:
    """From the grid, (1024,), to the clip's own frames of 10 ms, (T,), T = N // 320.

    Of a short clip's repetitions the largest value counts, as the anchor is found in any of them.
    """
    frames, repeats = _frames(len(presence), length)
    # The first step that lies in a frame; the one before it may lie in another repetition.
    steps = -(-np.arange(repeats * frames) * len(presence) // (repeats * frames))
    most: npt.NDArray[np.float64] = presence[steps].reshape(repeats, frames).max(0)
    return most


def _frames(grid: int, length: int) -> tuple[int, int]:
    """Frames of a clip, and how often the grid repeats it."""
    frames = length // HOP
    return frames, grid // (frames + 1)  # the detector counts one frame more


def _presence(
    detector: SoundEventDetector, clips: Tensor, classes: Sequence[int]
) -> list[npt.NDArray[np.float64]]:
    """Probability of each clip's class on the grid, (1024,) each."""
    import torch

    length = clips.shape[-1]
    if length < SEGMENT:
        raise QueryError(
            f"A clip of {length} samples has no segment of {SEGMENT} (2 s at 32 kHz) to be found."
        )
    with torch.inference_mode():
        columns = detector(clips).framewise  # (B, 1024, E)
    known = columns.shape[-1]
    for each in classes:
        if not 0 <= each < known:
            raise QueryError(f"The detector has no class {each}, only 0 to {known - 1}.")
    return [columns[index, :, each].double().cpu().numpy() for index, each in enumerate(classes)]


def place(anchor: int, length: int) -> Located:
    """The segment around a frame, moved inside the clip where it would stick out."""
    begin = min(max(anchor * HOP - SEGMENT // 2, 0), length - SEGMENT)
    return Located(anchor=anchor, begin=begin, end=begin + SEGMENT)
