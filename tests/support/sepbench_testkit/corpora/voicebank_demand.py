"""A tiny VoiceBank-DEMAND: the 48 kHz original, the usual 16 kHz copy of it, the log file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 48000
COPY_RATE = 16000
# Numbering has gaps, lengths differ. The log covers more than is on disk.
UTTERANCES = ("p232_001", "p232_003", "p257_019")
LOG = (
    "p232_001 bus 17.5",
    "p232_002 cafe 12.5",
    "p232_003 living 2.5",
    "p257_019 psquare 7.5",
)
SPEAKERS = ("p226", "p227", "p228", "p230")


def write_voicebank(
    root: Path,
    *,
    copy: bool = False,
    log: bool = True,
    train: bool = True,
    seconds: float = 1.0,
    utterances: Sequence[str] = UTTERANCES,
) -> Path:
    """`clean_testset_wav` and `noisy_testset_wav`, the log, and training speech.

    Args:
        root: made if it does not exist.
        copy: 16 kHz in folders with the suffix `_16k` instead of 48 kHz.
        log: write `log_testset.txt`.
        train: write a clean training sentence a speaker.
        seconds: of the first utterance; each next one is a tenth longer.
        utterances: names without suffix, of the log's.
    """
    ratios = {line.split()[0]: float(line.split()[2]) for line in LOG}
    for number, name in enumerate(utterances):
        clean = _voice(number, seconds * (1 + number / 10))
        noise = _noise(number, len(clean))
        noise *= np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-ratios[name] / 20)
        _write(root, "clean_testset_wav", name, clean, copy)
        _write(root, "noisy_testset_wav", name, clean + noise, copy)
    for number, speaker in enumerate(SPEAKERS if train else ()):
        voice = _voice(10 + number, 2.5)
        _write(root, "clean_trainset_28spk_wav", f"{speaker}_001", voice, copy)
    if log:
        (root / "log_testset.txt").write_text("".join(f"{line}\n" for line in LOG))
    return root


def _voice(number: int, seconds: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Harmonics under a slow envelope; nothing that a codec or a metric would call silence."""
    times = np.arange(round(seconds * RATE)) / RATE
    pitch = 100 + 15 * number
    tones = sum(np.sin(2 * np.pi * pitch * k * times) / k for k in range(1, 9))
    return np.asarray(0.1 * tones * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * times)))


def _noise(number: int, length: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """White below 4 kHz, so that the log's ratios hold at every rate."""
    slow = np.random.default_rng(number).standard_normal(length // 6 + 100)
    return np.asarray(soxr.resample(slow, RATE // 6, RATE)[:length])


def _write(
    root: Path,
    folder: str,
    name: str,
    samples: np.ndarray[tuple[int], np.dtype[np.float64]],
    copy: bool,
) -> None:
    rate = COPY_RATE if copy else RATE
    path = root / (f"{folder}_16k" if copy else folder) / f"{name}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        samples = soxr.resample(samples, RATE, COPY_RATE)
    soundfile.write(path, samples, rate, subtype="PCM_16")
