"""Cards of the ten speech metrics; their numbers are made in speech.py."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sepbench.harness.api import Attribute, MetricCard

_COMMON: Mapping[str, Attribute] = {
    "sample_rate": 16000,
    "resampling": "soxr HQ where the scene's rate differs",
    "channels": "mean",
    "precision": "float64",
}
_FRAMES: Mapping[str, Attribute] = {
    **_COMMON,
    "frame": "30 ms Hann, 75 % overlap, last left out",
}
_PESQ: Mapping[str, Attribute] = {"min_seconds": 0.25, "max_seconds": 20, "package": "pesq"}
_STOI: Mapping[str, Attribute] = {"min_seconds": 0.41, "package": "pystoi"}
_COMPOSITE: Mapping[str, Attribute] = {
    **_FRAMES,
    "min_seconds": 0.25,
    "max_seconds": 20,
    "pesq": "pesq_wb",
    "limits": "1…5",
}
_HU_LOIZOU = "Hu & Loizou, IEEE TASLP 2008, with wide-band PESQ (= pysepm at 16 kHz)"
_SILENCE = "undefined for a silent reference and for a mute estimate"
_PESQ_SILENCE = (
    "undefined for a silent reference or one without an utterance, for a mute estimate or one that "
    "PESQ cannot align, below 0.25 s and above 20 s"
)
_STOI_SILENCE = (
    "undefined for a silent reference, for one with less than 0.4 s within 40 dB of its loudest "
    "frame, and for a mute estimate"
)

_mos = partial(MetricCard, version=1, unit="MOS")
_share = partial(
    MetricCard,
    version=1,
    unit="",
    range="[-1, 1]",
    parameters={**_COMMON, **_STOI},
    silence=_STOI_SILENCE,
)

SPEECH_CARDS: tuple[MetricCard, ...] = (
    _mos(
        metric_id="pesq_wb",
        title="PESQ (wb)",
        range="[1.04, 4.64]",
        parameters={**_COMMON, **_PESQ, "band": "wide"},
        silence=_PESQ_SILENCE,
        formula="perceptual model of P.862 at 16 kHz, mapped to MOS-LQO by P.862.2; level is "
        "ignored",
        source="ITU-T P.862.2 through the package pesq",
    ),
    _mos(
        metric_id="pesq_nb",
        title="PESQ (nb, 16 kHz)",
        range="[1.02, 4.55]",
        parameters={**_COMMON, **_PESQ, "band": "narrow"},
        silence=_PESQ_SILENCE,
        formula="perceptual model of P.862 with its narrow-band input filter at 16 kHz, mapped to "
        "MOS-LQO by P.862.1; another number than at 8 kHz",
        source="ITU-T P.862.1 through the package pesq",
    ),
    _share(
        metric_id="stoi",
        title="STOI",
        formula="mean correlation of clean and processed envelopes in 15 third-octave bands over "
        "0.4 s, at 10 kHz, without frames 40 dB below the loudest",
        source="Taal et al., IEEE TASLP 2011, through the package pystoi",
    ),
    _share(
        metric_id="estoi",
        title="ESTOI",
        formula="as STOI, with spectrograms of 0.4 s normalised over time and bands",
        source="Jensen & Taal, IEEE/ACM TASLP 2016, through the package pystoi",
    ),
    MetricCard(
        metric_id="ssnr",
        version=1,
        title="SSNR",
        range="[-10, 35]",
        parameters={**_FRAMES, "min_seconds": 0.0375, "limits": "−10…35 dB per frame"},
        improvement="ssnri",
        silence="undefined for a silent reference; a frame silent in it counts −10 dB; 0 dB in "
        "the others for a mute estimate",
        formula="mean over frames of 10·log10(Σ s² / Σ (s − ŝ)²), each within −10…35",
        source="Hansen & Pellom, ICSLP 1998; as in " + _HU_LOIZOU,
    ),
    MetricCard(
        metric_id="llr",
        version=1,
        title="LLR",
        unit="",
        higher_is_better=False,
        range="[0, +inf)",
        parameters={
            **_FRAMES,
            "min_seconds": 0.0375,
            "order": 16,
            "kept_frames": 0.95,
            "frame_limit": None,
        },
        silence=_SILENCE + "; a silent frame counts as white noise",
        formula="mean of the lowest 95 % of ln(a_ŝᵀ R_s a_ŝ / a_sᵀ R_s a_s), a of order 16",
        source="Quackenbush et al. 1988; as in " + _HU_LOIZOU,
    ),
    MetricCard(
        metric_id="wss",
        version=1,
        title="WSS",
        unit="",
        higher_is_better=False,
        range="[0, +inf)",
        parameters={
            **_FRAMES,
            "min_seconds": 0.0375,
            "bands": 25,
            "kept_frames": 0.95,
            "band_floor_db": -100,
        },
        silence=_SILENCE,
        formula="mean of the lowest 95 % of Σ w·(slope − slope')² / Σ w over 25 critical bands",
        source="Klatt, ICASSP 1982; as in " + _HU_LOIZOU,
    ),
    _mos(
        metric_id="csig",
        title="CSIG",
        range="[1, 5]",
        parameters=_COMPOSITE,
        silence=_PESQ_SILENCE,
        formula="3.093 − 1.029·LLR + 0.603·PESQ − 0.009·WSS, within 1…5",
        source=_HU_LOIZOU,
    ),
    _mos(
        metric_id="cbak",
        title="CBAK",
        range="[1, 5]",
        parameters=_COMPOSITE,
        silence=_PESQ_SILENCE,
        formula="1.634 + 0.478·PESQ − 0.007·WSS + 0.063·SSNR, within 1…5",
        source=_HU_LOIZOU,
    ),
    _mos(
        metric_id="covl",
        title="COVL",
        range="[1, 5]",
        parameters=_COMPOSITE,
        silence=_PESQ_SILENCE,
        formula="1.594 + 0.805·PESQ − 0.512·LLR − 0.007·WSS, within 1…5",
        source=_HU_LOIZOU,
    ),
)
