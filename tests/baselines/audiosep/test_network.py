from __future__ import annotations

import itertools

import pytest
import torch

from sepbench.baselines.audiosep.chunks import separate_in_windows, windows
from sepbench.baselines.audiosep.network import NetworkConfig, ResUNet30
from sepbench.baselines.audiosep.network_inference import InferenceNetwork
from sepbench.harness.errors import SettingError

SMALL = NetworkConfig(widths=(4, 6, 8), condition=5, n_fft=128, hop=20, sample_rate=8000)
TOLERANCES = {"a": 1e-6, "b": 1e-6, "c": 1e-6, "e": 1e-7, "f": 1e-5 * 4.0e-6}


@pytest.fixture
def small():
    torch.manual_seed(0)
    network = ResUNet30(SMALL)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(part.running_mean, std=0.1)
            torch.nn.init.uniform_(part.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("name", TOLERANCES)
def test_the_fast_network_gives_the_original_numbers(fast_network, golden, name):
    case = golden(name)

    with torch.inference_mode():
        estimate = fast_network.separate(case.mixture, case.condition)

    torch.testing.assert_close(estimate, case.expected, atol=TOLERANCES[name], rtol=0)


@pytest.mark.parametrize("name", ["e", "f"])
def test_the_plain_network_gives_the_original_numbers(plain_network, golden, name):
    case = golden(name)

    with torch.inference_mode():
        estimate = plain_network(case.mixture, case.condition)

    torch.testing.assert_close(estimate, case.expected, atol=TOLERANCES[name], rtol=0)


def test_the_chunked_path_gives_the_original_numbers(fast_network, golden):
    case = golden("d")

    with torch.inference_mode():
        estimate = separate_in_windows(
            fast_network,
            case.mixture[:, 0],
            fast_network.shifts(case.condition),
            sample_rate=32_000,
            at_once=2,
        )

    torch.testing.assert_close(estimate, case.expected, atol=1e-6, rtol=0)


def test_items_of_a_batch_do_not_see_each_other(small):
    fast = InferenceNetwork(small)
    mixture, condition = torch.randn(2, 1, 1001), torch.randn(2, 5)

    with torch.inference_mode():
        both = fast.separate(mixture, condition)
        singles = [fast.separate(mixture[i : i + 1], condition[i : i + 1]) for i in range(2)]

    torch.testing.assert_close(both, torch.cat(singles), atol=1e-6, rtol=0)


def test_the_inference_copy_is_the_trained_network(small):
    mixture, condition = torch.randn(3, 1, 1001), torch.randn(3, 5)

    with torch.inference_mode():
        plain = small(mixture, condition)
        fast = InferenceNetwork(small).separate(mixture, condition)

    torch.testing.assert_close(fast, plain, atol=2e-6, rtol=0)


@pytest.mark.parametrize("length", [65, 66, 127, 128, 139, 140, 641, 1000])
def test_any_length_from_the_minimum_up_keeps_its_shape(small, length):
    with torch.inference_mode():
        estimate = InferenceNetwork(small).separate(torch.randn(2, 1, length), torch.randn(2, 5))

    assert estimate.shape == (2, 1, length)
    assert estimate.isfinite().all()


@pytest.mark.parametrize("length", [1025, 32_001])
def test_silence_gives_exact_silence(fast_network, length):
    with torch.inference_mode():
        estimate = fast_network.separate(torch.zeros(1, 1, length), torch.ones(1, 512) / 512**0.5)

    assert estimate.shape == (1, 1, length)
    assert estimate.abs().max() == 0


def test_the_condition_changes_the_estimate(small):
    mixture = torch.randn(1, 1, 1000).expand(2, 1, 1000)

    with torch.inference_mode():
        first, second = InferenceNetwork(small).separate(mixture, torch.randn(2, 5))

    assert (first - second).abs().max() > 1e-3


def test_estimates_and_phases_stay_in_float32_at_lower_precision(small):
    mixture, condition = torch.randn(1, 1, 1000), torch.randn(1, 5)
    fast = InferenceNetwork(small)

    with torch.inference_mode():
        exact = fast.separate(mixture, condition)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = fast.separate(mixture, condition)

    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() > 0
    assert (rough - exact).square().mean() < 1e-2 * exact.square().mean()


def test_training_reaches_every_tensor_but_the_unused_ones():
    torch.manual_seed(0)
    network = ResUNet30(SMALL).train()

    network(torch.randn(2, 1, 1000), torch.randn(2, 5)).abs().mean().backward()
    unreached = {name for name, tensor in network.named_parameters() if tensor.grad is None}

    expected = {f"film.decoder_block{i}->beta2.{kind}" for i in (1, 2, 3) for kind in PARTS}
    expected |= {f"base.decoder_block{i}.bn2.{kind}" for i in (1, 2, 3) for kind in PARTS}
    assert unreached == expected


PARTS = ("weight", "bias")


def test_the_default_network_has_the_published_size():
    with torch.device("meta"):
        network = ResUNet30()

    assert sum(tensor.numel() for tensor in network.parameters()) == 26_447_941


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"widths": ()}, "has an empty part"),
        ({"n_fft": 1000}, "cannot be halved 7 times. Give a multiple of 128"),
        ({"hop": 1025}, "hop=1025 exceeds half of n_fft"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(sizes, words):
    with pytest.raises(SettingError, match=words):
        NetworkConfig(**sizes)


@pytest.mark.parametrize("length", [1, 31, 50, 51, 80, 81, 82, 393])
def test_windows_keep_every_sample_once(length):
    found = list(windows(length, 10))

    assert found[0].kept_from == 0
    assert found[-1].kept_to == length
    assert all(a.kept_to == b.kept_from for a, b in itertools.pairwise(found))
    assert all(w.start <= w.kept_from < w.kept_to <= w.stop for w in found)


def test_windows_are_those_of_the_original():
    assert list(windows(123, 10)) == [(0, 50, 0, 40), (30, 80, 40, 70), (60, 110, 70, 100),
                                      (90, 123, 100, 123)]  # fmt: skip


def test_a_signal_of_one_window_is_separated_whole_instead_of_zeroed(small):
    fast = InferenceNetwork(small)
    mixture, condition = torch.randn(2, 5 * 8000), torch.randn(2, 5)

    with torch.inference_mode():
        shifts = fast.shifts(condition)
        cut = separate_in_windows(fast, mixture, shifts, sample_rate=8000, at_once=2)
        whole = fast(mixture, shifts)

    assert torch.equal(cut, whole)
    assert cut.abs().max() > 0


def test_windows_together_are_those_one_by_one(small):
    fast = InferenceNetwork(small)
    mixture, condition = torch.randn(2, 14 * 8000), torch.randn(2, 5)

    with torch.inference_mode():
        shifts = fast.shifts(condition)
        one, many = (
            separate_in_windows(fast, mixture, shifts, sample_rate=8000, at_once=n) for n in (2, 8)
        )

    torch.testing.assert_close(one, many, atol=1e-6, rtol=0)
