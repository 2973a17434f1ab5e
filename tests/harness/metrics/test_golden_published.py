"""Real recordings score as in AudioSep, torchmetrics, museval, pesq, pystoi and pysepm."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepbench.harness.metrics import ScoredItem, ScoredScene, score_scene
from sepbench.harness.metrics.published import audiosep_sdr, audiosep_si_sdr
from sepbench.harness.metrics.segments import stsed_segment_sdr
from sepbench.harness.metrics.speech import speech_scores
from sepbench.harness.metrics.whole_scene import sa_sdr
from sepbench.harness.metrics.zero_mean import si_sdr_zm

HERE = Path(__file__).resolve()
GOLDEN = HERE.parents[2] / "golden" / "metrics"
SHARED = Path(os.environ.get("SEPBENCH_SHARED", HERE.parents[4] / "shared"))
STORED = json.loads((GOLDEN / "published_and_speech.json").read_text())
ITEMS = STORED["items"]
SPOKEN = [name for name in ITEMS if "speech" in ITEMS[name]]
MONO = [name for name in ITEMS if "museval_frames_sdr" in ITEMS[name]]
FORMULAS = {"sdr": audiosep_sdr, "si_sdr": audiosep_si_sdr}

# Values are rounded to 6 decimals; ours agree with them to 5e-7 except in float32.
EXACT = 1e-6
TOLERANCE = {"pesq_wb": 1e-5, "pesq_nb": 1e-5}


def triple(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reference, interference, estimate, (N,) each: mean over channels, as the values are."""
    files = ITEMS[name]["files"]
    shared = SHARED / "reference" / "protocols" / "golden_metrics"
    for folder in (GOLDEN, shared):
        if (folder / files["ref"]).is_file():
            parts = (soundfile.read(folder / files[p])[0] for p in ("ref", "interf", "est"))
            reference, interference, estimate = (
                part.mean(axis=1) if part.ndim == 2 else part for part in parts
            )
            return reference, interference, estimate
    pytest.skip(f"the audio of {name} may not be redistributed and is not under SEPBENCH_SHARED")


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("name", ITEMS)
def test_audiosep_formulas_in_float64(name, formula):
    reference, interference, estimate = triple(name)
    values = ITEMS[name]["audiosep_float64"]
    function = FORMULAS[formula]

    ours = function(reference, estimate, precision="float64")
    of_mixture = function(reference, reference + interference, precision="float64")

    assert ours == pytest.approx(values[formula], abs=EXACT)
    assert of_mixture == pytest.approx(values[f"{formula}_mixture"], abs=EXACT)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("name", ITEMS)
def test_audiosep_formulas_in_float32_as_the_published_tables(name, formula):
    signals = [signal.astype(np.float32) for signal in triple(name)]
    reference, interference, estimate = signals
    values = ITEMS[name]["audiosep_float32"]
    scene = ScoredScene(
        sample_rate=32000,
        mixture=(reference + interference)[None],
        references={"target": reference[None]},
        items=tuple(
            ScoredItem(target="target", reference=reference[None], estimate=answer[None])
            for answer in (estimate, reference + interference)
        ),
    )

    ours, of_mixture = score_scene(scene, [f"audiosep_{formula}"])

    # A BLAS dot product and a pairwise sum differ in the last digits of float32.
    assert ours[f"audiosep_{formula}"] == pytest.approx(values[formula], abs=5e-5)
    assert of_mixture[f"audiosep_{formula}"] == pytest.approx(
        values[f"{formula}_mixture"], abs=5e-5
    )


@pytest.mark.parametrize("name", ITEMS)
def test_si_sdr_with_zero_mean_and_source_aggregation_as_in_torchmetrics(name):
    reference, interference, estimate = triple(name)
    residual = reference + interference - estimate

    assert si_sdr_zm(reference, estimate) == pytest.approx(ITEMS[name]["si_sdr_zm"], abs=EXACT)
    assert sa_sdr([reference, interference], [estimate, residual]) == pytest.approx(
        ITEMS[name]["sa_sdr"], abs=EXACT
    )


@pytest.mark.parametrize("name", MONO)
def test_segments_score_as_musevals_frames(name):
    reference, _, estimate = triple(name)
    frames = np.array(ITEMS[name]["museval_frames_sdr"], dtype=float)

    value = stsed_segment_sdr(
        reference, estimate, sample_rate=ITEMS[name]["sample_rate"], seconds=1.0
    )

    assert value == pytest.approx(np.nanmedian(frames), abs=EXACT)


@pytest.mark.parametrize("name", SPOKEN)
def test_speech_scores_as_in_pesq_pystoi_and_pysepm(name):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    reference, interference, estimate = triple(name)

    for answer, key in ((estimate, "speech"), (reference + interference, "speech_mixture")):
        values = ITEMS[name][key]
        ours = speech_scores(reference, answer, sample_rate=16000, metrics=list(values))
        for metric_id, value in values.items():
            assert ours[metric_id] == pytest.approx(value, abs=TOLERANCE.get(metric_id, EXACT))


@pytest.mark.parametrize("name", STORED["voicebank_demand"])
def test_noisy_speech_of_voicebank_demand_scores_as_tabulated(name):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    folder = SHARED / "data" / "voicebank_demand"
    if not (folder / "clean_testset_wav" / f"{name}.wav").is_file():
        pytest.skip("VoiceBank-DEMAND is not under SEPBENCH_SHARED")
    clean, rate = soundfile.read(folder / "clean_testset_wav" / f"{name}.wav")
    noisy, _ = soundfile.read(folder / "noisy_testset_wav" / f"{name}.wav")
    values = STORED["voicebank_demand"][name]

    ours = speech_scores(clean, noisy, sample_rate=rate, metrics=list(values))

    for metric_id, value in values.items():  # tabulated with 2 or 3 decimals
        digits = 3 if metric_id in ("pesq_wb", "pesq_nb", "stoi", "estoi") else 2
        assert round(ours[metric_id], digits) == pytest.approx(value, abs=1e-9), metric_id
