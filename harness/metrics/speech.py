"""Speech quality and intelligibility: one family of ten metrics at 16 kHz.

Channels are averaged, other rates resampled to 16 kHz (soxr HQ, both signals alike), then each
measure that any wanted id needs is computed once: PESQ is shared by `pesq_wb` and the composites.

    CSIG = 3.093 − 1.029·LLR + 0.603·PESQ − 0.009·WSS          (signal distortion)
    CBAK = 1.634 + 0.478·PESQ − 0.007·WSS + 0.063·SSNR         (background intrusiveness)
    COVL = 1.594 + 0.805·PESQ − 0.512·LLR − 0.007·WSS          (overall quality)

each limited to 1…5, with the wide-band MOS-LQO as PESQ.

Source: Hu & Loizou, "Evaluation of objective quality measures for speech enhancement", IEEE TASLP
2008, with wide-band PESQ as the Python programs behind today's tables have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sepbench.harness.api import MetricCard, Samples, Undefined, Value
from sepbench.harness.metrics import speech_frames as frames
from sepbench.harness.metrics import speech_packages as packages
from sepbench.harness.metrics.contract import ScoredScene
from sepbench.harness.metrics.refusals import refuse_infinite, refuse_silence, value_of
from sepbench.harness.metrics.signals import Float64, Signal, pair
from sepbench.harness.metrics.speech_cards import SPEECH_CARDS

COMPOSITES: Mapping[str, Mapping[str, float]] = {
    "csig": {"": 3.093, "llr": -1.029, "pesq_wb": 0.603, "wss": -0.009},
    "cbak": {"": 1.634, "pesq_wb": 0.478, "wss": -0.007, "ssnr": 0.063},
    "covl": {"": 1.594, "pesq_wb": 0.805, "llr": -0.512, "wss": -0.007},
}
"""Weights of the measures in each composite; "" is the constant."""

COMPOSITE_LIMITS = (1.0, 5.0)

# What mute estimates do: SSNR has 0 dB in every frame, the rest nothing to look at.
MEASURES: Mapping[str, Callable[[Float64, Float64], float]] = {
    "pesq_wb": lambda s, s_hat: packages.pesq(s, _heard(s_hat), "wb"),
    "pesq_nb": lambda s, s_hat: packages.pesq(s, _heard(s_hat), "nb"),
    "stoi": lambda s, s_hat: packages.stoi(s, _heard(s_hat), extended=False),
    "estoi": lambda s, s_hat: packages.stoi(s, _heard(s_hat), extended=True),
    "ssnr": lambda s, s_hat: frames.ssnr(s, s_hat),
    "llr": lambda s, s_hat: frames.llr(s, _heard(s_hat)),
    "wss": lambda s, s_hat: frames.wss(s, _heard(s_hat)),
}


def speech_scores(
    reference: Signal, estimate: Signal, *, sample_rate: int, metrics: Sequence[str]
) -> dict[str, Value]:
    """Speech metrics of one estimate.

    Args:
        reference: clean speech, (N,) or (C, N); channels are averaged.
        estimate: enhanced speech, same shape.
        sample_rate: Hz; other rates than 16,000 are resampled.
        metrics: ids among pesq_wb, pesq_nb, stoi, estoi, ssnr, llr, wss, csig, cbak, covl.

    Returns:
        A value per id, in the order asked for; `Undefined` says whose fault it is and why.

    Raises:
        MissingExtraError: PESQ or STOI is asked for and its package is not installed.
        KeyError: an id is none of these.
        ValueError: the shapes differ.
    """
    known: dict[str, Value] = {}
    signals: tuple[Float64, Float64] | None = None

    def measure(name: str) -> float:
        nonlocal signals
        if signals is None:
            signals = _prepared(reference, estimate, sample_rate)
        return MEASURES[name](*signals)

    def value(name: str) -> Value:
        if name not in known:
            if name in COMPOSITES:
                parts = {part: value(part) for part in COMPOSITES[name] if part}
                known[name] = _composite(COMPOSITES[name], parts)
            else:
                known[name] = value_of(lambda: measure(name))
        return known[name]

    return {name: value(name) for name in metrics}


def _composite(weights: Mapping[str, float], parts: Mapping[str, Value]) -> Value:
    """A weighted sum within its limits, or why one of its parts is missing."""
    missing = [part for part in parts.values() if isinstance(part, Undefined)]
    if missing:  # what is the reference's fault is nobody's loss, whatever the estimate did
        return min(missing, key=lambda why: why.cause != "reference")
    total = weights[""] + sum(
        weights[name] * part for name, part in parts.items() if not isinstance(part, Undefined)
    )
    return float(np.clip(total, *COMPOSITE_LIMITS))


def _prepared(reference: Signal, estimate: Signal, sample_rate: int) -> tuple[Float64, Float64]:
    """Both signals (N,) at 16 kHz, once it is known that speech can be scored.

    Raises:
        UndefinedScoreError: too short, the reference silent, samples not finite.
        ValueError: the shapes differ.
    """
    s, s_hat = (
        np.atleast_2d(signal.reshape(reference.shape)).mean(axis=0)
        for signal in pair(reference, estimate)
    )
    refuse_silence(s, "reference")
    refuse_infinite(s_hat, "estimate")  # and a mute one by the measures without a value for it
    s, s_hat = at_speech_rate(s, sample_rate), at_speech_rate(s_hat, sample_rate)
    if len(s) < frames.SHORTEST:
        raise packages.too_short_at_speech_rate(s, "a frame", frames.SHORTEST)
    return s, s_hat


def at_speech_rate(signal: Float64, sample_rate: int) -> Float64:
    """A signal (N,) at 16 kHz; soxr's HQ setting, as for files."""
    if sample_rate == frames.SPEECH_RATE:
        return signal
    import soxr

    return np.asarray(soxr.resample(signal, sample_rate, frames.SPEECH_RATE, quality="HQ"))


def _heard(estimate: Float64) -> Float64:
    """The estimate itself.

    Raises:
        UndefinedScoreError: it is mute.
    """
    refuse_silence(estimate, "estimate")
    return estimate


@dataclass(frozen=True)
class Speech:
    """The family of speech metrics."""

    cards: tuple[MetricCard, ...]

    def score(self, scene: ScoredScene, wanted: frozenset[str]) -> Sequence[Mapping[str, Value]]:
        """Values of every item; see `MetricFamily.score`.

        Raises:
            MissingExtraError: as `require`.
        """
        self.require(wanted)
        ids = [card.metric_id for card in self.cards if card.metric_id in wanted]

        def scores(reference: Samples, estimate: Samples) -> Mapping[str, Value]:
            return speech_scores(reference, estimate, sample_rate=scene.sample_rate, metrics=ids)

        return [scores(item.reference, item.estimate) for item in scene.items]

    def require(self, wanted: frozenset[str]) -> None:
        """Say before any audio is read what is missing for these ids.

        Raises:
            MissingExtraError: a package that one of them needs is not installed.
        """
        if wanted & {"pesq_wb", "pesq_nb", *COMPOSITES}:
            packages.require_pesq()
        if wanted & {"stoi", "estoi"}:
            packages.require_pystoi()


SPEECH = Speech(cards=SPEECH_CARDS)
