"""A list of any length over a few real WAV files of one second: what the overhead bench reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from sepbench.harness.api import Clip, DatasetCard, ListCard, Scene, SceneRow, TargetRow
from sepbench.harness.audio import read_audio, write_wav

RATE = 16000
FILES = 64


class Rows(Sequence[SceneRow]):
    """Rows made when they are asked for: a list of a million scenes takes no memory."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> SceneRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SceneRow]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(self._count))]
        if index >= self._count:
            raise IndexError(index)
        return SceneRow(
            scene_id=f"{index:07d}",
            targets=(TargetRow(name="target", label="noise", cluster=str(index % FILES)),),
            details={"number": index},
        )


class WavKit:
    """Scene n is file n mod 64 plus file 7n + 1 mod 64, read from disk each time."""

    card = DatasetCard(
        name="kit-wav",
        summary="one-second noises in WAV files",
        licence="CC0",
        lists=(ListCard(name="pairs", revision="1", mixing="sum"),),
        protocols=("kit-wav", "kit-wav-32k"),
    )
    protocols = {  # noqa: RUF012 - read only
        "kit-wav": {
            "dataset": "kit-wav",
            "list": "pairs",
            "sample_rate": RATE,
            "query": {"kinds": ["label"]},
            "metrics": ["sdr"],
        },
        "kit-wav-32k": {
            "dataset": "kit-wav",
            "list": "pairs",
            "sample_rate": 32_000,
            "query": {"kinds": ["label"]},
            "metrics": ["sdr", "si_sdr"],
        },
    }

    def __init__(self, root: Path | None = None, *, scenes: int = 1000) -> None:
        assert root is not None
        self._root, self._count = root, scenes

    @staticmethod
    def write(root: Path, *, rate: int = RATE, seconds: float = 1.0) -> None:
        """Make the files."""
        rng = np.random.default_rng(0)
        for number in range(FILES):
            noise = 0.1 * rng.standard_normal((1, round(seconds * rate)))
            write_wav(root / f"{number}.wav", noise.astype(np.float32), rate)

    def default_protocol(self) -> str:
        return "kit-wav"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        return Rows(self._count)

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        number = row.details["number"]
        names = [f"{number % FILES}.wav", f"{(7 * number + 1) % FILES}.wav"]
        target, other = (read_audio(self._root / name, sample_rate=sample_rate) for name in names)
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=target.samples + other.samples,
            sources={"target": target.samples, "other": other.samples},
            files={names[0]: target.sha256, names[1]: other.sha256},
        )

    def clips(self, pool: str) -> Sequence[Clip]:
        return []
