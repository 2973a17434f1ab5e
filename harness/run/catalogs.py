"""All registries in one place. Opening one imports no model, no dataset and no torch."""

from __future__ import annotations

from sepbench.baselines.catalog import CATALOG as BASELINES
from sepbench.baselines.catalog import POSTPROCESSES as STEPS
from sepbench.baselines.catalog import RECIPES as TRAINEES
from sepbench.baselines.encoders.catalog import CATALOG as QUERY_ENCODERS
from sepbench.datasets.catalog import CATALOG as CORPORA
from sepbench.harness.metrics.catalog import METRICS
from sepbench.harness.registry import Registry
from sepbench.reports.catalog import CATALOG as FORMATS

MODELS = Registry("model", BASELINES, "sepbench.baselines")
DATASETS = Registry("dataset", CORPORA, "sepbench.datasets")
POSTPROCESSES = Registry("postprocess", STEPS, "sepbench.postprocesses")
ENCODERS = Registry("query encoder", QUERY_ENCODERS, "sepbench.query_encoders")
RECIPES = Registry("recipe", TRAINEES, "sepbench.recipes")
REPORTS = Registry("report format", FORMATS, "sepbench.reports")

__all__ = ["DATASETS", "ENCODERS", "METRICS", "MODELS", "POSTPROCESSES", "RECIPES", "REPORTS"]
