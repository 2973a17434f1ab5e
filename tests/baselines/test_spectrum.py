from __future__ import annotations

import pytest
import torch

from sepbench.baselines.spectrum import istft, mel_weights, merge_frames, stack_frames, stft

# (n_fft, hop); a hop of half a frame is the largest allowed
FRAMES = [(2048, 1024), (2048, 512), (1024, 300), (16, 8)]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("n_fft", "hop"), FRAMES)
@pytest.mark.parametrize("length", [1, 2, 7, 1023, 1024, 2047, 4096, 10_001])
def test_a_signal_of_any_length_comes_back_from_its_spectrum(n_fft, hop, length):
    signal = noise(2, length)

    back = istft(stft(signal, n_fft, hop), n_fft, hop, length)

    assert back.shape == signal.shape
    torch.testing.assert_close(back, signal, atol=1e-5, rtol=0)


def test_leading_dimensions_are_kept():
    spectrum = stft(noise(3, 2, 1000), 256, 64)

    assert spectrum.shape == (3, 2, 129, 17)  # ceil(1000 / 64) + 1 frames
    assert istft(spectrum, 256, 64, 1000).shape == (3, 2, 1000)


def test_silence_has_an_exactly_empty_spectrum():
    assert stft(torch.zeros(1, 5000), 2048, 1024).abs().max() == 0


@pytest.mark.parametrize("bands", [4, 32, 512])
def test_every_bin_shares_itself_out_among_the_mel_bands(bands):
    weights = mel_weights(2048, bands, 32_000)

    assert weights.shape == (1025, bands)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(1), torch.ones(1025, dtype=torch.float64))


def test_stacked_frames_hold_the_frame_and_those_that_follow():
    frames = torch.tensor([[1.0, 2.0, 3.0, 4.0]])

    stacked = stack_frames(frames, context=2, stride=3)

    assert stacked.tolist() == [[1, 2, 3, 4], [4, 0, 0, 0]]


@pytest.mark.parametrize("length", [1, 3, 20])
def test_merging_undoes_stacking(length):
    frames = noise(5, length)

    torch.testing.assert_close(merge_frames(stack_frames(frames, 4, 3), 4, 3), frames)
