"""The metrics bss_v4_* and bss_image_*: SDR, ISR, SIR, SAR of source images, a scene at a time.

*References.* All known sources of the scene, whichever of them were asked for: an item's number
must not change because another item failed. A scene that knows its target alone gets
mixture − target as the second source, and mixture − estimate as its estimate.

*Estimates.* Each item is projected on these references by itself; other estimates count in one
thing only, museval's rule that a window with a silent estimate is undefined for all. The set this
rule looks at are the first queries of all targets, the second ones, and so on. Estimates that are
mute throughout, where museval refuses to score at all, are undefined themselves and leave the set.

*v4* takes filters from the whole signal and ratios from windows of 1 s; an item's value is the
median of its defined windows. *image* is v3: one window, the whole signal. Both come from one set
of filters. The windows themselves: `frame_values` of a scene, or `bss_eval_images` of arrays.

Dimensions: C channels, N samples, W windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sepbench.harness.api import Attribute, Framewise, MetricCard, Samples, Undefined, Value
from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics.bss_eval import (
    FILTER_LENGTH,
    as_tensor,
    enough_samples,
    shortest,
    spans,
)
from sepbench.harness.metrics.contract import ScoredItem, ScoredScene
from sepbench.harness.metrics.signals import Float64

RATIOS = ("sdr", "isr", "sir", "sar")

WINDOW = 1.0
"""Seconds; the hop is the same."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ItemFrames:
    """Windows of one item.

    Attributes:
        decibels: SDR, ISR, SIR, SAR (4, W); NaN where a source is silent.
        silent_references: (W,) bool, where that source is a reference.
    """

    decibels: Float64
    silent_references: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BssImages:
    """A metric family: four ratios in windows of 1 s, and perhaps four of the whole signal.

    Attributes:
        pairs: hold each target against itself and its residual alone, not against all sources.
    """

    cards: tuple[MetricCard, ...]
    windowed: str = "bss_v4_"
    whole: str | None = "bss_image_"
    pairs: bool = False

    def score(self, scene: ScoredScene, wanted: frozenset[str]) -> Sequence[Mapping[str, Value]]:
        """Values of every item; see `MetricFamily.score`."""
        rows: list[dict[str, Value]] = [{} for _ in scene.items]
        num_samples = scene.mixture.shape[-1]
        groups = {self.windowed: spans(num_samples, scene.sample_rate, WINDOW, WINDOW)}
        if self.whole is not None:
            groups[self.whole] = [(0, num_samples)]
        groups = {
            prefix: windows
            for prefix, windows in groups.items()
            if any(name.startswith(prefix) for name in wanted)
        }
        every = [span for windows in groups.values() for span in windows]
        frames = frame_values(scene, every, pairs=self.pairs)
        for row, found in zip(rows, frames, strict=True):
            start = 0
            for prefix, windows in groups.items():
                part = slice(start, start := start + len(windows))
                for index, ratio in enumerate(RATIOS):
                    if prefix + ratio in wanted:
                        row[prefix + ratio] = (
                            found
                            if isinstance(found, Undefined)
                            else _median(found.decibels[index, part], found.silent_references[part])
                        )
        return rows


def frame_values(
    scene: ScoredScene, windows: Sequence[Span], *, pairs: bool = False
) -> list[ItemFrames | Undefined]:
    """SDR, ISR, SIR and SAR of every window of every item of a scene.

    Args:
        scene: signals; all known sources of the mixture as references.
        windows: first and last + 1 sample of each, as `bss_eval.spans` makes them.
        pairs: each item against target and residual alone, with mixture − estimate as the
            residual's estimate.

    Returns:
        One entry per item, in order: its windows, or why it has none.
    """
    found: list[ItemFrames | Undefined] = [_SILENT_TARGET for _ in scene.items]
    names = list(scene.references)
    known = [
        index
        for index, item in enumerate(scene.items)
        if len(names) > 1 and item.target in scene.references and not pairs
    ]
    if known:
        items = [scene.items[index] for index in known]
        frames = _score(
            [scene.references[name] for name in names],
            [item.estimate for item in items],
            [names.index(item.target) for item in items],
            _sets(items),
            windows,
        )
        for index, values in zip(known, frames, strict=True):
            found[index] = values
    for index, item in enumerate(scene.items):
        if index not in known and item.reference.any():
            references = [item.reference, scene.mixture - item.reference]
            estimates = [item.estimate, scene.mixture - item.estimate]
            found[index] = _score(references, estimates, [0, 1], [0, 0], windows)[0]
    return found


def _sets(items: Iterable[ScoredItem]) -> list[int]:
    """Which estimates belong together: the first of every target, then the second ones."""
    seen: dict[str, int] = {}
    ranks = []
    for item in items:
        ranks.append(seen.get(item.target, 0))
        seen[item.target] = ranks[-1] + 1
    return ranks


