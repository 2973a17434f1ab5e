from __future__ import annotations

import math

import pytest
import torch

from sepbench.baselines.oracle import IdealBinaryMask, IdealRatioMask, MultichannelWiener
from sepbench.harness.api import Query
from sepbench.harness.errors import BaselineError, SettingError

RATE = 16_000
ORACLES = [IdealRatioMask, IdealBinaryMask, MultichannelWiener]
ASK = [Query(text="the sound")]


def sdr(reference: torch.Tensor, estimate: torch.Tensor) -> float:
    error = (reference - estimate).double().square().sum()
    return float(10 * torch.log10(reference.double().square().sum() / error))


def tone(hertz: float, seconds: float = 1.0) -> torch.Tensor:
    """(1, N), under a slow window, so that it does not spread over the spectrum."""
    time = torch.arange(int(seconds * RATE)) / RATE
    return (torch.sin(2 * math.pi * hertz * time) * torch.sin(math.pi * time / seconds) ** 2)[None]


def noise(channels: int, length: int, seed: int) -> torch.Tensor:
    return torch.randn(channels, length, generator=torch.Generator().manual_seed(seed))


def ask(oracle, mixture, *references):
    queries = ASK * len(references)
    return oracle.separate_scene(mixture, queries, references=torch.stack(references))


@pytest.mark.parametrize("oracle", ORACLES)
def test_sources_apart_in_frequency_come_back(oracle):
    low, high = tone(300), tone(3000)

    estimates = ask(oracle(), low + high, low, high)

    assert sdr(low, estimates[0]) > 30
    assert sdr(high, estimates[1]) > 30


