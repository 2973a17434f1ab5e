"""The words of sepbench as types. Imports nothing of ours, and nothing heavy.

Shapes: B batch, C channels, N samples, Q queries, D embedding. Audio is float32 in [-1, 1]
nominally (never clipped by the harness), NumPy between the stages and torch inside a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    Samples: TypeAlias = npt.NDArray[np.float32]  # (C, N)
else:
    Samples: TypeAlias = Any

QueryKind: TypeAlias = Literal["text", "label", "audio", "none"]
Attribute: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One labelled recording of a corpus: what query pools, probes and training draw from.

    Attributes:
        clip_id: unique within its dataset.
        path: the audio file.
        origin: id of the original recording; clips cut from one recording share it.
    """

    clip_id: str
    path: Path
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    fold: str | None = None
    origin: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One audio example of a query. The harness fills `waveform` before a model sees it.

    Attributes:
        waveform: (C, N) float32 at `sample_rate`, C = 1 for a mono model; None until loaded.
        sha256: of the file as read; None until loaded.
    """

    clip_id: str
    path: Path | None = None
    waveform: Tensor | None = None
    sample_rate: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What is asked: a text, a label, or audio examples (any of them may be given together)."""

    text: str | None = None
    label: str | None = None
    examples: tuple[Example, ...] = ()

    @property
    def kind(self) -> QueryKind:
        """The kind this query is recorded under: audio before text before label."""
        if self.examples:
            return "audio"
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ListCard:
    """One named list of a dataset's scenes.

    Attributes:
        revision: changes whenever the scenes, their mixing or their queries change.
        mixing: how mixtures come about, in words; part of the cell's identity.
    """

    name: str
    revision: str
    mixing: str
    summary: str = ""
    expected_scenes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetCard:
    """Facts about a corpus.

    Attributes:
        protocols: names of the protocols it is usually scored under, the default first.
        needs_root: False when the audio ships with the package.
        pools: names that `Dataset.clips` takes.
        where: where to get it, for the error that says it is missing.
    """

    name: str
    summary: str
    licence: str
    lists: tuple[ListCard, ...]
    protocols: tuple[str, ...] = ()
    needs_root: bool = True
    pools: tuple[str, ...] = ()
    where: str = ""
    citation: str = ""
    sample_rate: int | None = None