def _score(
    references: Sequence[Samples],
    estimates: Sequence[Samples],
    targets: Sequence[int],
    sets: Sequence[int],
    windows: Sequence[Span],
) -> list[ItemFrames | Undefined]:
    """Windows of each estimate, or why it has none."""
    from sepbench.harness.metrics.bss_frames import score_windows  # torch, not for cards

    found: list[ItemFrames | Undefined] = [_fault(estimate) or _MUTE for estimate in estimates]
    sound = [index for index, estimate in enumerate(estimates) if _fault(estimate) is None]
    if not sound:
        return found
    try:
        shape = (len(references), *references[0].shape)
        enough_samples(shape, windows, framewise_filters=False)
        frames = score_windows(
            [as_tensor(reference) for reference in references],
            [as_tensor(estimates[index]) for index in sound],
            [targets[index] for index in sound],
            windows,
            FILTER_LENGTH,
        )
    except UndefinedScoreError as error:
        why = Undefined(cause=error.cause, reason=error.reason)
        return [why if index in sound else found[index] for index in range(len(found))]
    decibels = frames.decibels.numpy()  # (4, E, W)
    quiet = frames.silent_estimates.numpy()  # (E, W)
    for place, index in enumerate(sound):
        together = [k for k, other in enumerate(sound) if sets[other] == sets[index]]
        values = np.where(quiet[together].any(axis=0), np.nan, decibels[:, place])
        found[index] = ItemFrames(values, frames.silent_references.any(0).numpy())
    return found


def _fault(estimate: Samples) -> Undefined | None:
    """Why an estimate (C, N) has no scores, or None."""
    if not np.isfinite(estimate).all():
        return Undefined(cause="estimate", reason="the estimate holds NaN or infinite samples")
    return None if np.sum(estimate, axis=0, dtype=np.float64).any() else _MUTE


def _median(values: Float64, silent_references: npt.NDArray[np.bool_]) -> Value:
    """Of the defined windows."""
    defined = values[~np.isnan(values)]
    if defined.size:
        middle = float(np.median(defined))
        return Framewise(middle, values.tolist()) if values.size > 1 else middle
    if silent_references.all():
        return Undefined(cause="reference", reason="a source is silent in every window")
    return Undefined(cause="estimate", reason="a source or an estimate is silent in every window")


_MUTE = Undefined(cause="estimate", reason="the estimate is mute")
_SILENT_TARGET = Undefined(cause="reference", reason="the target is silent")

_PARAMETERS: Mapping[str, Attribute] = {
    "filter_length": FILTER_LENGTH,
    "filters": "whole signal",
    "references": "all of the scene; target, mixture − target where only the target is known",
    "channels": "joint",
    "permutation": False,
    "solver": "direct",
    "precision": "float64",
}
_WINDOWS: Mapping[str, Attribute] = {
    "window": WINDOW,
    "hop": WINDOW,
    "aggregation": "median over windows, NaN left out",
}
_SILENCE = (
    "undefined where a source is silent or filtered copies of the others all through, for a mute "
    "estimate, and where every window has a silent source or estimate"
)
_FORMULAS = {
    "sdr": "|s|² / |ŝ − s|² in dB: the plain SNR, its filters cancel",
    "isr": "|s|² / |P_j ŝ − s|² in dB, P_j the projection on 512 delays of the target's channels",
    "sir": "|P_j ŝ|² / |Pŝ − P_j ŝ|² in dB, P the projection on 512 delays of all references",
    "sar": "|Pŝ|² / |ŝ − Pŝ|² in dB",
}


def _card(prefix: str, ratio: str, title: str, more: Mapping[str, Attribute]) -> MetricCard:
    metric_id = prefix + ratio
    return MetricCard(
        metric_id=metric_id,
        version=1,
        title=f"{ratio.upper()} ({title})",
        range="(-inf, +inf]" if ratio in ("sdr", "isr") else "[-inf, +inf]",
        min_samples=shortest(2),
        parameters={**_PARAMETERS, **more},
        needs_all_references=True,
        scope="scene",
        improvement=metric_id + "i" if ratio in ("sdr", "sir") else None,
        noise_floor=60.0 if ratio in ("sir", "sar") else None,
        # The mixture is the sum of its references: its e_artif is rounding alone.
        defined_for_mixture=ratio != "sar",
        silence=_SILENCE,
        formula=_FORMULAS[ratio],
        source="Liutkus, Stöter, Ito, LVA/ICA 2018; Vincent et al., IEEE TASLP 2006; = museval "
        "0.4.1 metrics.bss_eval(compute_permutation=False)",
    )


BSS_IMAGES = BssImages(
    cards=(
        *(_card("bss_v4_", ratio, "BSS Eval v4", _WINDOWS) for ratio in RATIOS),
        *(_card("bss_image_", ratio, "BSS Eval v3 images", {}) for ratio in RATIOS),
    )
)

# museval's NaN rule and its SIR depend on which sources stand together. Its second run over
# MUSDB18, vocals against accompaniment, is this one: protocols say which by naming the ids.
BSS_IMAGE_PAIRS = BssImages(
    cards=tuple(
        _card(
            "bss_v4_pair_",
            ratio,
            "BSS Eval v4, target against residual",
            {**_WINDOWS, "references": "target, mixture − target"},
        )
        for ratio in RATIOS
    ),
    windowed="bss_v4_pair_",
    whole=None,
    pairs=True,
)
