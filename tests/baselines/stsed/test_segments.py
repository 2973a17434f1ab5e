"""Cutting into 2-s segments, joining, localising and sharing out: by hand, without weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sepbench.baselines.stsed.localise import anchor_of, on_frames, place
from sepbench.baselines.stsed.segments import cut, join, separate_in_segments
from sepbench.baselines.stsed.wiener import joint_wiener
from sepbench.harness.errors import SettingError


def same(mixture: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """A network that gives back what it is given."""
    return mixture


# --- segments -------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 63_999, 64_000, 64_001, 150_000])
def test_joined_end_to_end_a_track_keeps_every_sample(length: int) -> None:
    track = torch.randn(2, length)

    found = separate_in_segments(same, track, torch.zeros(2, 3))

    assert torch.equal(found, track)


@pytest.mark.parametrize("length", [1, 64_000, 150_000])
def test_cross_fades_keep_a_track_but_for_the_gains_of_the_original(length: int) -> None:
    track = torch.randn(2, length)

    found = separate_in_segments(same, track, torch.zeros(2, 3), overlap=32_000)

    # The two gains add up to 1 - 1/n.
    torch.testing.assert_close(found, track, atol=2e-4, rtol=0)


def test_gains_of_a_cross_fade_are_the_originals() -> None:
    pieces = torch.stack([torch.ones(1, 64_004), torch.zeros(1, 64_004)], dim=1)

    track = join(pieces, 4)

    assert track.shape == (1, 128_004)
    assert track[0, 63_998:64_006].tolist() == [1, 1, 0.75, 0.5, 0.25, 0, 0, 0]


def test_segments_start_every_two_seconds_and_end_in_silence() -> None:
    pieces = cut(torch.arange(100_000.0)[None], 32_000)

    assert pieces.shape == (1, 2, 96_000)
    assert pieces[0, :, 0].tolist() == [0, 64_000]
    assert pieces[0, 1, 35_999:36_002].tolist() == [99_999, 0, 0]


def test_every_segment_gets_its_own_tracks_condition() -> None:
    def scaled(mixture: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        assert len(mixture) <= 3
        return mixture * condition

    found = separate_in_segments(
        scaled, torch.ones(2, 130_000), torch.tensor([[2.0], [5.0]]), at_once=3
    )

    assert (found[0] == 2).all()
    assert (found[1] == 5).all()


# --- localising -----------------------------------------------------------------------------


def test_the_anchor_is_the_middle_of_the_likeliest_stretch() -> None:
    presence = np.zeros(1024)
    presence[412:612] = 0.9

    anchor = anchor_of(presence, 320_000)

    assert anchor == 512 * 1000 // 1024


def test_of_equal_stretches_the_first_is_taken() -> None:
    presence = np.zeros(1024)
    presence[[150, 800]] = 1.0

    anchor = anchor_of(presence, 320_000)

    assert anchor == (150 - 99) * 1000 // 1024


def test_in_a_short_clip_the_anchor_is_found_in_any_of_its_repetitions() -> None:
    presence = np.zeros(1024)  # two repetitions of 5 s
    presence[512 + 156 : 512 + 356] = 1.0

    anchor = anchor_of(presence, 160_000)

    assert anchor == 250


@pytest.mark.parametrize(("length", "repeats"), [(64_000, 5), (160_000, 2), (320_000, 1)])
def test_the_grid_is_folded_back_to_the_frames_of_the_clip(length: int, repeats: int) -> None:
    frames = length // 320
    ramp = np.arange(1024) * repeats * frames / 1024  # the frame of the repeated clip

    found = on_frames(ramp % frames, length)

    assert found.shape == (frames,)
    np.testing.assert_allclose(found, np.arange(frames), atol=1.0)


def test_the_loudest_repetition_of_a_short_clip_counts() -> None:
    presence = np.zeros(1024)
    presence[512 + 256] = 0.7  # the middle of the second of two repetitions

    found = on_frames(presence, 160_000)

    assert np.flatnonzero(found).tolist() == [250]
    assert found.max() == 0.7


@pytest.mark.parametrize(
    ("anchor", "begin"), [(0, 0), (99, 0), (100, 0), (500, 128_000), (950, 256_000)]
)
def test_the_segment_stays_inside_the_clip(anchor: int, begin: int) -> None:
    located = place(anchor, 320_000)

    assert (located.begin, located.end) == (begin, begin + 64_000)


# --- the joint Wiener step ------------------------------------------------------------------


def test_shared_out_estimates_add_up_to_the_mixture() -> None:
    draw = torch.Generator().manual_seed(0)
    sources = torch.randn(3, 2, 100_000, generator=draw)
    mixture = sources.sum(0)

    filtered = joint_wiener(mixture, 0.3 * sources)

    assert filtered.shape == (3, 2, 100_000)
    torch.testing.assert_close(filtered.sum(0), mixture, atol=1e-3, rtol=0)


def test_leakage_between_estimates_is_reduced() -> None:
    time = torch.arange(64_000) / 32_000
    low, high = (torch.sin(2 * torch.pi * hertz * time)[None] for hertz in (300.0, 3000.0))
    estimates = torch.stack([low + 0.3 * high, high + 0.3 * low])

    filtered = joint_wiener(low + high, estimates)

    # In amplitude a leak of 0.3 becomes 0.09 / 1.09, and as much is lost of the source itself.
    assert (filtered[0] - low).square().mean() < 0.2 * (estimates[0] - low).square().mean()


@pytest.mark.parametrize("length", [1, 700, 64_000, 64_001])
@pytest.mark.parametrize("segment", [None, 64_000])
def test_signals_of_any_length_can_be_shared_out(length: int, segment: int | None) -> None:
    filtered = joint_wiener(torch.randn(1, length), torch.randn(2, 1, length), segment=segment)

    assert filtered.shape == (2, 1, length)
    assert filtered.isfinite().all()


def test_silent_estimates_stay_silent() -> None:
    filtered = joint_wiener(torch.randn(1, 5_000), torch.zeros(4, 1, 5_000))

    assert filtered.abs().max() == 0


def test_a_single_estimate_cannot_be_shared_out() -> None:
    with pytest.raises(SettingError, match="this scene has 1"):
        joint_wiener(torch.randn(1, 5_000), torch.randn(1, 1, 5_000))
