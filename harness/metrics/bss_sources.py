"""The metrics bss_sdr, bss_sir and bss_sar: a query's estimate in BSS Eval v3 "sources".

A query knows two sources: its target, and the residual (mixture − target). The estimate is held
against the first of them; the estimate of the residual that the definition also speaks of
(mixture − estimate) has scores of its own, which nobody asks for, and is not computed. All
estimates of one target share the factorisation of its two references.

Channels are averaged first: v3 sources is defined for mono signals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sepbench.harness.api import Attribute, MetricCard, Samples, Undefined, Value
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics.bss_eval import (
    FILTER_LENGTH,
    UNLIKE,
    as_tensor,
    check_sound,
    decibels,
    shortest,
)
from sepbench.harness.metrics.contract import ScoredScene, too_short
from sepbench.harness.metrics.signals import Float64, inner

SILENT_RESIDUAL = 1e-14
"""Energy of the residual over that of the mixture (−140 dB) below which it is float32 rounding."""


@dataclass(frozen=True)
class BssSources:
    """A metric family: SDR, SIR and SAR of one projection, in the order of `cards`."""

    cards: tuple[MetricCard, ...]

    def score(self, scene: ScoredScene, wanted: frozenset[str]) -> Sequence[Mapping[str, Value]]:
        """Values of every item; see `MetricFamily.score`."""
        by_target: dict[str, list[int]] = {}
        for index, item in enumerate(scene.items):
            by_target.setdefault(item.target, []).append(index)

        values: list[Mapping[str, Value]] = [{} for _ in scene.items]
        for indices in by_target.values():
            reference = scene.items[indices[0]].reference
            estimates = [scene.items[index].estimate for index in indices]
            rows = self._of_target(reference, scene.mixture, estimates)
            for index, row in zip(indices, rows, strict=True):
                values[index] = {name: value for name, value in row.items() if name in wanted}
        return values

    def _of_target(
        self, reference: Samples, mixture: Samples, estimates: Sequence[Samples]
    ) -> list[dict[str, Value]]:
        """All ids for every estimate of one target."""
        short = too_short(self.cards[0], reference.shape[-1])
        if short is not None:
            return [self._row(short, short, short) for _ in estimates]
        from sepbench.harness.metrics.bss_shares import energy_shares  # torch, not for cards

        mono = [downmix(estimate) for estimate in estimates]  # (N,) each
        faults = [_fault(estimate) for estimate in mono]
        sound = [estimate for estimate, fault in zip(mono, faults, strict=True) if fault is None]
        try:
            references = target_and_residual(reference, mixture)  # (2, N)
            shares = np.empty((3, 0))
            if sound:
                truth, answers = as_tensor(references), as_tensor(np.stack(sound))
                targets = [0] * len(sound)
                shares = energy_shares(truth, answers, targets, FILTER_LENGTH).numpy()
        except UndefinedScoreError as error:
            why = Undefined(cause=error.cause, reason=error.reason)
            return [self._row(why, why, why) for _ in estimates]
        scored = iter(decibels(shares).T)  # (3,) each
        return [
            self._row(fault, fault, fault) if fault else self._row(*map(_value, next(scored)))
            for fault in faults
        ]

    def _row(self, *values: Value) -> dict[str, Value]:
        return dict(zip((card.metric_id for card in self.cards), values, strict=True))


def target_and_residual(reference: Samples, mixture: Samples) -> Float64:
    """The two sources a query knows, (2, N), mean over channels.

    Raises:
        UndefinedScoreError: one of them is silent or not finite.
    """
    target, whole = downmix(reference), downmix(mixture)
    residual = whole - target
    check_sound(inner(target, target), "reference", "target")
    check_sound(inner(residual, residual), "reference", "residual")
    if inner(residual, residual) < SILENT_RESIDUAL * inner(whole, whole):
        raise UndefinedScoreError("reference", "the residual is silent but for float32 rounding")
    return np.stack([target, residual])


def downmix(signal: Samples) -> Float64:
    """(C, N) to (N,) in float64: the mean over channels."""
    mono: Float64 = np.mean(signal, axis=0, dtype=np.float64)
    return mono


def _fault(estimate: Float64) -> Undefined | None:
    """Why an estimate (N,) has no scores, or None."""
    try:
        check_sound(inner(estimate, estimate), "estimate", "estimate")
    except UndefinedScoreError as error:
        return Undefined(cause=error.cause, reason=error.reason)
    return None


def _value(decibel: float) -> Value:
    if np.isnan(decibel):
        return Undefined(cause="estimate", reason=UNLIKE)
    return float(decibel)


_PARAMETERS: Mapping[str, Attribute] = {
    "filter_length": FILTER_LENGTH,
    "references": "target, mixture − target",
    "channels": "downmix",
    "permutation": False,
    "solver": "direct",
    "precision": "float64",
}
_SILENCE = (
    "undefined for a silent target or residual, for target and residual that are filtered copies "
    "of one sound, and for a mute estimate"
)
_SOURCE = (
    "Vincent et al., IEEE TASLP 2006 (BSS Eval v3 sources); "
    "= mir_eval.separation.bss_eval_sources(compute_permutation=False)"
)

BSS_SOURCES = BssSources(
    cards=(
        MetricCard(
            metric_id="bss_sdr",
            version=1,
            title="SDR (BSS Eval v3)",
            range="[-inf, +inf]",
            min_samples=shortest(2),
            parameters=_PARAMETERS,
            needs_all_references=True,
            improvement="bss_sdri",
            silence=_SILENCE,
            formula="|s_target|² / |e_interf + e_artif|² in dB, s_target the projection on 512 "
            "delays of the target",
            source=_SOURCE,
        ),
        MetricCard(
            metric_id="bss_sir",
            version=1,
            title="SIR (BSS Eval v3)",
            range="[-inf, +inf]",
            min_samples=shortest(2),
            parameters=_PARAMETERS,
            needs_all_references=True,
            improvement="bss_siri",
            noise_floor=60.0,
            silence=_SILENCE,
            formula="|s_target|² / |e_interf|² in dB, e_interf what 512 delays of the residual add "
            "to the projection",
            source=_SOURCE,
        ),
        MetricCard(
            metric_id="bss_sar",
            version=1,
            title="SAR (BSS Eval v3)",
            range="[-inf, +inf]",
            min_samples=shortest(2),
            parameters=_PARAMETERS,
            needs_all_references=True,
            noise_floor=60.0,
            # The mixture is the sum of its references: its e_artif is rounding alone.
            defined_for_mixture=False,
            silence=_SILENCE,
            formula="|s_target + e_interf|² / |e_artif|² in dB, e_artif what no delays of target "
            "and residual explain",
            source=_SOURCE,
        ),
    )
)