@runtime_checkable
class Dataset(Protocol):
    """Files on disk as scenes in a stable order. Never downloads, never draws unseeded."""

    card: DatasetCard

    def default_protocol(self) -> str:
        """The protocol to score under when none is named, given what is on disk."""
        ...

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """The rows of a list in a stable order, without reading audio.

        Raises:
            MissingRootError: the folder is not there.
            ManifestError: the list cannot be parsed.
        """
        ...

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """Read (and, where the list mixes on the fly, mix) one scene at the protocol's rate.

        Raises:
            DatasetError: a file is missing, outside the root, or not usable as audio.
        """
        ...

    def clips(self, pool: str) -> Sequence[Clip]:
        """Labelled recordings of a pool; empty when the pool is not on disk."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineCard:
    """Facts about a separator. Only `name` is needed.

    Attributes:
        version: raise it when the estimates change; scores of two versions never mix.
        query_kinds: what it can be asked with; empty means it needs no query (bounds).
        sample_rate: Hz the model works at; None means any rate, so nothing is resampled.
        channels: 1 runs each channel by itself; None means any number together.
        needs_references: an oracle that is handed the true sources.
        joint: all queries of a scene must come in one call.
        chunking: "harness" cuts long audio with overlap and cross-fade; "own" means the model
            has a published rule of its own; "none" always gets the whole signal.
        min_samples: shortest input in samples at `sample_rate`; shorter ones are zero-padded.
        role: "lower" and "upper" bounds stand apart in tables.
    """

    name: str
    version: str = "1"
    summary: str = ""
    query_kinds: tuple[QueryKind, ...] = ()
    sample_rate: int | None = None
    channels: int | None = 1
    needs_references: bool = False
    joint: bool = False
    chunking: Literal["harness", "own", "none"] = "harness"
    min_samples: int = 1
    role: Literal["model", "lower", "upper"] = "model"
    generative: bool = False
    licence: str = ""
    paper: str = ""
    training_data: tuple[str, ...] = ()


@runtime_checkable
class QuerySeparator(Protocol):
    """One answer per query; the harness resamples, cuts, batches and caches conditions.

    `separate` may also take a keyword `seeds` (one int per item): the harness passes it to
    generative models only where the signature has it.
    """

    card: BaselineCard

    def load(self, device: str) -> None:
        """Put weights on the device. Nothing heavy before this call."""
        ...

    def condition(self, queries: Sequence[Query]) -> Sequence[Any]:
        """One condition per query; tensors of equal shape are stacked by the harness."""
        ...

    def separate(self, mixture: Tensor, condition: Any) -> Tensor:
        """Estimates for a batch.

        Args:
            mixture: (B, C, N) at `card.sample_rate`.
            condition: (B, …) stacked conditions.

        Returns:
            (B, C, N), same rate, same length.
        """
        ...


@runtime_checkable
class SceneSeparator(Protocol):
    """Everything about a scene at once: oracles, all-stems models, outside programs."""

    card: BaselineCard

    def load(self, device: str) -> None:
        """Put weights on the device. Nothing heavy before this call."""
        ...

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """Estimates for all queries of one scene.

        Args:
            mixture: (C, N) at `card.sample_rate` (or the protocol's rate where that is None).
            queries: Q queries.
            references: (Q, C, N), the true target of each query, only where
                `card.needs_references`; silence for an absent target.
            seeds: one per query.

        Returns:
            (Q, C, N).
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryRule:
    """Which queries a protocol asks.

    Attributes:
        kinds: in order of preference; a model gets the first kind its card supports.
        shots: audio examples per query.
        pool: name handed to `Dataset.clips`.
        template: text made of a label, with `{label}` in it; "" = the words of the label.
    """

    kinds: tuple[QueryKind, ...] = ("text", "label", "audio")
    shots: int = 1
    pool: str = ""
    template: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringProtocol:
    """Rules under which a list is scored. Data, not code: `configs/protocol/*.yaml`.

    Attributes:
        channels: "mono" downmixes by the mean over channels on reading; "native" keeps them.
        model_channels: what a mono model gets of a multichannel scene.
        metrics: ids; their versions are recorded with every score.
        aggregate: "mean" or "median" over items.
    """

    name: str
    dataset: str
    list_name: str
    sample_rate: int
    metrics: tuple[str, ...]
    channels: Literal["mono", "native"] = "mono"
    model_channels: Literal["per-channel", "downmix"] = "per-channel"
    query: QueryRule = field(default_factory=QueryRule)
    aggregate: Literal["mean", "median"] = "mean"
    expected_items: int | None = None
    summary: str = ""
    published: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricCard:
    """Facts about one metric id.

    Attributes:
        version: raise it when a value changes; versions never share a column.
        parameters: what besides the version fixes the number (filter length, window, …).
        improvement: id of the column made by subtracting the mixture's value; None = none.
        scope: "scene" needs every estimate of the scene at once.
        noise_floor: dB above which values are rounding noise, shown as ">60" and averaged
            as that number; None = no such limit.
    """

    metric_id: str
    version: int
    title: str
    unit: str = "dB"
    higher_is_better: bool = True
    range: str = "(-inf, +inf)"
    min_samples: int = 1
    parameters: Mapping[str, Attribute] = field(default_factory=dict)
    needs_all_references: bool = False
    scope: Literal["item", "scene"] = "item"
    improvement: str | None = None
    noise_floor: float | None = None
    defined_for_mixture: bool = True
    silence: str = ""
    formula: str = ""
    source: str = ""

    @property
    def identity(self) -> str:
        """`id@version`, as tables and records name it."""
        return f"{self.metric_id}@{self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Undefined:
    """A score that does not exist, and why."""

    cause: Literal["reference", "estimate"]
    reason: str


Value: TypeAlias = float | Undefined
