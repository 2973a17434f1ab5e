"""Live parity with torchmetrics, whose signals come in the other order: (estimate, reference)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sepbench.harness.metrics import bss_eval_sources, sdr, si_sdr, si_sdr_zm

audio = pytest.importorskip("torchmetrics.functional.audio")

CLIPS = Path(__file__).resolve().parents[3] / "datasets" / "demo" / "clips"

# Noise, noise far from zero mean, and real sounds from lossy files, which have empty bands.
CASES = ("noise", "offset", "5-222524-A", "4-125929-A", "4-161579-B")


def pair(case: str) -> tuple[np.ndarray, np.ndarray]:
    """A reference (1, N) and an estimate with a filtered copy, noise and another gain in it."""
    if case in ("noise", "offset"):
        reference = noise(16000) + (2.0 if case == "offset" else 0.0)
    else:
        path = CLIPS / f"{case}.ogg"
        reference = soundfile.read(path, dtype="float64", always_2d=True)[0].mean(axis=1)
    loudness = np.sqrt(np.mean(reference**2))
    estimate = 0.7 * reference + 0.2 * np.roll(reference, 5)
    return reference[None], (estimate + 0.1 * loudness * noise(len(reference), seed=1))[None]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples)


def theirs(function, reference: np.ndarray, estimate: np.ndarray, **settings: object) -> float:
    pair_of_tensors = torch.from_numpy(estimate[0]), torch.from_numpy(reference[0])
    return float(function(*pair_of_tensors, **settings))


@pytest.mark.parametrize("case", CASES)
def test_sdr_is_their_snr(case):
    reference, estimate = pair(case)

    expected = theirs(audio.signal_noise_ratio, reference, estimate)

    assert sdr(reference, estimate) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("ours", "zero_mean"), [(si_sdr, False), (si_sdr_zm, True)])
def test_si_sdr_is_theirs_with_and_without_the_mean(case, ours, zero_mean):
    reference, estimate = pair(case)

    expected = theirs(
        audio.scale_invariant_signal_distortion_ratio, reference, estimate, zero_mean=zero_mean
    )

    assert ours(reference, estimate) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_sdr_with_a_forgiven_filter_is_theirs(case):
    # It depends on the target alone, so that theirs needs no other reference.
    reference, estimate = pair(case)

    expected = theirs(audio.signal_distortion_ratio, reference, estimate)

    found = bss_eval_sources(reference, estimate).sdr[0]
    assert found == pytest.approx(expected, abs=1e-6)


def test_another_reference_does_not_change_that_sdr():
    reference, estimate = pair("noise")
    other = noise(16000, seed=2)[None]

    found = bss_eval_sources(np.r_[reference, other], np.r_[estimate, other + reference]).sdr[0]

    expected = theirs(audio.signal_distortion_ratio, reference, estimate)
    assert found == pytest.approx(expected, abs=1e-9)
