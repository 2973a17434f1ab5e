"""Plugins that break their contract: each is one named error, and harms nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.data import Kit

from sepbench.harness.api import Scene, SceneRow
from sepbench.harness.errors import DatasetError, PluginError, WorkspaceError
from sepbench.harness.identity import canonical
from sepbench.harness.records import Failure
from sepbench.harness.run.grid import plan_grid, run_grid
from sepbench.harness.run.report import describe_failures, write_reports
from sepbench.harness.settings import RunSettings, resolve


def settings(workspace: Path, *models: str) -> RunSettings:
    return resolve(
        workspace=workspace,
        models=models or ("kit-half",),
        datasets=["kit"],
        overrides=["engine=inline", "bounds=[]", "metrics=[sdr]", "datasets.kit.scenes=2"],
        environment={},
    )


def test_text_that_utf8_cannot_hold_is_kept_as_escapes() -> None:
    failure = Failure.of(ValueError("bad name \udcff and \x1b[31mred"))

    assert failure.error == "bad name \\udcff and \\x1b[31mred"
    assert canonical({"file": "\udcff"}) == '{"file":"\\udcff"}'
    assert canonical({"file": "\udcff"}).encode("utf-8")


def test_an_endless_message_is_cut() -> None:
    failure = Failure.of(ValueError("x" * 100_000))

    assert len(failure.error) < 2100


def test_a_list_that_repeats_a_scene_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kit, "scenes", lambda self, name: [self._row(0), self._row(0)])

    with pytest.raises(DatasetError, match="two scenes are called 'scene-00000'"):
        plan_grid(settings(tmp_path))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (None, r"scenes\(\) returned NoneType; expected rows of SceneRow"),
        ([1, 2], "a row is int; expected SceneRow"),
        ([], "is empty"),
    ],
)
def test_rows_that_are_none_are_refused(
    rows: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kit, "scenes", lambda self, name: rows)

    with pytest.raises(DatasetError, match=words):
        plan_grid(settings(tmp_path))


def test_rows_from_a_generator_are_as_good_as_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scenes(self: Kit, name: str) -> Sequence[SceneRow]:
        return (self._row(number) for number in range(2))  # type: ignore[return-value]

    monkeypatch.setattr(Kit, "scenes", scenes)

    assert run_grid(settings(tmp_path / "w")).done == 6


def test_a_dataset_that_calls_sys_exit_while_loading_fails_its_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: Kit, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        raise SystemExit(3)

    monkeypatch.setattr(Kit, "load", load)

    summary = run_grid(settings(tmp_path / "w"))

    assert summary.failures == 6
    assert list(summary.errors) == [("kit-half", "SystemExit")]


def test_a_dataset_that_calls_sys_exit_while_planning_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def default_protocol(self: Kit) -> str:
        raise SystemExit(0)

    monkeypatch.setattr(Kit, "default_protocol", default_protocol)

    with pytest.raises(PluginError, match=r"'kit': default_protocol\(\) failed: SystemExit"):
        plan_grid(settings(tmp_path))


def test_a_model_that_calls_sys_exit_when_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quitter.py").write_text(
        "import sys\nclass Quitter:\n    def __init__(self): sys.exit(7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(PluginError, match="cannot be made: SystemExit: 7"):
        plan_grid(settings(tmp_path / "w", "q=quitter:Quitter"))


def test_a_complex_estimate_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "complexer.py").write_text(
        "import torch\nfrom sepbench_testkit.models import Half\n"
        "class Complexer(Half):\n"
        "    def separate(self, mixture, condition):\n"
        "        return mixture.to(torch.complex64)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    summary = run_grid(settings(tmp_path / "w", "c=complexer:Complexer"))

    assert summary.failures == 6
    assert "returned torch.complex64; expected floating-point" in summary.example("EstimateError")


def test_failures_can_be_read_with_their_tracebacks(tmp_path: Path) -> None:
    run_grid(settings(tmp_path / "w", "kit-faulty"))

    text = describe_failures(tmp_path / "w")

    assert "kit-faulty on kit, scene-00000, dog: failed" in text
    assert "RuntimeError: the network is on strike" in text
    assert 'raise RuntimeError("the network is on strike")' in text


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "results.sqlite") as other:
        other.execute("CREATE TABLE songs (name TEXT)")

    with pytest.raises(WorkspaceError, match="a database of another program"):
        run_grid(settings(tmp_path))


def test_a_report_format_without_write_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_grid(settings(tmp_path / "w"))
    monkeypatch.setattr("sepbench.harness.run.catalogs.REPORTS.load", lambda name: object())

    with pytest.raises(PluginError, match=r"'pdf' has no write\(board, folder\)"):
        write_reports(tmp_path / "w", ["pdf"])
