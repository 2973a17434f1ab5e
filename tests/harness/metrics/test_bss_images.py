"""BSS Eval of images on arrays: known values, windows, silence, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sepbench.harness.errors import UndefinedScoreError
from sepbench.harness.metrics import bss_eval_images, bss_eval_sources, sdr
from sepbench.harness.metrics.bss_eval import spans

RATIOS = ("sdr", "isr", "sir", "sar")
TAPS = 512
RATE = 4000


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def decibel(ratio: float) -> float:
    return 10 * math.log10(ratio)


def disjoint(channels: int = 2) -> np.ndarray:
    """Four sounds of unit energy (4, C, 8000), apart in time by more than any filter reaches."""
    sounds = np.zeros((4, channels, 8000))
    for index in range(4):
        sounds[index, :, 2000 * index : 2000 * index + 1400] = noise(channels, 1400, seed=index)
    return sounds / np.linalg.norm(sounds, axis=(1, 2), keepdims=True)


# --- closed form --------------------------------------------------------------------------


def test_orthogonal_parts_give_the_ratios_of_their_energies():
    target, residual, artefact, _ = disjoint()
    estimate = target + 0.5 * residual + 0.1 * artefact

    scores = bss_eval_images(
        np.stack([target, residual]), np.stack([estimate, residual]), sample_rate=RATE, window=None
    )

    assert scores.sdr[0, 0] == pytest.approx(decibel(1 / 0.26), abs=1e-9)
    assert scores.sir[0, 0] == pytest.approx(decibel(1 / 0.25), abs=1e-9)
    assert scores.sar[0, 0] == pytest.approx(decibel(1.25 / 0.01), abs=1e-9)
    assert scores.isr[0, 0] > 100


def test_what_a_filter_changes_of_the_target_is_spatial_distortion():
    target, residual, artefact, _ = disjoint()
    heard = np.stack([np.convolve(channel, noise(TAPS, seed=5))[:8000] for channel in target])
    estimate = heard + 0.5 * residual + 0.1 * artefact

    scores = bss_eval_images(
        np.stack([target, residual]), np.stack([estimate, residual]), sample_rate=RATE, window=None
    )

    energy, spatial = np.sum(heard**2), np.sum((heard - target) ** 2)
    assert scores.isr[0, 0] == pytest.approx(decibel(1 / spatial), abs=1e-8)
    assert scores.sir[0, 0] == pytest.approx(decibel(energy / 0.25), abs=1e-8)
    assert scores.sar[0, 0] == pytest.approx(decibel((energy + 0.25) / 0.01), abs=1e-8)


def test_a_crossing_of_channels_is_spatial_distortion_too():
    target, residual, _, _ = disjoint()

    scores = bss_eval_images(
        np.stack([target, residual]), np.stack([target[::-1], residual]), sample_rate=RATE
    )

    assert np.nanmin(scores.sar[0]) > 100
    assert np.nanmax(scores.isr[0]) < 10


def test_sdr_is_the_plain_snr_of_each_window():
    references, estimates = noise(2, 2, 2, 3 * RATE)

    scores = bss_eval_images(references, estimates, sample_rate=RATE)

    windows = [slice(start, start + RATE) for start in range(0, 3 * RATE, RATE)]
    expected = [
        [sdr(s[:, window], s_hat[:, window]) for window in windows]
        for s, s_hat in zip(references, estimates, strict=True)
    ]
    np.testing.assert_allclose(scores.sdr, expected, atol=1e-12)


def test_a_perfect_estimate_is_infinite_in_sdr():
    references = noise(2, 1, 2000)

    scores = bss_eval_images(references, references, sample_rate=RATE)

    assert (scores.sdr == math.inf).all()
    assert all((getattr(scores, name) > 100).all() for name in ("isr", "sir", "sar"))


# --- invariances --------------------------------------------------------------------------


def test_the_order_of_the_other_references_does_not_matter():
    references, estimates = noise(2, 3, 1, 6000)
    order = [0, 2, 1]

    one = bss_eval_images(references, estimates, sample_rate=RATE)
    other = bss_eval_images(references[order], estimates[order], sample_rate=RATE)

    for name in RATIOS:
        np.testing.assert_allclose(getattr(other, name), getattr(one, name)[order], atol=1e-9)


def test_one_channel_of_the_whole_signal_has_the_sir_and_sar_of_sources():
    references, estimates = noise(2, 2, 1, 3000)

    images = bss_eval_images(references, estimates, sample_rate=RATE, window=None)
    sources = bss_eval_sources(references[:, 0], estimates[:, 0])

    np.testing.assert_allclose(images.sir[:, 0], sources.sir, atol=1e-9)
    np.testing.assert_allclose(images.sar[:, 0], sources.sar, atol=1e-9)


def test_a_filtered_estimate_keeps_sir_and_sar():
    references = noise(2, 1, 4000)
    references[..., -TAPS:] = 0.0
    clean, leak = references
    estimate = clean + 0.3 * leak

    filtered = np.convolve(clean[0], noise(TAPS, seed=3))[None, :4000] + 0.3 * leak
    plain, heard = (
        bss_eval_images(references, np.stack([x, leak]), sample_rate=RATE, window=None)
        for x in (estimate, filtered)
    )

    assert plain.sar[0, 0] > 100
    assert heard.sar[0, 0] > 100


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tensors_give_tensors_of_the_same_values(dtype):
    references, estimates = noise(2, 2, 2, 5000).astype(dtype)
    arrays = bss_eval_images(references, estimates, sample_rate=RATE)

    tensors = bss_eval_images(
        torch.from_numpy(references), torch.from_numpy(estimates), sample_rate=RATE
    )

    for name in RATIOS:
        assert getattr(tensors, name).dtype == torch.float64
        assert np.array_equal(getattr(tensors, name).numpy(), getattr(arrays, name))


def test_read_only_float32_arrays_score_as_float64_up_to_60_db():
    references = noise(2, 2, 6000)
    estimates = references + 1e-3 * noise(2, 2, 6000, seed=1)
    narrow = [signals.astype(np.float32) for signals in (references, estimates)]
    narrow[0].flags.writeable = False

    wide = bss_eval_images(references, estimates, sample_rate=RATE)
    scores = bss_eval_images(*narrow, sample_rate=RATE)

    assert wide.sdr.min() > 59
    for name in ("sdr", "isr", "sir", "sar"):
        ours = np.minimum(getattr(scores, name), 60)
        np.testing.assert_allclose(ours, np.minimum(getattr(wide, name), 60), atol=1e-3)


# --- windows and silence ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "window", "hop", "count"),
    [
        (10, 1.0, 1.0, 1),  # shorter than a window: one window, all there is
        (100, 1.0, 1.0, 1),
        (101, 1.0, 1.0, 1),
        (199, 1.0, 1.0, 1),
        (200, 1.0, 1.0, 2),
        (250, 1.0, 0.5, 4),
        (250, 0.5, 1.0, 3),
        (250, None, 1.0, 1),
        (250, 2.0, None, 1),
    ],
)
def test_windows_are_counted_as_in_museval(samples, window, hop, count):
    found = spans(samples, 100, window, hop)

    assert len(found) == count
    assert found[-1][1] <= samples


@pytest.mark.parametrize(("window", "hop"), [(0.0, 1.0), (1.0, 0.0), (1.0, -1.0), (1e-6, 1.0)])
def test_windows_without_a_sample_are_refused(window, hop):
    with pytest.raises(ValueError, match=r"A window of .* s and a hop of .* s hold no sample"):
        spans(1000, 100, window, hop)


@pytest.mark.parametrize("silent", ["reference", "estimate", "opposite channels"])
def test_a_window_with_one_silent_source_is_nan_for_all(silent):
    references, estimates = noise(2, 2, 2, 3 * RATE)
    if silent == "reference":
        references[1, :, RATE : 2 * RATE] = 0.0
    elif silent == "estimate":
        estimates[0, :, RATE : 2 * RATE] = 0.0
    else:
        estimates[0, 0, RATE : 2 * RATE] = -estimates[0, 1, RATE : 2 * RATE]

    scores = bss_eval_images(references, estimates, sample_rate=RATE)

    for name in RATIOS:
        nan = np.isnan(getattr(scores, name))
        assert nan[:, 1].all()
        assert not nan[:, [0, 2]].any()


def test_a_window_with_a_single_sample_of_sound_is_not_silent():
    references, estimates = noise(2, 2, 1, 3 * RATE)
    references[1, :, RATE : 2 * RATE] = 0.0
    references[1, :, 2 * RATE - 1] = 1e-3

    assert np.isfinite(bss_eval_images(references, estimates, sample_rate=RATE).sir).all()


# --- refusals -----------------------------------------------------------------------------


def refusal(references: np.ndarray, estimates: np.ndarray, **options) -> tuple[str, str]:
    with pytest.raises(UndefinedScoreError) as caught:
        bss_eval_images(references, estimates, sample_rate=RATE, **options)
    return caught.value.cause, caught.value.reason


def test_silent_and_mute_signals_are_named():
    sound, quiet = noise(2, 2, 3000), noise(2, 2, 3000)
    quiet[1, 0] = -quiet[1, 1]

    assert refusal(quiet, sound) == ("reference", "the reference 1 is silent")
    assert refusal(sound, quiet) == ("estimate", "the estimate 1 is mute")


def test_samples_that_are_not_finite_are_named():
    sound, broken = noise(2, 2, 3000), noise(2, 2, 3000)
    broken[1, 0, 7] = math.nan

    assert refusal(broken, sound) == (
        "reference",
        "the reference 1 holds NaN or infinite samples",
    )
    assert refusal(sound, broken) == ("estimate", "the estimate 1 holds NaN or infinite samples")


@pytest.mark.parametrize("how", ["copy", "gain", "filter", "sum"])
def test_references_that_make_up_each_other_are_singular(how):
    references = noise(3, 1, 4000)
    references[..., -TAPS:] = 0.0
    references[1] = {
        "copy": references[0],
        "gain": 0.01 * references[0],
        "filter": np.convolve(references[0, 0], noise(300, seed=4))[None, :4000],
        "sum": references[0] - references[2],
    }[how]

    cause, reason = refusal(references, noise(3, 1, 4000, seed=9))

    assert cause == "reference"
    assert "the system is singular" in reason


def test_signals_that_the_filters_could_explain_completely_are_too_short():
    assert refusal(*noise(2, 2, 2, 1537)) == (
        "reference",
        "too short: 1537 samples, 1538 are needed",
    )
    assert (
        "too short: 400 samples"
        in refusal(*noise(2, 2, 2, 9000), window=0.1, framewise_filters=True)[1]
    )


@pytest.mark.parametrize("shape", [(2, 1500), (2, 1, 1500, 1), (1, 2, 1500)])
def test_other_shapes_are_refused_by_name(shape):
    with pytest.raises(ValueError, match=r"References \(.*\) and estimates \(.*\) must have one"):
        bss_eval_images(np.ones((2, 2, 1500)), np.ones(shape), sample_rate=RATE)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("framewise_filters", [False, True])
def test_cuda_gives_the_values_of_the_cpu_on_its_device(framewise_filters):
    references, estimates = torch.from_numpy(noise(2, 2, 2, 12000))
    estimates = references + 0.1 * estimates
    options = {"sample_rate": RATE, "framewise_filters": framewise_filters}

    host = bss_eval_images(references, estimates, **options)
    device = bss_eval_images(references.cuda(), estimates.cuda(), **options)

    for name in RATIOS:
        assert getattr(device, name).is_cuda
        torch.testing.assert_close(
            getattr(device, name).cpu(), getattr(host, name), atol=1e-6, rtol=0
        )
