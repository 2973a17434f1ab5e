from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

WriteTone = Callable[..., Path]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real recordings that lies beside a developer's checkout."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("SEPBENCH_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip("no real recordings: set SEPBENCH_SHARED to the folder that holds data/")
    return folder


@pytest.fixture
def write_tone() -> WriteTone:
    """Writes a sine as a 32-bit float WAV, or OGG by suffix; makes the folders it needs."""

    def write(
        path: Path,
        *,
        frequency: float = 440.0,
        seconds: float = 0.25,
        rate: int = 16000,
        level: float = 0.1,
        channels: int = 1,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        times = np.arange(round(seconds * rate)) / rate
        tone = level * np.sin(2 * np.pi * frequency * times)
        subtype = "VORBIS" if path.suffix == ".ogg" else "FLOAT"
        soundfile.write(path, np.tile(tone[:, None], (1, channels)), rate, subtype=subtype)
        return path

    return write


@pytest.fixture
def spoil() -> Callable[[Path, str], None]:
    """Replaces an audio file by a broken one of the named sort."""

    def replace(path: Path, sort: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        match sort:
            case "truncated":
                path.write_bytes(path.read_bytes()[:-100])
            case "text renamed":
                path.write_text("this is no audio\n" * 100)
            case "zero bytes":
                path.write_bytes(b"")
            case "zero length":
                soundfile.write(path, np.zeros((0, 1)), 16000, subtype="FLOAT")
            case "NaN":
                soundfile.write(path, np.full((4000, 1), np.nan), 16000, subtype="FLOAT")
            case "8 channels":
                soundfile.write(path, np.full((4000, 8), 0.1), 16000, subtype="FLOAT")
            case _:
                raise ValueError(sort)

    return replace
