"""Reading, writing and resampling audio files: float32 (C, N), nothing clipped, nothing guessed.

WAV, FLAC, OGG and MP3 go through soundfile; MP4 containers (`.stem.mp4`, `.m4a`) through PyAV,
which brings its own codecs. Resampling to a protocol's rate is soxr's high-quality setting.

A truncated file is refused: libsndfile silently returns what is left of one, which would shorten
reference and mixture differently and move every score.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from sepbench.harness.api import Samples
from sepbench.harness.errors import (
    AudioFileError,
    AudioMismatchError,
    MissingFileError,
    UnsafePathError,
)

if TYPE_CHECKING:
    from soundfile import SoundFile

# C channels, N samples
CONTAINER_SUFFIXES = (".mp4", ".m4a", ".mkv", ".webm", ".mov")
MAX_CHANNELS = 2

# A decoder may drop an encoder's priming (up to 2,112 samples of AAC) that the container counts.
CONTAINER_TOLERANCE_SECONDS = 0.1

# Files of one scene may differ by this much in length (encoder padding) and are cut to the
# shorter; more than that means that they do not belong together.
LENGTH_TOLERANCE_SECONDS = 0.05


# Numbers read at once from a file that announces more of them: 64 MB.
BLOCK = 1 << 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Audio:
    """A file as read.

    Attributes:
        samples: (C, N) float32.
        sample_rate: Hz, after resampling where that was asked for.
        sha256: of the file's bytes.
    """

    samples: Samples
    sample_rate: int
    sha256: str


def resolve_inside(root: Path, name: str) -> Path:
    """The path of a file that a list names, which must lie inside the root.

    Raises:
        UnsafePathError: the name is absolute or climbs out of the root.
        MissingFileError: there is no such file.
    """
    path = root / name
    # Resolving follows links, so a link that leads out is refused too, unless the root itself
    # is reached through one. It raises for names that no file can have: a NUL byte, too many
    # characters, a link to itself.
    try:
        inside = not Path(name).is_absolute() and path.resolve().is_relative_to(root.resolve())
        found = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise UnsafePathError(f"{name!r} cannot be a file under {root} ({error}).") from error
    if not inside:
        raise UnsafePathError(
            f"'{name}' lies outside the dataset's root {root}. Lists may only name files below it."
        )
    if not found:
        raise MissingFileError(f"{path} is missing. Restore the file, or check the dataset's root.")
    return path


def read_audio(
    path: Path,
    *,
    sample_rate: int | None = None,
    mono: bool = False,
    max_channels: int = MAX_CHANNELS,
    stream: int = 0,
) -> Audio:
    """Read one file whole.

    Args:
        path: the file.
        sample_rate: resample to this rate; None keeps the file's.
        mono: average the channels.
        max_channels: more channels than this are refused: this is not the file that was meant.
        stream: which audio stream of a container.

    Raises:
        MissingFileError: no such file.
        AudioFileError: not audio, truncated, empty, holding NaN, or with too many channels.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"{path} is missing.") from None
    except OSError as error:
        raise AudioFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not data:
        raise AudioFileError(f"{path} is empty (0 bytes). Fetch the file again.")
    if path.suffix.lower() in CONTAINER_SUFFIXES:
        samples, rate = _decode_container(path, data, stream)
    else:
        samples, rate = _decode_soundfile(path, data)
    channels, length = samples.shape
    if length == 0:
        raise AudioFileError(f"{path} holds no samples. Fetch the file again.")
    if channels > max_channels:
        raise AudioFileError(
            f"{path} has {channels} channels; at most {max_channels} are expected here."
        )
    if not np.isfinite(samples).all():
        raise AudioFileError(f"{path} holds NaN or infinite samples. Export the file again.")
    if mono:
        samples = to_mono(samples)
    if sample_rate is not None and sample_rate != rate:
        samples = resample(samples, rate, sample_rate)
        if samples.shape[1] == 0:
            raise AudioFileError(
                f"{path} is too short: its {length} samples at {rate} Hz leave none at "
                f"{sample_rate} Hz."
            )
        rate = sample_rate
    return Audio(samples=samples, sample_rate=rate, sha256=hashlib.sha256(data).hexdigest())


def write_wav(place: Path | BinaryIO, samples: Samples, sample_rate: int) -> None:
    """Write (C, N) float32 as a WAV file of 32-bit floats: no rounding, no clipping."""
    import soundfile

    frames = np.ascontiguousarray(samples.T)
    soundfile.write(place, frames, sample_rate, subtype="FLOAT", format="WAV")


def to_mono(samples: Samples) -> Samples:
    """(C, N) -> (1, N), the mean over channels."""
    if samples.shape[0] == 1:
        return samples
    return np.asarray(samples.mean(axis=0, keepdims=True, dtype=np.float64), dtype=np.float32)


def resample(samples: Samples, rate_from: int, rate_to: int) -> Samples:
    """Resample (C, N) with soxr's HQ setting; the length becomes N · to / from, rounded."""
    if rate_from == rate_to:
        return samples
    import soxr

    result = soxr.resample(np.ascontiguousarray(samples.T), rate_from, rate_to, quality="HQ")
    return np.ascontiguousarray(result.T, dtype=np.float32)


