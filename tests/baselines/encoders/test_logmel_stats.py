"""Log-mel statistics: closed forms."""

from __future__ import annotations

import pytest
import torch
from sepbench_testkit.audio_encoders import tones

from sepbench.baselines.encoders.log_mel import PANNS, mel_matrix
from sepbench.baselines.encoders.logmel_stats import LogMelStats


@pytest.fixture
def encoder() -> LogMelStats:
    loaded = LogMelStats()
    loaded.load("cpu")
    return loaded


def test_silence_is_100_db_down_and_does_not_move(encoder: LogMelStats) -> None:
    found = encoder.encode_audio([torch.zeros(32_000)])[0]

    assert found[:64].tolist() == pytest.approx([-100.0] * 64)
    assert found[64:].tolist() == pytest.approx([0.0] * 64)


def test_a_tenth_of_the_gain_is_20_db_less_and_moves_as_much(encoder: LogMelStats) -> None:
    clip = tones(21, 32_000, 32_000)

    loud, faint = encoder.encode_audio([clip, 0.1 * clip])

    torch.testing.assert_close(loud[:64] - faint[:64], torch.full((64,), 20.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(loud[64:], faint[64:], atol=1e-3, rtol=0)


def test_half_a_clip_of_silence_is_seen_in_the_deviation(encoder: LogMelStats) -> None:
    clip = torch.cat([torch.zeros(32_000), 0.5 * torch.randn(32_000, generator=_seeded())])

    found = encoder.encode_audio([clip])[0]

    # Half the frames at -100 dB and half around -10: their deviation is half the distance.
    assert bool((found[64:] > 30).all())


def test_clips_of_any_lengths_give_what_each_gives_alone(encoder: LogMelStats) -> None:
    clips = [tones(22, 100, 32_000), tones(23, 32_000, 32_000), tones(24, 32_000, 32_000)]

    together = encoder.encode_audio(clips)

    alone = torch.cat([encoder.encode_audio([clip]) for clip in clips])
    assert together.shape == (3, encoder.card.dimension)
    assert together.isfinite().all()
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_every_mel_band_has_an_area_of_one() -> None:
    areas = mel_matrix(PANNS).sum(0) * PANNS.sample_rate / PANNS.n_fft

    # Narrow bands hold two or three bins, whose sum is a coarse integral.
    torch.testing.assert_close(areas, torch.ones(64), atol=0.3, rtol=0)
    torch.testing.assert_close(areas[40:], torch.ones(24), atol=0.02, rtol=0)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)
