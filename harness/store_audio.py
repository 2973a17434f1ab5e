"""Where kept estimates lie: in the workspace, or in stores that its runs were told to use."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from sepbench.harness.storage.places import as_remote, open_place

# A store that several workspaces share may hold what another run is writing right now.
UNFINISHED_SECONDS = 86400.0


def estimate_path(folder: Path, sha256: str) -> Path:
    """Where an estimate lies in a store, by the digest of its samples."""
    return folder / sha256[:2] / f"{sha256}.wav"


class KeptEstimates:
    """The stores of one workspace.

    Args:
        own: the workspace's folder of audio.
        others: folders or URLs that its runs used besides; opened when first looked into.
    """

    def __init__(self, own: Path, others: Iterable[str]) -> None:
        self._own = own
        self._names = tuple(dict.fromkeys(others))
        self._opened: Sequence[Path] | None = None

    def path(self, sha256: str) -> Path:
        """The kept estimate; where none has it, its place in the workspace.

        Raises:
            SettingError, StorageError: a store that cannot be opened or asked.
        """
        if not estimate_path(self._own, sha256).is_file():
            if self._opened is None:
                self._opened = [open_place(name) for name in self._names]
            for folder in self._opened:
                if estimate_path(folder, sha256).is_file():
                    return estimate_path(folder, sha256)
        return estimate_path(self._own, sha256)


def open_store(name: str) -> Path:
    """The store that a run is to keep its estimates in, rid of what killed runs left there.

    Raises:
        SettingError, StorageError: it cannot be opened.
    """
    folder = open_place(name)
    if as_remote(folder) is None:
        for unfinished in folder.glob("*/*.part.wav"):
            if time.time() - unfinished.stat().st_mtime > UNFINISHED_SECONDS:
                unfinished.unlink(missing_ok=True)
    return folder
