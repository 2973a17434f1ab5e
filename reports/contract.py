"""What a report format is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sepbench.harness.aggregate import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaderboard:
    """All tables of a workspace, ready to be written.

    Attributes:
        provenance: short lines on what the numbers were made with.
    """

    tables: Sequence[Table]
    provenance: Sequence[str] = ()


class Report(Protocol):
    """Writes a leaderboard in one format; the same leaderboard gives the same bytes."""

    name: str
    summary: str

    def write(self, board: Leaderboard, folder: Path) -> list[Path]:
        """Write into `folder`, which exists; returns the files."""
        ...
