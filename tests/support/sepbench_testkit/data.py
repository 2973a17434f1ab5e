"""A corpus without files: seeded noises of two classes, any number of scenes, made on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sepbench.harness.api import (
    Clip,
    DatasetCard,
    ListCard,
    Samples,
    Scene,
    SceneRow,
    TargetRow,
)
from sepbench.harness.errors import MissingFileError

RATE = 8000
MARK = 0.75


class Kit:
    """Scenes of two noises, "dog" and "rain"; both can be asked for, rain by two captions.

    Args:
        root: not used.
        scenes: how many.
        samples: length of each; `lengths="mixed"` makes every third one shorter.
        special: scene number -> "silent" (dog is silent), "absent" (cat is asked for and not
            there), "missing" (loading fails), "marked" (faulty models and metrics know the dog
            by its text and its first sample).
        salt: changes the file digests, as if the audio had been replaced.
        edition: changes what the scenes are, as an edited list does.
    """

    card = DatasetCard(
        name="kit",
        summary="seeded noises",
        licence="CC0",
        lists=(ListCard(name="noises", revision="1", mixing="sum"),),
        protocols=("kit",),
        needs_root=False,
        pools=("examples",),
    )
    protocols: Mapping[str, Mapping[str, Any]] = {
        "kit": {
            "dataset": "kit",
            "list": "noises",
            "sample_rate": RATE,
            "query": {"kinds": ["text", "label", "audio"], "pool": "examples"},
            "metrics": ["sdr", "si_sdr"],
        },
        "kit-16k": {
            "dataset": "kit",
            "list": "noises",
            "sample_rate": 16000,
            "query": {"kinds": ["label"]},
            "metrics": ["sdr"],
            "aggregate": "median",
        },
    }

    def __init__(
        self,
        root: Path | None = None,
        *,
        scenes: int = 6,
        samples: int = 4000,
        lengths: str = "equal",
        channels: int = 1,
        special: Mapping[str, str] | None = None,
        salt: str = "",
        edition: int = 1,
    ) -> None:
        self.root = root
        self._count, self._samples, self._lengths = scenes, samples, lengths
        self._channels, self._special, self._salt = (
            channels,
            {str(k): v for k, v in (special or {}).items()},
            salt,
        )
        self._edition = edition

    def default_protocol(self) -> str:
        return "kit"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        return [self._row(number) for number in range(self._count)]

    def _row(self, number: int) -> SceneRow:
        special = self._special.get(str(number), "")
        targets = [
            TargetRow(
                name="dog",
                label="dog",
                texts=("a marked dog barks" if special == "marked" else "a dog barks",),
                cluster=f"dog-{number}",
            ),
            TargetRow(
                name="rain",
                label="rain",
                texts=("rain falls", "heavy rain"),
                cluster=f"rain-{number}",
            ),
        ]
        if special == "absent":
            targets.append(TargetRow(name="cat", label="cat", texts=("a cat",), absent=True))
        return SceneRow(
            scene_id=f"scene-{number:05d}",
            targets=tuple(targets),
            origins=(f"dog-{number}", f"rain-{number}"),
            attributes={"number": number},
            details={"number": number, "edition": self._edition},
        )

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        number = int(row.details["number"])
        special = self._special.get(str(number), "")
        if special == "missing":
            raise MissingFileError(f"dog-{number}.wav is missing.")
        length = self._samples * sample_rate // RATE
        if self._lengths == "mixed" and number % 3 == 0:
            length = length * 3 // 4
        rng = np.random.default_rng(number)
        dog, rain = (self._noise(rng, length) for _ in range(2))
        if special == "silent":
            dog = np.zeros_like(dog)
        if special == "marked":
            dog[:, 0] = MARK
        name = f"dog-{number}.wav"
        bytes_ = f"{name}{self._salt}".encode()
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=dog + rain,
            sources={"dog": dog, "rain": rain},
            files={name: hashlib.sha256(bytes_).hexdigest()},
        )

    def _noise(self, rng: np.random.Generator, length: int) -> Samples:
        return (0.1 * rng.standard_normal((self._channels, length))).astype(np.float32)

    def clips(self, pool: str) -> Sequence[Clip]:
        """Two clips a class, in files below the root where there is one."""
        if self.root is None:
            return []
        return [
            Clip(
                clip_id=f"{label}-example-{take}",
                path=self.root / f"{label}-{take}.wav",
                labels=(label,),
                origin=f"{label}-example-{take}",
            )
            for label in ("dog", "rain")
            for take in (1, 2)
        ]
