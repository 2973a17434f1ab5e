"""Write the golden reports anew: look at the difference before it is kept."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """The files beside this one."""
    sys.path.insert(0, str(HERE.parents[1] / "support"))
    from sepbench_testkit.golden_board import write_files

    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder) / "work", HERE)
    (HERE / "leaderboard.schema.json").unlink()  # shipped with the package, and tested there


if __name__ == "__main__":
    main()