def cut_to_common_length(
    signals: Sequence[Samples], sample_rate: int, *, where: str
) -> tuple[Samples, ...]:
    """Cut signals of one scene to the shortest, where they differ by encoder padding only.

    Raises:
        AudioMismatchError: they differ by more than `LENGTH_TOLERANCE_SECONDS`.
    """
    lengths = [signal.shape[1] for signal in signals]
    shortest = min(lengths)
    if max(lengths) - shortest > LENGTH_TOLERANCE_SECONDS * sample_rate:
        raise AudioMismatchError(
            f"{where}: files of one scene differ in length "
            f"({', '.join(f'{n / sample_rate:.3f} s' for n in lengths)}). "
            "They do not belong together, or one of them is cut short."
        )
    return tuple(signal[:, :shortest] for signal in signals)


def _decode_soundfile(path: Path, data: bytes) -> tuple[Samples, int]:
    import soundfile

    _refuse_truncation(path, data)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            announced = file.frames
            samples = _frames(file)
            rate = int(file.samplerate)
            exact = file.format in ("WAV", "WAVEX", "FLAC", "AIFF")
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioFileError(
            f"{path} is not readable as audio ({error}). Expected WAV, FLAC, OGG or MP3."
        ) from error
    if exact and len(samples) < announced:
        raise AudioFileError(
            f"{path} is truncated: {len(samples)} of {announced} samples. Fetch the file again."
        )
    return np.ascontiguousarray(samples.T), rate


def _frames(file: SoundFile) -> Samples:
    """All frames (N, C); a damaged header that announces terabytes allocates none of them."""
    if file.frames * file.channels <= BLOCK:
        return np.asarray(file.read(dtype="float32", always_2d=True))
    blocks = []
    while True:
        blocks.append(file.read(BLOCK // file.channels, dtype="float32", always_2d=True))
        if len(blocks[-1]) < BLOCK // file.channels:
            return np.concatenate(blocks)


def _refuse_truncation(path: Path, data: bytes) -> None:
    """Detect the truncations that libsndfile passes over: RIFF and RF64 data, Ogg pages."""
    message = f"{path} is truncated ({{}}). Fetch the file again."
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        position = 12
        long_size = 0
        while position + 8 <= len(data):
            name, size = struct.unpack_from("<4sI", data, position)
            if name == b"ds64" and position + 24 <= len(data):
                (long_size,) = struct.unpack_from("<Q", data, position + 16)
            if name == b"data":
                size = long_size if size == 0xFFFFFFFF and long_size else size
                # 0 and 0xFFFFFFFF are what streaming writers leave behind.
                if size not in (0, 0xFFFFFFFF) and position + 8 + size > len(data):
                    have = len(data) - position - 8
                    raise AudioFileError(message.format(f"{have} of {size} bytes of samples"))
                return
            position += 8 + size + (size & 1)
    elif data[:4] == b"OggS":
        last = data.rfind(b"OggS")
        header = data[last : last + 27]
        if len(header) < 27 or not header[5] & 0x04:
            raise AudioFileError(message.format("no end-of-stream page"))
        # A page is its header, one length byte a segment, and the segments.
        lengths = data[last + 27 : last + 27 + header[26]]
        if last + 27 + header[26] + sum(lengths) > len(data):
            raise AudioFileError(message.format("its last page is cut"))


def _decode_container(path: Path, data: bytes, stream: int) -> tuple[Samples, int]:
    import av
    from av.audio.resampler import AudioResampler

    try:
        with av.open(io.BytesIO(data), mode="r") as container:
            streams = container.streams.audio
            if stream >= len(streams):
                raise AudioFileError(
                    f"{path} has {len(streams)} audio streams; stream {stream} was asked for."
                )
            source = streams[stream]
            # Planar float: a 16-bit decode clips AAC, which can exceed full scale.
            planar = AudioResampler(format="fltp", layout=source.layout, rate=source.rate)
            blocks = [
                frame.to_ndarray()
                for packet in container.demux(source)
                for decoded in packet.decode()
                for frame in planar.resample(decoded)
            ]
            blocks += [frame.to_ndarray() for frame in planar.resample(None)]
            rate = int(source.rate)
            announced = float((source.duration or 0) * (source.time_base or 0))
    except (av.FFmpegError, ValueError) as error:
        raise AudioFileError(f"{path} is not readable as audio ({error}).") from error
    if not blocks:
        raise AudioFileError(f"{path} holds no samples. Fetch the file again.")
    samples = np.ascontiguousarray(np.concatenate(blocks, axis=1), dtype=np.float32)
    if samples.shape[1] / rate < announced - CONTAINER_TOLERANCE_SECONDS:
        raise AudioFileError(
            f"{path} is truncated: {samples.shape[1] / rate:.3f} of {announced:.3f} s. "
            "Fetch the file again."
        )
    return samples, rate
