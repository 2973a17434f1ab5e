"""Ratios that look beyond one (reference, estimate): source-aggregated SDR, and suppression.

float64 inside, channels laid end to end, no epsilon, as in waveform.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sepbench.harness.api import MetricCard, Undefined, Value
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics.contract import ScoredItem, ScoredScene
from sepbench.harness.metrics.refusals import refuse_infinite, value_of
from sepbench.harness.metrics.signals import Signal, inner, pair


def sa_sdr(references: Sequence[Signal], estimates: Sequence[Signal]) -> float:
    """Source-aggregated SDR: one ratio over all sources of a scene, in dB.

    10·log10(Σ_q Σ s_q² / Σ_q Σ (ŝ_q − s_q)²). Unlike a mean of SDRs it is defined where some of
    the references are silent: what is put out for them adds to the error.

    Args:
        references: Q true targets, (N,) or (C, N) each, not all silent; an array (Q, …, N) too.
        estimates: Q estimates of the same shapes.

    Returns:
        Value in (-inf, +inf]: the SDR where Q = 1.

    Raises:
        UndefinedScoreError: every reference is silent, or samples are not finite.
        ValueError: there are no sources, not as many estimates, or shapes differ.

    Source: von Neumann, Kinoshita, Boeddeker, Delcroix, Haeb-Umbach, "SA-SDR: a novel loss
        function for separation of meeting style data", ICASSP 2022; torchmetrics
        `source_aggregated_signal_distortion_ratio(scale_invariant=False)` without its epsilon.
    """
    if not len(references) or len(references) != len(estimates):
        raise ValueError(
            f"{len(references)} references and {len(estimates)} estimates: there must be as many "
            "of one as of the other, and at least one."
        )
    pairs = [pair(s, s_hat) for s, s_hat in zip(references, estimates, strict=True)]
    for s, _ in pairs:
        refuse_infinite(s, "reference")
    for _, s_hat in pairs:
        refuse_infinite(s_hat, "estimate")
    signal = math.fsum(inner(s, s) for s, _ in pairs)
    if signal == 0.0:
        raise UndefinedScoreError("reference", "every reference is silent")
    error = math.fsum(inner(s_hat - s, s_hat - s) for s, s_hat in pairs)
    if not (math.isfinite(signal) and math.isfinite(error)):
        raise UndefinedScoreError("estimate", "the energies are beyond float64")
    return math.inf if error == 0.0 else 10.0 * (math.log10(signal) - math.log10(error))


def suppression(mixture: Signal, estimate: Signal) -> float:
    """By how much an estimate is quieter than the mixture, in dB.

    10·log10(Σ x² / Σ ŝ²), x the mixture. What a separator should do for an absent query, where
    every ratio with the reference on top is undefined.

    Args:
        mixture: (N,) or (C, N), not silent.
        estimate: what was put out for a query, same shape.

    Returns:
        Value in (-inf, +inf]: 0 for the mixture itself, +inf for a mute estimate.

    Raises:
        UndefinedScoreError: the mixture is silent, or samples are not finite.
        ValueError: the shapes differ.

    Source: ST-SED's "silence" score (3a4e363, `calculate_silence_sdr`) without its floors of 1e-8.
    """
    x, s_hat = pair(mixture, estimate)
    before, after = inner(x, x), inner(s_hat, s_hat)
    if not math.isfinite(before):
        raise UndefinedScoreError("reference", "the mixture holds NaN or infinite samples")
    if before == 0.0:
        raise UndefinedScoreError("reference", "the mixture is silent")
    refuse_infinite(s_hat, "estimate")
    return math.inf if after == 0.0 else 10.0 * (math.log10(before) - math.log10(after))


@dataclass(frozen=True)
class SourceAggregated:
    """The metric family sa_sdr: every item of a scene gets the scene's value."""

    cards: tuple[MetricCard, ...]

    def score(self, scene: ScoredScene, wanted: frozenset[str]) -> Sequence[Mapping[str, Value]]:
        """One value a set of estimates, given to its items; see `MetricFamily.score`.

        A set are the first queries of all targets, the second ones, and so on. It needs an
        estimate of every known source: a scene must not gain by a missing one.
        """
        sets: dict[int, dict[str, ScoredItem]] = {}
        ranks = []
        for item in scene.items:
            rank = next(k for k in itertools.count() if item.target not in sets.get(k, {}))
            sets.setdefault(rank, {})[item.target] = item
            ranks.append(rank)
        values = {rank: _aggregated(scene, chosen) for rank, chosen in sets.items()}
        return [dict.fromkeys(wanted, values[rank]) for rank in ranks]


def _aggregated(scene: ScoredScene, chosen: Mapping[str, ScoredItem]) -> Value:
    """SA-SDR of one estimate for each target."""
    left = [name for name in scene.references if name not in chosen]
    if left:
        return Undefined(cause="reference", reason=f"there is no estimate of {', '.join(left)}")
    items = chosen.values()
    return value_of(partial(sa_sdr, [i.reference for i in items], [i.estimate for i in items]))


@dataclass(frozen=True)
class Suppression:
    """The metric family suppression: the estimate against the mixture."""

    cards: tuple[MetricCard, ...]

    def score(self, scene: ScoredScene, wanted: frozenset[str]) -> Sequence[Mapping[str, Value]]:
        """One value per item; see `MetricFamily.score`."""
        return [
            dict.fromkeys(wanted, value_of(partial(suppression, scene.mixture, item.estimate)))
            for item in scene.items
        ]


SA_SDR = SourceAggregated(
    cards=(
        MetricCard(
            metric_id="sa_sdr",
            version=2,
            title="SA-SDR",
            range="(-inf, +inf]",
            parameters={
                "sources": "all of the scene, one estimate each",
                "mean_removal": False,
                "channels": "flattened",
                "precision": "float64",
            },
            scope="scene",
            improvement="sa_sdri",
            silence="silent references count with their error alone; undefined where all are "
            "silent or a source has no estimate; a mute estimate loses its source",
            formula="10·log10(Σ_q Σ s_q² / Σ_q Σ (ŝ_q − s_q)²), q over the sources of the scene",
            source="von Neumann et al., ICASSP 2022 (SA-SDR), without epsilon",
        ),
    )
)

SUPPRESSION = Suppression(
    cards=(
        MetricCard(
            metric_id="suppression",
            version=1,
            title="Suppression",
            range="(-inf, +inf]",
            parameters={"channels": "flattened", "precision": "float64"},
            silence="+inf for a mute estimate, whatever the reference; undefined for a silent "
            "mixture",
            formula="10·log10(Σ x² / Σ ŝ²), x the mixture; higher is better for absent queries",
            source="ST-SED's silence score (3a4e363) without its floors",
        ),
    )
)
