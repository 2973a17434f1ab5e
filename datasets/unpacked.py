"""Where an archive put a corpus: in the root itself, or in one folder more, whatever its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_LEFT_BEHIND = (".", "_")  # first letters: hidden folders, and "__MACOSX" of a Mac's archiver


def bases(root: Path) -> Iterator[str]:
    """The root as "", then "name/" for each folder in it, in the order of their names."""
    yield ""
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.name.startswith(_LEFT_BEHIND):
            yield f"{path.name}/"
