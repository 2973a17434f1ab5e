"""The Python API: what the command line does, as functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.harness.api import Dataset
from sepbench.harness.compare import Comparison
from sepbench.harness.compare import compare as compare_rows
from sepbench.harness.run.corpora import open_dataset
from sepbench.harness.run.grid import run_grid
from sepbench.harness.run.models import complete_settings, make_model, open_class
from sepbench.harness.run.report import open_board
from sepbench.harness.run.summary import RunSummary
from sepbench.harness.settings import resolve
from sepbench.harness.store import Workspace
from sepbench.harness.stored_scores import results_frame

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler


def load_baseline(name: str, *, device: str = "cpu", **settings: Any) -> Any:
    """A separator, ready to use.

    Args:
        name: in the registry, or "module:Class".
        device: "cpu", "cuda", "cuda:1".
        **settings: of its constructor; unknown ones are refused with near matches.

    Returns:
        A `QuerySeparator` or `SceneSeparator` whose `load` was called.
    """
    _, made = open_class(name)
    model = make_model(made, complete_settings(made, settings, name), name)
    model.load(device)
    return model


def load_dataset(name: str, *, root: str | Path | None = None, **settings: Any) -> Dataset:
    """A dataset by name.

    Args:
        name: in the registry.
        root: its folder; default: the dataset's environment variable.
        **settings: of its constructor.
    """
    return open_dataset(name, {**settings, "root": root})


def run(
    *,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    workspace: str | Path = "bench-results",
    overrides: Sequence[str] = (),
) -> RunSummary:
    """Do what is missing of a grid, as `bench run`.

    A script that calls this needs the usual guard `if __name__ == "__main__":`, because worker
    processes import the main module; `overrides=["engine.name=inline"]` uses no processes.

    Args:
        models: names, or "label=name"; bounds come without asking.
        datasets: names, or "name:protocol".
        workspace: folder of the results.
        overrides: settings as "key=value".
    """
    return run_grid(
        resolve(workspace=Path(workspace), models=models, datasets=datasets, overrides=overrides)
    )


def results(workspace: str | Path = "bench-results") -> pd.DataFrame:
    """Every score of a workspace: one row an item and metric."""
    with Workspace(Path(workspace)) as opened:
        return results_frame(opened)


def leaderboard(
    workspace: str | Path = "bench-results", *, protocols: Sequence[str] | None = None
) -> Styler:
    """The tables of a workspace as a notebook shows them: a pandas Styler.

    Args:
        workspace: folder of the results.
        protocols: names; default: all.
    """
    from sepbench.reports.frame import styled_table

    with Workspace(Path(workspace)) as opened:
        return styled_table(open_board(opened, protocols))


def leaderboard_frame(
    workspace: str | Path = "bench-results", *, protocols: Sequence[str] | None = None
) -> pd.DataFrame:
    """The same as numbers: one row a row of a table and column, nothing rounded."""
    from sepbench.reports.frame import board_frame

    with Workspace(Path(workspace)) as opened:
        return board_frame(open_board(opened, protocols))


def compare(
    workspace: str | Path,
    a: str,
    b: str,
    *,
    metric: str | None = None,
    protocol: str | None = None,
) -> list[Comparison]:
    """Is A better than B? Paired by (scene, target), a comparison for each protocol both have.

    Args:
        workspace: folder of the results.
        a: name of a row as in tables; "label@audio" where a label was asked in several ways.
        b: the other's.
        metric: id, or "all"; default: si_sdr where the protocol has it, else its first.
        protocol: only this one.

    Raises:
        UsageError: no such row or metric, or nothing that both have.
    """
    with Workspace(Path(workspace)) as opened:
        return compare_rows(opened, a, b, metric=metric, protocol=protocol)