@pytest.mark.parametrize("oracle", [IdealRatioMask, IdealBinaryMask])
def test_sources_apart_in_time_come_back(oracle):
    # The same pitch, a quarter of a second of silence between them.
    first = torch.cat([tone(500), torch.zeros(1, RATE + RATE // 4)], dim=1)
    second = torch.cat([torch.zeros(1, RATE + RATE // 4), tone(500)], dim=1)

    estimates = ask(oracle(), first + second, first, second)

    assert sdr(first, estimates[0]) > 30
    assert sdr(second, estimates[1]) > 30


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("channels", [1, 2])
def test_an_oracle_beats_the_mixture_on_noise(oracle, channels):
    target, residual = noise(channels, RATE, 0), noise(channels, RATE, 1)
    mixture = target + residual

    estimate = ask(oracle(), mixture, target)[0]

    # Two equally loud noises: the mixture is at 0 dB. In a bin whose share p is uniform, as for
    # two complex Gaussians, the ratio mask leaves an error of 2·E[p(1 − p)] = 1/3: 4.8 dB.
    assert sdr(target, mixture) == pytest.approx(0, abs=0.2)
    assert sdr(target, estimate) > 3.5


def test_the_wiener_filter_separates_by_place_what_masks_cannot():
    left, right = noise(1, RATE, 0), noise(1, RATE, 1)
    target = torch.cat([left, 0.2 * left])
    residual = torch.cat([0.3 * right, right])

    wiener = ask(MultichannelWiener(), target + residual, target)[0]
    masked = ask(IdealRatioMask(), target + residual, target)[0]

    # Two sources on two channels at one place each: the mixing can be inverted exactly.
    assert sdr(target, wiener) > 60
    assert sdr(target, masked) < 20


def test_the_wiener_filter_of_one_channel_is_the_ratio_mask():
    target, residual = noise(1, 5000, 0), noise(1, 5000, 1)

    wiener = ask(MultichannelWiener(), target + residual, target)
    masked = ask(IdealRatioMask(exponent=2.0), target + residual, target)

    torch.testing.assert_close(wiener, masked, atol=1e-5, rtol=0)


def test_the_wiener_filter_of_two_equal_channels_is_the_ratio_mask():
    target, residual = noise(1, 5000, 0).repeat(2, 1), noise(1, 5000, 1).repeat(2, 1)

    wiener = ask(MultichannelWiener(), target + residual, target)
    masked = ask(IdealRatioMask(exponent=2.0), target + residual, target)

    torch.testing.assert_close(wiener, masked, atol=1e-4, rtol=0)


def test_the_binary_mask_gives_the_bin_to_the_louder_source():
    low, high = tone(300), tone(3000)

    estimates = ask(IdealBinaryMask(), low + 0.5 * high, low, 0.5 * high)

    # Every bin goes to exactly one of the two.
    torch.testing.assert_close(estimates.sum(0), low + 0.5 * high, atol=1e-5, rtol=0)


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("channels", [1, 2])
def test_an_absent_target_comes_out_as_exact_silence(oracle, channels):
    mixture = noise(channels, 5000, 0)

    estimate = ask(oracle(), mixture, torch.zeros_like(mixture))

    assert torch.equal(estimate, torch.zeros(1, channels, 5000))


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_silent_residual_lets_the_mixture_pass(oracle, channels):
    mixture = noise(channels, 5000, 0)

    estimate = ask(oracle(), mixture, mixture)[0]

    torch.testing.assert_close(estimate, mixture, atol=1e-5, rtol=0)


@pytest.mark.parametrize("oracle", ORACLES)
def test_a_silent_mixture_stays_silent(oracle):
    silence = torch.zeros(2, 5000)

    assert torch.equal(ask(oracle(), silence, silence), silence[None])


@pytest.mark.parametrize("oracle", ORACLES)
def test_silent_stretches_hold_no_nan(oracle):
    target, residual = noise(2, 20_000, 0), noise(2, 20_000, 1)
    target[:, 5000:] = 0
    residual[:, 9000:] = 0

    assert ask(oracle(), target + residual, target).isfinite().all()


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 999, 2047, 5001])
def test_any_length_and_number_of_channels_keeps_its_shape(oracle, channels, length):
    target, residual = noise(channels, length, 0), noise(channels, length, 1)

    estimates = ask(oracle(), target + residual, target, residual)

    assert estimates.shape == (2, channels, length)
    assert estimates.isfinite().all()


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("gain", [1e-9, 1e6])
def test_the_estimate_scales_with_the_mixture(oracle, gain):
    target, residual = noise(2, 5000, 0), noise(2, 5000, 1)

    plain = ask(oracle(), target + residual, target)
    scaled = ask(oracle(), gain * target + gain * residual, gain * target)

    assert sdr(plain, scaled / gain) > 50


def test_long_audio_is_solved_in_blocks_with_the_same_result(monkeypatch):
    target, residual = noise(2, 20_000, 0), noise(2, 20_000, 1)
    whole = ask(MultichannelWiener(), target + residual, target)

    monkeypatch.setattr("sepbench.baselines.filters.SOLVED_AT_ONCE", 100)

    torch.testing.assert_close(ask(MultichannelWiener(), target + residual, target), whole)


@pytest.mark.parametrize("oracle", ORACLES)
def test_an_oracle_without_references_is_refused(oracle):
    with pytest.raises(BaselineError, match=r"needs the true targets, shape \(1, 1, 9\)"):
        oracle().separate_scene(torch.zeros(1, 9), ASK)


@pytest.mark.parametrize("oracle", ORACLES)
def test_references_of_another_length_are_refused(oracle):
    with pytest.raises(BaselineError, match=r"given: \(1, 1, 8\)"):
        oracle().separate_scene(torch.zeros(1, 9), ASK, references=torch.zeros(1, 1, 8))


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_fft": 8}, "n_fft=8 is not possible. Give a whole number from 16 to 65536"),
        ({"n_fft": 1025}, "n_fft=1025 is odd"),
        ({"n_fft": 2048.0}, "n_fft=2048.0 is not possible"),
        ({"n_fft": True}, "n_fft=True is not possible"),
        ({"n_fft": 1024, "hop": 513}, "hop=513 is not possible. Give a whole number from 1 to 512"),
        ({"hop": 0}, "hop=0 is not possible"),
    ],
)
def test_impossible_frames_are_refused(oracle, settings, words):
    with pytest.raises(SettingError, match=words):
        oracle(**settings)


@pytest.mark.parametrize(
    ("oracle", "settings", "words"),
    [
        (IdealRatioMask, {"exponent": 0}, "exponent=0 is not possible. Give a number from 0.1"),
        (IdealRatioMask, {"exponent": float("nan")}, "exponent=nan is not possible"),
        (IdealRatioMask, {"exponent": "2"}, "exponent='2' is not possible"),
        (IdealBinaryMask, {"threshold": 1.0}, "threshold=1.0 is not possible"),
    ],
)
def test_impossible_masks_are_refused(oracle, settings, words):
    with pytest.raises(SettingError, match=words):
        oracle(**settings)
