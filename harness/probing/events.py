"""How well a sound event detector names what sounds in labelled clips.

A detector is an encoder that has `class_names` and `clipwise` as well. One that also has `locate`
can say where in a clip a class sounds.

Shapes: N clips (or samples of one), B of a batch, T steps of time, E event classes, K classes of
the corpus that the detector knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from sepbench.harness.api import EncoderCard
from sepbench.harness.averages import BOOTSTRAP_DRAWS, CONFIDENCE
from sepbench.harness.errors import MissingExtraError, NotApplicableError

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Numbers = npt.NDArray[np.int64]

_SEED = 20260101
_MOST_NUMBERS = 4_000_000  # held at once while draws are made


@runtime_checkable
class EventDetector(Protocol):
    """An encoder that also tells what sounds."""

    card: EncoderCard

    @property
    def class_names(self) -> Sequence[str]:
        """E names, in the order of `clipwise`."""
        ...

    def load(self, device: str) -> None:
        """Put weights on the device."""
        ...

    def clipwise(self, clips: Sequence[Tensor]) -> Tensor:
        """Probabilities (B, E) of B mono clips (N,) at `card.sample_rate`, any lengths.

        Raises:
            QueryError: a clip that the detector takes no answer from.
        """
        ...


class EventSegment(Protocol):
    """Where in a clip a class sounds most."""

    @property
    def start(self) -> float:
        """Seconds from the clip's beginning."""
        ...

    @property
    def end(self) -> float:
        """Likewise, above `start`."""
        ...

    @property
    def framewise(self) -> Tensor:
        """Probabilities (T,) of the class over the clip, in T equal steps."""
        ...


@runtime_checkable
class EventLocator(EventDetector, Protocol):
    """A detector that also tells where."""

    def locate(self, clip: Tensor, class_index: int) -> EventSegment:
        """The segment in which a class sounds most.

        Args:
            clip: (N,) at `card.sample_rate`.
            class_index: in `class_names`.

        Raises:
            QueryError: a clip in which it locates nothing, such as one that is too short.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EventScores:
    """Average precision a class, and their mean.

    Attributes:
        interval: of the mean at 95 %, original recordings drawn again; None with fewer than two.
        by_class: of the classes that sound in some clip.
    """

    value: float
    interval: tuple[float, float] | None
    by_class: dict[str, float]


def event_map(
    probabilities: Floats, truth: Flags, names: Sequence[str], origins: Sequence[str]
) -> EventScores:
    """Mean average precision over classes.

    Args:
        probabilities: (N, K); a row of NaN, a clip without an answer, ranks below all others.
        truth: (N, K), whether the class sounds in the clip.
        names: K classes; one that sounds in no clip is left out.
        origins: N names of original recordings.

    Raises:
        NotApplicableError: no class sounds in any clip.
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.metrics import average_precision_score
    except ModuleNotFoundError:
        raise MissingExtraError("bench probe --sed", "scikit-learn", "probe") from None
    answered = np.where(np.isfinite(probabilities), probabilities, -1.0)
    sounding = [k for k in range(len(names)) if truth[:, k].any()]
    if not sounding:
        raise NotApplicableError("No class of the detector sounds in any clip.")
    by_class = {
        names[k]: float(average_precision_score(truth[:, k], answered[:, k])) for k in sounding
    }
    return EventScores(
        value=float(np.mean(list(by_class.values()))),
        interval=_interval(answered[:, sounding], truth[:, sounding], origins),
        by_class=by_class,
    )


def weighted_precisions(scores: Floats, truth: Flags, weights: Numbers) -> Floats:
    """Average precision of draws in which clip n comes `weights[draw, n]` times, (draws,).

    Sum over thresholds of (recall gained) · precision, as scikit-learn has it; NaN for a draw
    without the class.

    Args:
        scores: (N,), equal ones share a threshold.
        truth: (N,).
        weights: (draws, N).
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(weights[:, order] * truth[order], axis=1)[:, ends].astype(np.float64)
    seen = np.cumsum(weights[:, order], axis=1)[:, ends]
    gained = np.diff(hits, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(seen > 0, hits / seen, 0.0)
        found: Floats = (gained * precision).sum(axis=1) / hits[:, -1]
    return found


def _interval(scores: Floats, truth: Flags, origins: Sequence[str]) -> tuple[float, float] | None:
    _, codes = np.unique(np.array(origins, dtype=str), return_inverse=True)
    count = int(codes.max()) + 1
    if count < 2:
        return None
    rng = np.random.default_rng(_SEED)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP_DRAWS)
    parts = np.array_split(drawn, -(-BOOTSTRAP_DRAWS * len(codes) // _MOST_NUMBERS))
    points = np.concatenate([_draw_means(scores, truth, part[:, codes]) for part in parts])
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(points, [tail, 100 - tail])
    return float(low), float(high)


def _draw_means(scores: Floats, truth: Flags, weights: Numbers) -> Floats:
    """Mean over classes of each draw; classes that it lacks are left out."""
    columns = [
        weighted_precisions(scores[:, k], truth[:, k], weights) for k in range(scores.shape[1])
    ]
    stacked = np.stack(columns)
    there = np.isfinite(stacked)
    sums = np.where(there, stacked, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        means: Floats = sums / there.sum(axis=0)
    return means
