"""sepbench: batch evaluation and benchmarking of query-based audio source separation.

    import sepbench.harness as sb
    summary = sb.run(models=["nmf"], datasets=["demo"], workspace="bench-results")
    frame = sb.results("bench-results")

Everything here is imported on first use; `import sepbench.harness` itself is light.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sepbench.harness.api import (
        BaselineCard,
        Clip,
        DatasetCard,
        Example,
        ListCard,
        MetricCard,
        Query,
        QuerySeparator,
        Scene,
        SceneRow,
        SceneSeparator,
        TargetRow,
    )
    from sepbench.harness.errors import BenchError, UndefinedScoreError
    from sepbench.harness.run.python_api import (
        compare,
        leaderboard,
        leaderboard_frame,
        load_baseline,
        load_dataset,
        results,
        run,
    )

try:
    __version__ = version("sepbench")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"

_HOMES = {
    "sepbench.harness.api": (
        "BaselineCard",
        "Clip",
        "DatasetCard",
        "Example",
        "ListCard",
        "MetricCard",
        "Query",
        "QuerySeparator",
        "Scene",
        "SceneRow",
        "SceneSeparator",
        "TargetRow",
    ),
    "sepbench.harness.errors": ("BenchError", "UndefinedScoreError"),
    "sepbench.harness.run.python_api": (
        "compare",
        "leaderboard",
        "leaderboard_frame",
        "load_baseline",
        "load_dataset",
        "results",
        "run",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BaselineCard",
    "BenchError",
    "Clip",
    "DatasetCard",
    "Example",
    "ListCard",
    "MetricCard",
    "Query",
    "QuerySeparator",
    "Scene",
    "SceneRow",
    "SceneSeparator",
    "TargetRow",
    "UndefinedScoreError",
    "__version__",
    "compare",
    "leaderboard",
    "leaderboard_frame",
    "load_baseline",
    "load_dataset",
    "results",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
