from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sepbench.reports.loudness import loudness
from sepbench.reports.spectrograms import (
    BANDS,
    MOST_FRAMES,
    decibels,
    mel_edges,
    mel_spectrogram,
    write_pictures,
)

RATE = 48000


def sine(hertz: float, level: float = 1.0, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(int(RATE * seconds)) / RATE
    return (level * np.sin(2 * np.pi * hertz * time))[None].astype(np.float32)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 6000.0])
def test_a_tone_is_brightest_in_the_band_that_holds_it(hertz: float) -> None:
    bands = mel_spectrogram(sine(hertz), RATE).mean(axis=1)

    brightest = int(bands.argmax())
    edges = mel_edges(RATE)
    assert edges[max(0, brightest - 1)] <= hertz <= edges[min(brightest + 3, BANDS + 1)]


@pytest.mark.parametrize("seconds", [0.001, 0.5, 30.0])
def test_a_picture_is_never_wider_than_it_may_be(seconds: float) -> None:
    bands, frames = mel_spectrogram(sine(440.0, seconds=seconds), RATE).shape

    assert bands == BANDS
    assert 1 <= frames <= MOST_FRAMES + 1


def test_decibels_are_clipped_and_silence_is_the_floor() -> None:
    shown = decibels(np.array([[4.0, 1.0, 0.1, 0.0]]), 1.0)

    assert shown.tolist() == [[0.0, 0.0, -10.0, -70.0]]


def test_pictures_of_an_item_share_one_scale_and_the_same_bytes(tmp_path: Path) -> None:
    loud, soft = sine(1000.0), sine(1000.0, level=0.1)
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png", "d.png")]

    write_pictures([loud, soft], RATE, paths[:2])
    write_pictures([loud, soft], RATE, paths[2:])

    levels = [int(np.asarray(Image.open(path)).max()) for path in paths[:2]]
    assert levels[0] == 255
    assert levels[1] == round(255 * (1 - 20 / 70))
    assert [p.read_bytes() for p in paths[:2]] == [p.read_bytes() for p in paths[2:]]


def test_silence_is_drawn_dark(tmp_path: Path) -> None:
    write_pictures([np.zeros((1, 4800), np.float32)], RATE, [tmp_path / "a.png"])

    assert int(np.asarray(Image.open(tmp_path / "a.png")).max()) == 0


def test_a_full_scale_tone_at_997_hz_has_the_loudness_of_the_recommendation() -> None:
    assert loudness(sine(997.0), RATE) == pytest.approx(-3.01, abs=0.02)


def test_half_the_level_is_six_decibels_less_and_low_tones_count_less() -> None:
    whole = loudness(sine(997.0), RATE)

    assert whole - loudness(sine(997.0, level=0.5), RATE) == pytest.approx(6.02, abs=0.01)
    assert loudness(sine(30.0), RATE) < whole - 6.0


def test_silence_has_no_loudness() -> None:
    assert loudness(np.zeros((2, 100), np.float32), RATE) == float("-inf")
