"""What the engine hands to the workspace: one outcome an item, plain data."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sepbench.harness.api import Value
from sepbench.harness.errors import BenchError

# scored: at least one metric has a value. undefined: none has, each with its reason. Both final.
# failed and timed-out are tried again by the next invocation.
Status: TypeAlias = Literal["scored", "undefined", "failed", "timed-out"]
FINAL: tuple[Status, ...] = ("scored", "undefined")


LONGEST_MESSAGE = 2000


def _printable(text: str) -> str:
    """A stranger's text without control characters and without what UTF-8 cannot hold."""
    kept = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
    return kept.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why an item or a cell has no result.

    Attributes:
        error: the message, without a traceback.
        traceback: kept for the reader of the record; empty for errors that we raise by name.
    """

    error_type: str
    error: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """From an exception; the traceback of a stranger's error is kept."""
        named = isinstance(error, BenchError)
        text = "" if named else "".join(traceback.format_exception(error))
        message = str(error) or type(error).__name__
        if len(message) > LONGEST_MESSAGE:
            message = message[:LONGEST_MESSAGE] + " …"
        return cls(
            error_type=type(error).__name__, error=_printable(message), traceback=_printable(text)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemOutcome:
    """The durable result of one item of one cell.

    Attributes:
        scores: metric id -> value; empty when the item failed.
        *_seconds: wall time spent on this item; a batch's time is shared by its items.
        peak_memory: bytes, highest so far of the process that ran the model; 0 = not measured.
        degraded: what was done to save memory and may show in the estimate, in words, or "".
        files: names relative to the dataset's root -> sha256 of the bytes read.
        example_files: clip id -> sha256 of the query's examples.
        estimate_sha256: of the kept estimate; "" when it was not kept.
    """

    cell_id: int
    item_id: int
    status: Status
    scores: Mapping[str, Value] = field(default_factory=dict)
    failure: Failure | None = None
    audio_seconds: float = 0.0
    load_seconds: float = 0.0
    condition_seconds: float = 0.0
    separate_seconds: float = 0.0
    score_seconds: float = 0.0
    peak_memory: int = 0
    degraded: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    example_files: Mapping[str, str] = field(default_factory=dict)
    estimate_sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellFacts:
    """What is known of a cell's model once it is loaded.

    Attributes:
        parameters: number of trainable and fixed numbers in the networks; None = not a network.
        flops_per_second: of separation, for each second of audio and each query, without the
            queries' encoders; None = not counted.
        compiled: torch compiled the networks.
    """

    device: str
    precision: str
    parameters: int | None = None
    flops_per_second: float | None = None
    compiled: bool = False
    load_seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
