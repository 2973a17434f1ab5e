"""BSS Eval v3 sources as a plain function: values known by construction, parity, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics import bss_eval_images, bss_eval_sources, sdr

TAPS = 512


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def disjoint(seed: int = 0) -> np.ndarray:
    """Three sounds of unit energy (3, 6000), each alone in its part of the time.

    The gaps of 511 samples and more keep the parts apart under any 512-tap filter, so that every
    delayed copy of one is exactly orthogonal to every delayed copy of the others.
    """
    sounds = np.zeros((3, 6000))
    for index in range(3):
        sounds[index, 2000 * index : 2000 * index + 1400] = noise(1400, seed=seed + index)
    return sounds / np.linalg.norm(sounds, axis=1, keepdims=True)


def decibel(ratio: float) -> float:
    return 10 * math.log10(ratio)


# --- closed form --------------------------------------------------------------------------


def test_orthogonal_parts_give_the_ratios_of_their_energies():
    target, residual, artefact = disjoint()
    estimate = target + 0.5 * residual + 0.1 * artefact

    scores = bss_eval_sources(np.stack([target, residual]), np.stack([estimate, residual]))

    assert scores.sdr[0] == pytest.approx(decibel(1 / (0.25 + 0.01)), abs=1e-9)
    assert scores.sir[0] == pytest.approx(decibel(1 / 0.25), abs=1e-9)
    assert scores.sar[0] == pytest.approx(decibel((1 + 0.25) / 0.01), abs=1e-9)


def test_both_parts_may_pass_any_filter_of_512_taps():
    target, residual, artefact = disjoint()
    heard = np.convolve(target, noise(TAPS, seed=7))[:6000]
    leak = np.convolve(residual, noise(TAPS, seed=8))[:6000]
    heard, leak = heard / np.linalg.norm(heard), leak / np.linalg.norm(leak)

    estimate = heard + 0.5 * leak + 0.1 * artefact
    scores = bss_eval_sources(np.stack([target, residual]), np.stack([estimate, residual]))

    assert scores.sdr[0] == pytest.approx(decibel(1 / (0.25 + 0.01)), abs=1e-8)
    assert scores.sir[0] == pytest.approx(decibel(1 / 0.25), abs=1e-8)
    assert scores.sar[0] == pytest.approx(decibel((1 + 0.25) / 0.01), abs=1e-8)


def test_sar_of_overlapping_sounds_with_an_artefact_built_orthogonal():
    # Both references end in 511 zeros, so filtered versions fit into the estimate's N samples.
    # The artefact is noise with everything removed (QR) that delayed copies of either explain.
    references = noise(2, 2000)
    references[:, -TAPS:] = 0.0
    copies = np.stack([np.roll(ref, k) for ref in references for k in range(TAPS)], axis=1)
    basis = np.linalg.qr(copies)[0]
    artefact = noise(2000, seed=9)
    artefact -= basis @ (basis.T @ artefact)
    explained = references[0] + 0.3 * np.roll(references[1], 40)

    estimate = explained + 0.05 * artefact
    scores = bss_eval_sources(references, np.stack([estimate, references[1]]))

    expected = decibel((explained @ explained) / (0.05**2 * (artefact @ artefact)))
    assert scores.sar[0] == pytest.approx(expected, abs=1e-8)


def test_sinusoids_of_distinct_frequencies_are_nearly_orthogonal():
    # Over whole periods sinusoids are orthogonal at any delay; what the 512-sample edges of 4 s
    # break is worth less than 0.05 dB.
    time = np.arange(4 * 16000) / 16000
    target, residual, artefact = (np.sin(2 * np.pi * f * time) for f in (440, 1000, 3000))

    estimate = target + 0.1 * residual + 0.1 * artefact
    scores = bss_eval_sources(np.stack([target, residual]), np.stack([estimate, residual]))

    assert scores.sir[0] == pytest.approx(20.0, abs=0.05)
    assert scores.sdr[0] == pytest.approx(decibel(50), abs=0.05)
    assert scores.sar[0] == pytest.approx(decibel(101), abs=0.05)


def test_a_single_reference_has_no_interference():
    target, _, artefact = disjoint()

    scores = bss_eval_sources(target[None], (target + 0.1 * artefact)[None])

    assert scores.sir[0] == math.inf
    assert scores.sdr[0] == scores.sar[0] == pytest.approx(20.0, abs=1e-9)


def test_sources_are_not_permuted():
    target, residual, _ = disjoint()
    references = np.stack([target + 0.1 * residual, residual])

    scores = bss_eval_sources(references, references[::-1])

    assert (scores.sdr < 0).all()


# --- invariances --------------------------------------------------------------------------


def test_delays_are_forgiven_up_to_511_samples():
    references = noise(2, 4000)
    references[:, -600:] = 0.0
    estimates = [np.stack([np.roll(references[0], d), references[1]]) for d in (511, 512)]

    within, beyond = (bss_eval_sources(references, estimate) for estimate in estimates)

    assert within.sdr[0] > 100
    assert beyond.sdr[0] < 10


def test_a_reference_filtered_by_512_taps_is_still_perfect():
    references = noise(2, 3000)
    references[:, -TAPS:] = 0.0
    filtered = np.convolve(references[0], noise(TAPS, seed=4))[:3000]

    scores = bss_eval_sources(references, np.stack([filtered, references[1]]))

    assert scores.sdr[0] > 100


@given(st.integers(0, 2**31), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
@settings(deadline=None, max_examples=10)
def test_gains_of_references_and_estimates_do_not_count(seed, gain, other):
    references, estimates = noise(2, 2, 1500, seed=seed)
    plain = bss_eval_sources(references, estimates)

    scaled = bss_eval_sources(np.stack([gain, other])[:, None] * references, -gain * estimates)

    for name in ("sdr", "sir", "sar"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(plain, name), atol=1e-6)


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1100, 1600))
@settings(deadline=None, max_examples=10)
def test_every_source_gets_three_finite_float64_numbers(seed, sources, samples):
    references, estimates = noise(2, sources, samples, seed=seed).astype(np.float32)

    scores = bss_eval_sources(references, estimates)

    for values in (scores.sdr, scores.sar):
        assert values.shape == (sources,)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
    assert not np.isnan(scores.sir).any()


def test_the_order_of_the_other_references_does_not_matter():
    references, estimates = noise(2, 3, 2000)

    one = bss_eval_sources(references, estimates)
    other = bss_eval_sources(references[[0, 2, 1]], estimates[[0, 2, 1]])

    np.testing.assert_allclose(other.sir, one.sir[[0, 2, 1]], atol=1e-9)


def test_tensors_give_float64_tensors():
    references, estimates = noise(2, 2, 1500)
    arrays = bss_eval_sources(references, estimates)

    tensors = bss_eval_sources(torch.from_numpy(references), torch.from_numpy(estimates))

    assert tensors.sar.dtype == torch.float64
    assert tensors.sar.tolist() == arrays.sar.tolist()


# --- parity -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:mir_eval.separation:FutureWarning")  # its only use is here
@pytest.mark.parametrize("sources", [1, 2, 3])
def test_random_signals_score_as_in_mir_eval(sources):
    separation = pytest.importorskip("mir_eval.separation")
    references = noise(sources, 3000)
    estimates = references + 0.3 * references[::-1] + 0.1 * noise(sources, 3000, seed=1)
    sdr, sir, sar, _ = separation.bss_eval_sources(references, estimates, compute_permutation=False)

    scores = bss_eval_sources(references, estimates)

    np.testing.assert_allclose(scores.sdr, sdr, atol=1e-8)
    np.testing.assert_allclose(scores.sar, sar, atol=1e-8)
    if sources > 1:  # mir_eval's SIR of a lone source is the rounding between two equal numbers
        np.testing.assert_allclose(scores.sir, sir, atol=1e-8)


@pytest.mark.filterwarnings("ignore:mir_eval.separation:FutureWarning")
def test_band_limited_sounds_are_not_mistaken_for_copies_of_each_other():
    # Nothing above a fifth of the band: each reference's own system is singular to rounding
    # (condition above 1e15), as that of any resampled recording is. Projections do not mind.
    separation = pytest.importorskip("mir_eval.separation")
    spectra = np.fft.rfft(noise(2, 8000) * np.hanning(8000))
    spectra[:, 800:] = 0.0
    references = np.fft.irfft(spectra)
    estimates = references + 0.3 * references[::-1] + 0.1 * noise(2, 8000, seed=1)
    sdr, sir, sar, _ = separation.bss_eval_sources(references, estimates, compute_permutation=False)

    scores = bss_eval_sources(references, estimates)

    np.testing.assert_allclose(scores.sdr, sdr, atol=1e-2)
    np.testing.assert_allclose(scores.sir, sir, atol=1e-1)
    np.testing.assert_allclose(scores.sar, sar, atol=1e-2)


# --- refusals -----------------------------------------------------------------------------


def refusal(references: np.ndarray, estimates: np.ndarray) -> tuple[str, str]:
    with pytest.raises(UndefinedScoreError) as caught:
        bss_eval_sources(references, estimates)
    return caught.value.cause, caught.value.reason


def test_a_silent_reference_is_named():
    references = noise(2, 1500)
    references[1] = 0.0

    assert refusal(references, noise(2, 1500)) == ("reference", "the reference 1 is silent")


def test_a_mute_estimate_is_named():
    estimates = noise(2, 1500)
    estimates[0] = 0.0

    assert refusal(noise(2, 1500), estimates) == ("estimate", "the estimate 0 is mute")


def test_samples_that_are_not_finite_are_named():
    broken = noise(2, 1500)
    broken[1, 7] = math.nan

    assert refusal(broken, noise(2, 1500))[0] == "reference"
    assert refusal(noise(2, 1500), broken) == (
        "estimate",
        "the estimate 1 holds NaN or infinite samples",
    )


def test_an_estimate_unlike_every_reference_has_no_sir():
    target, residual, other = disjoint()

    cause, reason = refusal(np.stack([target, residual]), np.stack([other, residual]))

    assert cause == "estimate"
    assert "nothing of any reference" in reason


def test_signals_that_the_filters_could_explain_completely_are_too_short():
    assert refusal(*noise(2, 2, 513)) == ("reference", "too short: 513 samples, 514 are needed")


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_the_shortest_signals_have_finite_sar(sources):
    samples = {1: 512, 2: 514, 3: 1026}[sources]

    assert np.isfinite(bss_eval_sources(*noise(2, sources, samples)).sar).all()


@pytest.mark.parametrize(
    ("references", "estimates"), [((2, 1500), (2, 1501)), ((2, 1500), (1, 1500)), ((9,), (9,))]
)
def test_other_shapes_are_refused_by_name(references, estimates):
    with pytest.raises(ValueError, match=r"References \(.*\) and estimates \(.*\) must have one"):
        bss_eval_sources(np.ones(references), np.ones(estimates))


def copied(how: str, gain: float) -> np.ndarray:
    """A sound (2, 3000) beside a copy of itself that a 512-tap filter can undo or make."""
    sound = noise(3000)
    sound[:600] = sound[-600:] = 0.0
    taps = {"gain": [1.0], "delay": [0.0] * 9 + [1.0], "advance": [1.0], "filter": noise(300)}[how]
    copy = gain * np.convolve(sound, taps)[:3000]
    return np.stack([np.roll(sound, 9) if how == "advance" else sound, copy])


@pytest.mark.parametrize("how", ["gain", "delay", "advance", "filter"])
@pytest.mark.parametrize("gain", [1.0, -1.0, 0.3, 1e-3, 1e3])
def test_filtered_copies_of_one_sound_are_singular(how, gain):
    cause, reason = refusal(copied(how, gain), noise(2, 3000, seed=5))

    assert cause == "reference"
    assert "filtered copies of one sound: the system is singular" in reason


def test_three_references_of_which_one_is_the_sum_of_the_others_are_singular():
    first, second = noise(2, 2000)

    cause, reason = refusal(np.stack([first, second, first + second]), noise(3, 2000, seed=5))

    assert cause == "reference"
    assert "singular" in reason


def nearly_copied(decibels_down: float) -> tuple[np.ndarray, np.ndarray]:
    """A sound and a copy of it whose own part is that far down; an estimate that mixes both."""
    sound, own, artefact = noise(3, 2000)
    references = np.stack([sound, 0.5 * sound + 10 ** (-decibels_down / 20) * own])
    return references, np.stack([sound + 0.1 * artefact, references[1]])


@pytest.mark.parametrize("decibels_down", [40, 60, 75])
def test_nearly_copied_references_score_as_with_an_orthonormal_basis(decibels_down):
    # The slow, safe way: QR of all delayed copies.
    references, estimates = nearly_copied(decibels_down)
    padded = np.pad(references, ((0, 0), (0, TAPS - 1)))
    copies = np.stack([np.roll(ref, k) for ref in padded for k in range(TAPS)], axis=1)
    basis, own_basis = np.linalg.qr(copies)[0], np.linalg.qr(copies[:, :TAPS])[0]
    estimate = np.pad(estimates[0], (0, TAPS - 1))
    energy = estimate @ estimate
    joint, own = (np.sum((b.T @ estimate) ** 2) / energy for b in (basis, own_basis))

    scores = bss_eval_sources(references, estimates)

    assert scores.sdr[0] == pytest.approx(decibel(own / (1 - own)), abs=1e-6)
    assert scores.sir[0] == pytest.approx(decibel(own / (joint - own)), abs=1e-6)
    assert scores.sar[0] == pytest.approx(decibel(joint / (1 - joint)), abs=1e-6)


@pytest.mark.parametrize("decibels_down", [100, 120, 140, 160, 200])
def test_references_copied_but_for_rounding_are_singular(decibels_down):
    assert "singular" in refusal(*nearly_copied(decibels_down))[1]


def test_unknown_backends_are_refused_by_name():
    x = noise(2, 2000)

    with pytest.raises(ValueError, match="backend='museval'; one of sepbench, fast_bss_eval"):
        bss_eval_sources(x, x, backend="museval")
    with pytest.raises(ValueError, match="one of sepbench, museval"):
        bss_eval_images(x[:, None], x[:, None], sample_rate=8000, backend="xx")


def test_arrays_without_sources_or_samples_are_refused():
    with pytest.raises(ValueError, match="with samples in it"):
        bss_eval_sources(np.zeros((0, 2000)), np.zeros((0, 2000)))
    with pytest.raises(ValueError, match="with samples in it"):
        sdr(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="real numbers"):
        sdr(np.ones(4) * 1j, np.ones(4) * 1j)
