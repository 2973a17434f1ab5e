"""The composition root: the only place that opens catalogs and hands parts to who needs them.

Importing it puts this package where `sepbench.harness.run`, the function of the Python API, was
found a moment ago. So the package can be called, and is that function.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sepbench.harness.run.summary import RunSummary


class _CallablePackage(ModuleType):
    def __call__(
        self,
        *,
        models: Sequence[str] = (),
        datasets: Sequence[str] = (),
        workspace: str | Path = "bench-results",
        overrides: Sequence[str] = (),
    ) -> RunSummary:
        """As `sepbench.harness.run.python_api.run`."""
        from sepbench.harness.run.python_api import run

        return run(models=models, datasets=datasets, workspace=workspace, overrides=overrides)


sys.modules[__name__].__class__ = _CallablePackage
