"""Clips to embeddings, each computed once: a cache on disk remembers them by contents.

An embedding is kept under the encoder's identity, its crop rule, and the sha256 of the audio file,
so that renamed files and other corpora with the same audio find it again, and another checkpoint
or another version of an encoder does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.api import Clip
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import (
    STRANGER_ERRORS,
    BaselineError,
    BaselineLoadError,
    BenchError,
    DatasetError,
    QueryError,
)
from sepbench.harness.identity import digest, file_sha256

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    Vectors = npt.NDArray[np.float32]

# N clips, B of a batch, D embedding

Report = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where vectors come from: an encoder's embeddings, or a detector's answers.

    Attributes:
        name: of the encoder, for messages.
        sample_rate: Hz at which it listens; clips are mixed down to mono.
        dimension: D of its vectors.
        identity: what makes two sources the same, the crop rule included.
        load: puts the weights on the device.
        encode: from B clips (N,) to (B, D).
    """

    name: str
    sample_rate: int | None
    dimension: int
    identity: Mapping[str, Any]
    load: Callable[[], None]
    encode: Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """Vectors of a corpus.

    Attributes:
        vectors: (N, D) float32; a row of NaN where there is none.
        refused: index -> why the encoder takes no such clip. Counts against the encoder.
        unreadable: index -> why the file cannot be used. Counts against nobody.
    """

    vectors: Vectors
    refused: Mapping[int, str]
    unreadable: Mapping[int, str]


def embed_clips(
    source: Source,
    clips: Sequence[Clip],
    *,
    cache: Path,
    batch_size: int = 16,
    report: Report = lambda done: None,
) -> Embedded:
    """Embed clips; those of the cache without reading their samples.

    Weights are loaded before the first clip that is not in the cache.

    Args:
        source: makes the vectors.
        clips: N of them.
        cache: folder, made where it is missing.
        batch_size: clips for one call of the encoder.
        report: told how many clips are done.

    Raises:
        BaselineError: the encoder broke its contract, or cannot load; it is named.
        BenchError: the encoder's own named errors.
    """
    folder = cache / digest(source.identity)[:32]
    rows: dict[int, Vectors] = {}
    refused: dict[int, str] = {}
    unreadable: dict[int, str] = {}
    waiting: list[tuple[int, Path]] = []
    for index, clip in enumerate(clips):
        try:
            file = folder / f"{file_sha256(clip.path)}-{clip.stream}.npy"
        except OSError as error:
            unreadable[index] = f"{clip.path} cannot be read: {error.strerror or error}."
            continue
        known = _recall(file, source.dimension)
        if known is None:
            waiting.append((index, file))
        else:
            rows[index] = known
    report(len(clips) - len(waiting))
    if waiting:
        load_source(source)
    for start in range(0, len(waiting), batch_size):
        batch = waiting[start : start + batch_size]
        signals: dict[int, Tensor] = {}
        for index, _ in batch:
            try:
                signals[index] = read_signal(clips[index], source.sample_rate)
            except DatasetError as error:
                unreadable[index] = str(error)
        found = _encode(source, signals, refused)
        for index, file in batch:
            if index in found:
                rows[index] = found[index]
                _remember(file, found[index])
        report(len(clips) - len(waiting) + start + len(batch))
    vectors = np.full((len(clips), source.dimension), np.nan, np.float32)
    for index, row in rows.items():
        vectors[index] = row
    return Embedded(vectors=vectors, refused=refused, unreadable=unreadable)


def load_source(source: Source) -> None:
    """Put its weights on the device.

    Raises:
        BaselineLoadError: it cannot load; named. Or the source's own named errors.
    """
    try:
        source.load()
    except BenchError:
        raise
    except STRANGER_ERRORS as error:
        raise BaselineLoadError(
            f"Encoder '{source.name}' cannot load: {type(error).__name__}: {error}"
        ) from error


def read_signal(clip: Clip, sample_rate: int | None) -> Tensor:
    """A clip as an encoder gets it: mono (N,) at its rate.

    Raises:
        DatasetError: the file cannot be used.
    """
    import torch

    audio = read_audio(clip.path, sample_rate=sample_rate, mono=True, stream=clip.stream)
    return torch.from_numpy(audio.samples[0])


def _encode(
    source: Source, signals: Mapping[int, Tensor], refused: dict[int, str]
) -> dict[int, Vectors]:
    """Embeddings of a batch; where the encoder refuses it, of its clips one by one."""
    if not signals:
        return {}
    try:
        vectors = _call(source, list(signals.values()))
        return {index: vectors[k] for k, index in enumerate(signals)}
    except QueryError as error:
        if len(signals) == 1:
            refused[next(iter(signals))] = str(error)
            return {}
    alone = (_encode(source, {index: signal}, refused) for index, signal in signals.items())
    return {index: row for found in alone for index, row in found.items()}


def _call(source: Source, signals: Sequence[Tensor]) -> Vectors:
    name, expected = source.name, (len(signals), source.dimension)
    try:
        vectors = source.encode(signals)
        found: Vectors = np.asarray(vectors.detach().cpu().float().numpy(), np.float32)
    except BenchError:
        raise
    except STRANGER_ERRORS as error:  # an encoder may come from anywhere
        raise BaselineError(
            f"Encoder '{name}' failed on {len(signals)} clips: {type(error).__name__}: {error}"
        ) from error
    if found.shape != expected:
        raise BaselineError(
            f"Encoder '{name}' gave embeddings of shape {found.shape}; expected {expected}."
        )
    if not np.isfinite(found).all():
        raise BaselineError(f"Encoder '{name}' gave an embedding with NaN or infinite numbers.")
    return found


def _recall(file: Path, dimension: int) -> Vectors | None:
    try:
        found: Vectors = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # not there, or cut short: computing it again costs a moment
    whole = found.shape == (dimension,) and found.dtype == np.float32 and np.isfinite(found).all()
    return found if whole else None


def _remember(file: Path, row: Vectors) -> None:
    unfinished = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as opened:
            np.save(opened, row, allow_pickle=False)
        unfinished.replace(file)
    except OSError:
        return  # a cache that cannot be written only costs time
