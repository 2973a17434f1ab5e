"""Metrics: pure functions of (reference, estimate), each with a card that says which number it is.

    from sepbench.harness.metrics import bss_eval_sources, sdr, si_sdr

Names are imported when they are used: importing this package loads neither NumPy nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sepbench.harness.metrics.bss_eval import BssEval, bss_eval_images, bss_eval_sources
    from sepbench.harness.metrics.catalog import METRICS, card_of, family_of, score_scene
    from sepbench.harness.metrics.clap import clap_score_family
    from sepbench.harness.metrics.contract import (
        ItemMetric,
        MetricFamily,
        ScoredItem,
        ScoredScene,
    )
    from sepbench.harness.metrics.published import audiosep_sdr, audiosep_si_sdr
    from sepbench.harness.metrics.segments import stsed_segment_sdr, uss_segment_sdr
    from sepbench.harness.metrics.speech import speech_scores
    from sepbench.harness.metrics.waveform import sdr, si_sdr
    from sepbench.harness.metrics.whole_scene import sa_sdr, suppression
    from sepbench.harness.metrics.zero_mean import si_sdr_zm

__all__ = [
    "METRICS",
    "BssEval",
    "ItemMetric",
    "MetricFamily",
    "ScoredItem",
    "ScoredScene",
    "audiosep_sdr",
    "audiosep_si_sdr",
    "bss_eval_images",
    "bss_eval_sources",
    "card_of",
    "clap_score_family",
    "family_of",
    "sa_sdr",
    "score_scene",
    "sdr",
    "si_sdr",
    "si_sdr_zm",
    "speech_scores",
    "stsed_segment_sdr",
    "suppression",
    "uss_segment_sdr",
]

# No module here may carry the name of a public function: importing a submodule sets it as an
# attribute of the package, and `from …metrics import sdr` would then give the module.
_MODULES = {
    "bss_eval": ("BssEval", "bss_eval_images", "bss_eval_sources"),
    "catalog": ("METRICS", "card_of", "family_of", "score_scene"),
    "contract": ("ItemMetric", "MetricFamily", "ScoredItem", "ScoredScene"),
    "waveform": ("sdr", "si_sdr"),
    "zero_mean": ("si_sdr_zm",),
    "published": ("audiosep_sdr", "audiosep_si_sdr"),
    "segments": ("stsed_segment_sdr", "uss_segment_sdr"),
    "whole_scene": ("sa_sdr", "suppression"),
    "speech": ("speech_scores",),
    "clap": ("clap_score_family",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
