"""The separator, its segments and the Wiener step against the official implementation's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sepbench_testkit.filled import gliding_tones

from sepbench.baselines.stsed.adapter import StSed
from sepbench.baselines.stsed.segments import cut, join
from sepbench.baselines.stsed.wiener import joint_wiener, share_out

# Networks of the published sizes: a minute on one core.
pytestmark = pytest.mark.slow
RATE = 32_000


def unit_query(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(2048)).float()


def small_query(seed: int) -> torch.Tensor:
    drawn = np.random.RandomState(seed).standard_normal(2048) / np.sqrt(2048)
    return torch.from_numpy(drawn).float()


def close(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@pytest.fixture(scope="module")
def mixtures() -> torch.Tensor:
    """(2, 1, 64000)."""
    return torch.from_numpy(gliding_tones(17, 2, 64_000, RATE))[:, None]


@pytest.fixture(scope="module")
def track() -> torch.Tensor:
    """(192000,): the whole segments of a stereo track's mean."""
    return torch.from_numpy(gliding_tones(18, 2, 233_600, RATE)).mean(0)[:192_000]


@torch.inference_mode()
def test_waveforms_and_every_map_on_the_way_are_the_originals(
    filled: StSed, mixtures: torch.Tensor, golden: Any
) -> None:
    network, maps = filled._network, {}
    names = ("encoder_block1", "conv_block7", "decoder_block1", "after_conv2")
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda _, given, made, name=name: maps.update({name: made})
        )
        for name in names
    ]
    condition = torch.stack([small_query(21), small_query(22)])

    estimates = filled.separate(mixtures, condition)

    for hook in hooks:
        hook.remove()
    close(estimates[:, 0], golden["sep_wav"])
    # The next block works in place on what it is given, never on what was pooled or joined.
    close(maps["encoder_block1"][0][0, :4, :16, :16], golden["sep_encoder1_slice"], atol=1e-4)
    close(maps["conv_block7"][0, :128, :, :16], golden["sep_conv_block7_slice"], atol=1e-4)
    close(maps["decoder_block1"][0, :16, :, :32], golden["sep_decoder1_slice"], atol=1e-4)
    close(maps["after_conv2"][0, 0, ::8, ::8], golden["sep_logit_slice"], atol=1e-4)
    mask = torch.sigmoid(torch.nn.functional.pad(maps["after_conv2"][:, 0, :201], (0, 1)))
    magnitude = network.spectrum(mixtures[:, 0]).abs().transpose(1, 2)
    close((mask * magnitude)[:, ::8, ::8], golden["sep_sp_slice"], atol=2e-3)


@pytest.mark.parametrize("query", ["unit", "sed"])
@torch.inference_mode()
def test_queries_of_the_detectors_size_steer_the_estimate_as_in_the_original(
    query: str, filled: StSed, mixtures: torch.Tensor, golden: Any
) -> None:
    condition = unit_query(21) if query == "unit" else golden["query_mean"]

    estimate = filled.separate(mixtures[:1], condition[None])

    close(estimate[0, 0, ::2], golden[f"sep_wav_{query}_query"])


@torch.inference_mode()
def test_a_track_is_joined_of_its_segments(filled: StSed, track: torch.Tensor, golden: Any) -> None:
    estimate = filled.separate(track[None, None, :128_000], small_query(21)[None])

    close(estimate[0, 0], golden["track_overlap0"][:128_000])


@torch.inference_mode()
def test_overlapping_segments_fade_into_each_other_as_in_the_original(
    filled: StSed, track: torch.Tensor, golden: Any
) -> None:
    pieces = cut(track[None, 64_000:], 32_000)[0]  # (2, 96000), the last one padded

    estimates = filled._network(pieces, small_query(21).expand(2, -1))

    # Golden are three segments; from 96000 on the first has no part in them any more.
    found = join(estimates[None], 32_000)[0, 32_000:]
    close(found[::4], golden["track_overlap05_every4"][24_000:])


@torch.inference_mode()
def test_four_stems_share_out_the_mixture_as_in_the_original(
    filled: StSed, track: torch.Tensor, golden: Any
) -> None:
    network = filled._network
    mixture = track[None, :64_000]
    spectrum = network.spectrum(mixture)
    conditions = torch.stack([unit_query(seed) for seed in (21, 22, 23, 24)])
    masks = [network.mask(spectrum.abs(), one[None]) for one in conditions]
    magnitudes = torch.stack([mask * spectrum.abs() for mask in masks])  # (4, 1, K, T)

    stems = network.waveform(share_out(spectrum, magnitudes)[:, 0], 64_000)
    # Waveforms in between: what the harness has of any model.
    estimates = torch.stack([network.waveform(m * spectrum, 64_000) for m in masks])  # (4, 1, N)
    again = joint_wiener(mixture, estimates)[:, 0]

    expected = golden["wiener_every8"][:, :8_000]
    close(stems[:, ::8], expected)
    error = (again[:, ::8] - expected).square().sum() / expected.square().sum()
    assert 10 * error.log10() < -25
