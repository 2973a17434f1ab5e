"""All registries in one place. Opening one imports no model, no dataset and no torch."""

from __future__ import annotations

from sepbench.baselines.catalog import CATALOG as BASELINES
from sepbench.datasets.catalog import CATALOG as CORPORA
from sepbench.harness.metrics.catalog import METRICS
from sepbench.harness.registry import Registry
from sepbench.reports.catalog import CATALOG as FORMATS

MODELS = Registry("model", BASELINES, "sepbench.baselines")
DATASETS = Registry("dataset", CORPORA, "sepbench.datasets")
REPORTS = Registry("report format", FORMATS, "sepbench.reports")

__all__ = ["DATASETS", "METRICS", "MODELS", "REPORTS"]
