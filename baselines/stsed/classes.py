"""The 527 classes that the detector tells apart: AudioSet's, in the order of its outputs.

Source: class_labels_indices.csv of AudioSet (Gemmeke et al., ICASSP 2017), CC BY 4.0.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("audioset_classes.csv")


@cache
def audioset_names() -> tuple[str, ...]:
    """Display names, by number."""
    with _FILE.open(encoding="utf-8", newline="") as file:
        return tuple(row["display_name"] for row in csv.DictReader(file))
