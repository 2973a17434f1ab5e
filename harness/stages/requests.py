"""What the separation stage is asked, and what it answers: plain data between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sepbench.harness.api import Query, Samples
from sepbench.harness.records import Failure


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """How to make and run one model; crosses process borders.

    Attributes:
        label: what tables call it; name: what the registry calls it.
        target: "module:Class", constructed with `settings`.
        batch_size: None = the largest that fits and pays.
        degrade: what may be done, in this order, where memory runs out: "chunks", "cpu".
        postprocess: "module:Class" of the step over each scene's estimates, or "".
        compile: let torch compile the networks, where the model has `compile_network`.
    """

    label: str
    name: str
    target: str
    settings: Mapping[str, Any]
    device: str = "auto"
    precision: str = "float32"
    batch_size: int | None = 8
    chunk_seconds: float = 60.0
    overlap_seconds: float = 2.0
    degrade: tuple[str, ...] = ()
    compile: bool = False
    postprocess: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairInput:
    """One estimate to make.

    Attributes:
        reference: (C, N), for oracles only.
        out: (C, N) float32, written here.
    """

    query: Query
    seed: int
    out: Samples
    reference: Samples | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneInput:
    """A mixture (C, N) with what is asked of it."""

    mixture: Samples
    sample_rate: int
    downmix: bool
    pairs: tuple[PairInput, ...]


@dataclass(kw_only=True, slots=True)
class PairResult:
    """How one estimate went; `failure` is None when `out` was written.

    Attributes:
        exhausted: the failure is that memory ran out.
        degraded: what was done to save memory and may show in the estimate, in words, or "".
    """

    failure: Failure | None = None
    condition_seconds: float = 0.0
    separate_seconds: float = 0.0
    example_files: Mapping[str, str] = field(default_factory=dict)
    exhausted: bool = False
    degraded: str = ""
