"""Every error sepbench raises on purpose.

A message says what happened, where, and what to do next; the CLI prints it without a traceback.
Exit codes: 2 for a request that cannot be carried out as asked, 1 for a failure on the way.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal


class BenchError(Exception):
    """Base of all named errors. `exit_code` is what the CLI leaves with."""

    exit_code = 1


class UsageError(BenchError):
    """The request itself is wrong: a name, an option, a setting, a path."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that no table knows; carries near matches."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        names = sorted(known)
        super().__init__(f"Unknown {kind} '{name}'{where}.{near_matches(name, names)}")
        self.kind, self.name = kind, name


class SettingError(UsageError):
    """A setting that does not exist, or a value it cannot take."""


class DuplicateNameError(UsageError):
    """Two entries claim one name."""


class PluginError(UsageError):
    """A plugin that cannot be imported or does not keep its contract."""


class MissingExtraError(UsageError):
    """An optional package that this feature needs is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package '{package}', which is not installed. "
            f"Install it with: pip install 'sepbench[{extra}]'"
        )


class MissingNetworkError(UsageError):
    """A metric's network is not there: no encoder was handed to it, or its weights are absent."""


class DatasetError(BenchError):
    """A corpus on disk is not what its adapter expects."""


class MissingRootError(UsageError):
    """A dataset's folder is not given or does not exist."""


class MissingFileError(DatasetError):
    """A list names a file that is not there."""


class UnsafePathError(DatasetError):
    """A list names a path outside the dataset's root."""


class ManifestError(DatasetError):
    """A list or manifest cannot be parsed, or contradicts itself."""


class ChangedFileError(DatasetError):
    """A file has other contents than when its scores were recorded."""


class AudioFileError(DatasetError):
    """A file that cannot be used as audio: not audio, truncated, empty, NaN, too many channels."""


class AudioMismatchError(DatasetError):
    """Files of one scene that should agree in rate or length do not."""


class StorageError(DatasetError):
    """A URL whose file system cannot be opened, listed, read or written."""


class QueryError(BenchError):
    """A query that the protocol asks for cannot be made (no text, example pool too small)."""


class BaselineError(BenchError):
    """A separator broke its contract or raised."""


class EstimateError(BaselineError):
    """An estimate of the wrong shape, or one holding NaN or infinite numbers."""


class BaselineLoadError(BaselineError):
    """A separator could not load (weights missing, device refused)."""


class MissingWeightsError(BaselineLoadError):
    """A checkpoint or tokenizer is not installed; says where it comes from and how to get it."""


class CheckpointError(BaselineLoadError):
    """A checkpoint that is damaged, unsafe to open, or made for another network."""


class DeviceMemoryError(BaselineError):
    """A single item does not fit into the memory of its model's device."""


class ProcessDiedError(BaselineError):
    """A worker process ended without an answer (crash, out of memory)."""


class ItemTimeoutError(BaselineError):
    """An item took longer than the time it is allowed."""


class NotApplicableError(BenchError):
    """A cell that cannot be, with the reason; not a failure."""


class WorkspaceError(BenchError):
    """The workspace cannot be opened, read or written."""


class WorkspaceLockedError(WorkspaceError, UsageError):
    """Another run holds the workspace."""

    exit_code = 2


class WorkspaceVersionError(WorkspaceError, UsageError):
    """The workspace was written by a newer sepbench."""

    exit_code = 2


class NoRoomError(WorkspaceError):
    """Too little room on a disk that the run writes to."""


class ScratchError(BenchError):
    """No room for the audio that passes between the processes."""


class TooManyFailuresError(BenchError):
    """The run was stopped because --max-failures was reached."""


# What a stranger's code may end with; sys.exit() in a plugin must not end the harness.
STRANGER_ERRORS: tuple[type[BaseException], ...] = (Exception, SystemExit)


class UndefinedScoreError(Exception):
    """A metric has no value here. Not a failure: recorded with its cause and reason.

    Attributes:
        cause: "reference" leaves the mean for every model alike; "estimate" counts against the
            model that made it.
    """

    def __init__(self, cause: Literal["reference", "estimate"], reason: str) -> None:
        super().__init__(reason)
        self.cause: Literal["reference", "estimate"] = cause
        self.reason = reason


def near_matches(name: str, known: Iterable[str]) -> str:
    """A hint such as " Did you mean 'nmf'? Known: …", beginning with a blank."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    shown = ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
    return f"{hint} Known: {shown or 'none'}."
