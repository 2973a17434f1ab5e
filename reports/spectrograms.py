"""Spectrograms as arrays and as small PNG files, several of one item on one colour scale.

Shapes: C channels, N samples, K frequency bins, T frames, M mel bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.api import Samples

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

RANGE_DB = 70.0
BANDS = 128
MOST_FRAMES = 480
COLOURS = "magma"
_WINDOW_SECONDS = 0.046  # 2,048 samples at 44.1 kHz
_EMPTY = 1e-12  # −120 dB: what digital silence is shown as


def mel_spectrogram(samples: Samples, sample_rate: int) -> Floats:
    """Power in mel bands, (M, T), mean over channels; low bands first.

    Args:
        samples: (C, N); a signal shorter than a window is padded with silence.
        sample_rate: Hz.
    """
    size = 1 << max(6, round(float(np.log2(_WINDOW_SECONDS * sample_rate))))
    signal = np.asarray(samples, dtype=np.float64)
    padded = np.pad(signal, ((0, 0), (size // 2, size // 2)))
    hop = max(size // 4, -(-signal.shape[1] // MOST_FRAMES))
    starts = np.arange(0, padded.shape[1] - size + 1, hop)
    window = np.hanning(size)
    frames = padded[:, starts[:, None] + np.arange(size)] * window  # (C, T, size)
    power = (np.abs(np.fft.rfft(frames)) ** 2).mean(axis=0)  # (T, K)
    found: Floats = (power @ _mel_filters(size, sample_rate).T).T
    return found


def mel_edges(sample_rate: int) -> Floats:
    """Frequencies of the band edges, (M + 2,), in Hz."""
    top = _mel(np.array(sample_rate / 2.0))
    mels: Floats = np.linspace(0.0, float(top), BANDS + 2)
    hertz: Floats = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    return hertz


def decibels(power: Floats, reference: float) -> Floats:
    """Power relative to a reference, clipped to [−RANGE_DB, 0] dB."""
    level = 10.0 * np.log10(np.maximum(power, _EMPTY * reference) / max(reference, _EMPTY))
    clipped: Floats = np.clip(level, -RANGE_DB, 0.0)
    return clipped


def write_pictures(signals: Sequence[Samples], sample_rate: int, paths: Sequence[Path]) -> None:
    """Draw signals on one colour scale: 0 dB is the loudest band of the first, the mixture.

    Args:
        signals: (C, N) each.
        sample_rate: Hz.
        paths: a PNG each; time to the right, low frequencies below.
    """
    from matplotlib import colormaps
    from PIL import Image

    palette = (colormaps[COLOURS](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)
    spectra = [mel_spectrogram(samples, sample_rate) for samples in signals]
    loudest = float(spectra[0].max(initial=0.0)) or 1.0
    for power, path in zip(spectra, paths, strict=True):
        level = 1.0 + decibels(power, loudest) / RANGE_DB
        picture = Image.fromarray((level[::-1] * 255).round().astype(np.uint8), mode=None)
        picture.putpalette(palette.tobytes())
        picture.save(path, optimize=True)


def _mel(hertz: Floats) -> Floats:
    mels: Floats = 2595.0 * np.log10(1.0 + hertz / 700.0)
    return mels


def _mel_filters(size: int, sample_rate: int) -> Floats:
    """Triangles of unit height, (M, K); a band narrower than a bin takes its nearest bin."""
    edges = mel_edges(sample_rate)
    bins = np.arange(size // 2 + 1) * sample_rate / size
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters: Floats = np.maximum(0.0, np.minimum(rising, falling))
    empty = np.flatnonzero(filters.sum(axis=1) == 0.0)
    filters[empty, np.abs(bins - edges[1:-1][empty, None]).argmin(axis=1)] = 1.0
    scaled: Floats = filters / np.maximum(filters.sum(axis=1, keepdims=True), 1.0)
    return scaled
