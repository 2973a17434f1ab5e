"""Stage 1: from a row to audio at the protocol's rate and channels."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sepbench.harness.api import Dataset, Samples, SceneRow, ScoringProtocol
from sepbench.harness.errors import DatasetError


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedScene:
    """A scene in memory.

    Attributes:
        mixture: (C, N) float32.
        sources: name -> (C, N) float32.
        files: name -> sha256 of the bytes read.
        seconds: wall time of reading and mixing.
    """

    mixture: Samples
    sources: Mapping[str, Samples]
    sample_rate: int
    files: Mapping[str, str]
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of mixture and sources."""
        return int(self.mixture.nbytes + sum(s.nbytes for s in self.sources.values()))


def load_scene(dataset: Dataset, row: SceneRow, protocol: ScoringProtocol) -> LoadedScene:
    """Load one scene and hold the dataset to its contract.

    Raises:
        DatasetError: from the dataset, or because shapes, rate, type or names are not as promised.
    """
    started = time.perf_counter()
    scene = dataset.load(row, protocol.sample_rate, mono=protocol.channels == "mono")
    where = f"Dataset {dataset.card.name}, scene {row.scene_id}"
    if scene.sample_rate != protocol.sample_rate:
        raise DatasetError(
            f"{where}: came at {scene.sample_rate} Hz, {protocol.sample_rate} Hz was asked for."
        )
    mixture = _checked(scene.mixture, f"{where}, mixture")
    if protocol.channels == "mono" and mixture.shape[0] != 1:
        raise DatasetError(
            f"{where}: came with {mixture.shape[0]} channels, a mono mixture was asked for."
        )
    sources = {name: _checked(s, f"{where}, source {name}") for name, s in scene.sources.items()}
    for name, source in sources.items():
        if source.shape != mixture.shape:
            raise DatasetError(
                f"{where}: source {name} has shape {source.shape}, the mixture {mixture.shape}."
            )
    for target in row.targets:
        if not target.absent and target.name not in sources:
            raise DatasetError(
                f"{where}: target '{target.name}' is not among the sources "
                f"({', '.join(sources) or 'none'})."
            )
    return LoadedScene(
        mixture=mixture,
        sources=sources,
        sample_rate=scene.sample_rate,
        files=scene.files,
        seconds=time.perf_counter() - started,
    )


def _checked(samples: Samples, where: str) -> Samples:
    array = np.ascontiguousarray(samples, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] == 0:
        raise DatasetError(f"{where}: shape {array.shape}; expected (channels, samples).")
    if not np.isfinite(array).all():
        raise DatasetError(f"{where}: holds NaN or infinite samples.")
    return array
