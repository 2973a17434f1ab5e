"""`python -m sepbench_testkit.corpora FOLDER`: every fixture, to be looked at by hand."""

from __future__ import annotations

import sys
from pathlib import Path

from sepbench_testkit.corpora.everything import write_everything

if len(sys.argv) != 2:
    sys.exit("Give one folder: python -m sepbench_testkit.corpora FOLDER")
sys.stdout.write(f"{write_everything(Path(sys.argv[1]))}\n")
