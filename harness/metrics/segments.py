"""SDR per segment, median over segments: the rules of ST-SED and of USS.

Both cut the signals into consecutive segments without overlap, score each with a plain SDR, and
take the median. They differ in everything else:

| | ST-SED | USS and AudioSep |
| --- | --- | --- |
| segment | 2 s | an argument there, 1 s here |
| tail | dropped | dropped, and with it a segment that ends exactly with the signal |
| silence | skipped where reference or estimate sums to exactly 0 | floors of 1e-10: a number |
| SDR | exact | `audiosep_sdr` |

ST-SED's skipping of mute estimates favours models that mute: read it beside `sdr`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sepbench.harness.api import MetricCard, Value
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics.contract import ScoredScene
from sepbench.harness.metrics.published import POWER_FLOOR, audiosep_sdr
from sepbench.harness.metrics.refusals import refuse_infinite, value_of
from sepbench.harness.metrics.signals import Float64, Signal, pair
from sepbench.harness.metrics.waveform import sdr

STSED_SECONDS = 2.0
"""200 frames of 320 samples at 32 kHz."""

USS_SECONDS = 1.0
"""USS's helper takes the length as an argument and no published call fixes it: museval's second."""


def stsed_segment_sdr(
    reference: Signal, estimate: Signal, *, sample_rate: int, seconds: float = STSED_SECONDS
) -> float:
    """Median SDR of consecutive segments as ST-SED scores MUSDB18, in dB.

    10·log10(Σ s² / Σ (ŝ − s)²) of every whole segment whose samples sum to exactly 0 neither in
    the reference nor in the estimate; the median of those.

    Args:
        reference: true target, (N,) or (C, N); channels are averaged first.
        estimate: separated target, same shape.
        sample_rate: Hz.
        seconds: length of a segment.

    Returns:
        Value in (-inf, +inf].

    Raises:
        UndefinedScoreError: shorter than a segment; every segment skipped, by the reference or by
            the estimate; samples not finite.
        ValueError: the shapes differ.

    Source: github.com/RetroCirce/Zero_Shot_Audio_Source_Separation at 3a4e363, `evaluate_sdr`:
        museval with one reference and window = segment, whose filters cancel.
    """
    s, s_hat = _mono(reference, estimate)
    length = round(seconds * sample_rate)
    segments = list(_cut(s, s_hat, length, last=len(s)))
    if not segments:
        raise _shorter(len(s), length)
    heard = [(truth, answer) for truth, answer in segments if truth.sum() != 0.0]
    if not heard:
        raise UndefinedScoreError("reference", "the reference is silent in every segment")
    values = [sdr(truth, answer) for truth, answer in heard if answer.sum() != 0.0]
    if not values:
        raise UndefinedScoreError(
            "estimate", "the estimate is mute in every segment in which the reference sounds"
        )
    return float(np.median(values))


def uss_segment_sdr(
    reference: Signal, estimate: Signal, *, sample_rate: int, seconds: float = USS_SECONDS
) -> float:
    """Median of AudioSep's SDR over consecutive segments, in dB.

    Segments begin at 0, L, 2·L, … as long as they end *before* the end of the signal, so one that
    ends with it is left out too. Each scores max(mean s², 1e-10) / max(mean (ŝ − s)², 1e-10).

    Args:
        reference: true target, (N,) or (C, N); channels are averaged first.
        estimate: separated target, same shape.
        sample_rate: Hz.
        seconds: length of a segment.

    Returns:
        A finite value.

    Raises:
        UndefinedScoreError: no segment ends before the end of the signal; samples not finite.
        ValueError: the shapes differ.

    Source: github.com/bytedance/uss at c19e2c5, `calculate_segmentwise_sdr`.
    """
    s, s_hat = _mono(reference, estimate)
    length = round(seconds * sample_rate)
    values = [audiosep_sdr(*segment) for segment in _cut(s, s_hat, length, last=len(s) - 1)]
    if not values:
        raise _shorter(len(s), length + 1)
    return float(np.median(values))


def _mono(reference: Signal, estimate: Signal) -> tuple[Float64, Float64]:
    """Both signals (N,), the mean over channels, finite."""
    s, s_hat = (
        np.atleast_2d(signal.reshape(reference.shape)).mean(axis=0)
        for signal in pair(reference, estimate)
    )
    refuse_infinite(s, "reference")
    refuse_infinite(s_hat, "estimate")
    return s, s_hat


def _cut(
    s: Float64, s_hat: Float64, length: int, *, last: int
) -> Iterator[tuple[Float64, Float64]]:
    """Pairs of segments (length,) that end at `last` or before."""
    for start in range(0, last - length + 1, length):
        yield s[start : start + length], s_hat[start : start + length]


def _shorter(num_samples: int, needed: int) -> UndefinedScoreError:
    return UndefinedScoreError(
        "reference", f"too short: {num_samples} samples, a segment needs {needed}"
    )


@dataclass(frozen=True)
class SegmentMetric:
    """A metric family of one id whose function wants to know the sample rate.

    Attributes:
        function: (reference, estimate, sample_rate=Hz), each (C, N), to a number.
    """

    card: MetricCard
    function: Callable[..., float]

    @property
    def cards(self) -> tuple[MetricCard, ...]:
        """The one card."""
        return (self.card,)

    def score(self, scene: ScoredScene, wanted: frozenset[str]) -> Sequence[Mapping[str, Value]]:
        """One value per item; see `MetricFamily.score`."""
        if self.card.metric_id not in wanted:
            return [{} for _ in scene.items]
        rows = []
        for item in scene.items:
            score = partial(
                self.function, item.reference, item.estimate, sample_rate=scene.sample_rate
            )
            rows.append({self.card.metric_id: value_of(score)})
        return rows


STSED_SEGMENT_SDR = SegmentMetric(
    card=MetricCard(
        metric_id="stsed_segment_sdr",
        version=1,
        title="SDR of 2-s segments (ST-SED)",
        range="(-inf, +inf]",
        parameters={
            "segment_seconds": STSED_SECONDS,
            "overlap": 0,
            "tail": "dropped",
            "skip": "segments whose reference or estimate sums to exactly 0",
            "aggregate": "median",
            "channels": "mean",
            "precision": "float64",
        },
        improvement="stsed_segment_sdri",
        silence="silent segments are skipped; undefined where all are, for fewer than 2 s, and "
        "for an estimate that is mute wherever the reference sounds",
        formula="median over segments of 10·log10(Σ s² / Σ (ŝ − s)²)",
        source="ST-SED (RetroCirce/Zero_Shot_Audio_Source_Separation 3a4e363), MUSDB18",
    ),
    function=stsed_segment_sdr,
)

USS_SEGMENT_SDR = SegmentMetric(
    card=MetricCard(
        metric_id="uss_segment_sdr",
        version=1,
        title="SDR of 1-s segments (USS)",
        parameters={
            "segment_seconds": USS_SECONDS,
            "overlap": 0,
            "tail": "dropped, with a segment that ends with the signal",
            "power_floor": POWER_FLOOR,
            "aggregate": "median",
            "channels": "mean",
            "precision": "float32",
        },
        improvement="uss_segment_sdri",
        silence="always a number from 1 s and a sample on: the floors stand in for silence",
        formula="median over segments of 10·log10(max(mean s², 1e-10) / max(mean (ŝ − s)², 1e-10))",
        source="USS (bytedance/uss c19e2c5), calculate_segmentwise_sdr",
    ),
    function=uss_segment_sdr,
)
