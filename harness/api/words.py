"""Scenes, targets, queries and clips: what flows through the harness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    Samples: TypeAlias = npt.NDArray[np.float32]  # (C, N)
else:
    Samples: TypeAlias = Any

QueryKind: TypeAlias = Literal["text", "label", "audio", "text+audio", "none"]
# What a run asks for; "each" stands for every kind that protocol and model have.
AskedKind: TypeAlias = QueryKind | Literal["each"]
WITH_EXAMPLES: tuple[QueryKind, ...] = ("audio", "text+audio")
Attribute: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One labelled recording of a corpus: what query pools, probes and training draw from.

    Attributes:
        clip_id: unique within its dataset.
        path: the audio file.
        stream: which audio stream of a container with several (stems).
        origin: id of the original recording; clips cut from one recording share it.
    """

    clip_id: str
    path: Path
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    fold: str | None = None
    origin: str = ""
    stream: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One audio example of a query. The harness fills `waveform` before a model sees it.

    Attributes:
        stream: which audio stream of a container with several.
        waveform: (C, N) float32 at `sample_rate`, C = 1 for a mono model; None until loaded.
        sha256: of the file as read; None until loaded.
    """

    clip_id: str
    path: Path | None = None
    waveform: Tensor | None = None
    sample_rate: int | None = None
    sha256: str | None = None
    stream: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What is asked: a text, a label, or audio examples (any of them may be given together)."""

    text: str | None = None
    label: str | None = None
    examples: tuple[Example, ...] = ()

    @property
    def kind(self) -> QueryKind:
        """The kind this query is recorded under; a label beside other parts does not count."""
        if self.examples:
            return "audio" if self.text is None else "text+audio"
        if self.text is not None:
            return "text"
        return "label" if self.label is not None else "none"

    @property
    def words(self) -> str:
        """The text, or the label read as text; empty for a query of examples alone."""
        return self.text if self.text is not None else (self.label or "").replace("_", " ")


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetRow:
    """One thing that can be asked for in a scene, before any audio is read.

    Attributes:
        name: key of `Scene.sources`.
        label: class name; also the key into the example pool.
        texts: captions; each is an item of its own under a text query.
        cluster: the recording that repeats across items (target clip, track), for intervals.
        absent: True when the scene does not hold the sound; the reference is then silence.
    """

    name: str
    label: str | None = None
    texts: tuple[str, ...] = ()
    cluster: str = ""
    absent: bool = False
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneRow:
    """One scene of a list, cheap to make: no audio is read for it.

    Attributes:
        origins: ids of all original recordings in the scene; example pools exclude them.
        details: what the dataset needs to load the scene; JSON values only, so that two
            revisions of a list can be told apart.
    """

    scene_id: str
    targets: tuple[TargetRow, ...]
    origins: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One mixture with its named reference sources, at one sample rate.

    Attributes:
        mixture: (C, N) float32.
        sources: name -> (C, N) float32, every known source of the mixture.
        files: name relative to the root -> sha256 of the bytes actually read.
    """

    scene_id: str
    sample_rate: int
    mixture: Samples
    sources: Mapping[str, Samples]
    files: Mapping[str, str] = field(default_factory=dict)
