"""One grid of models that misbehave in every way, run as a user runs it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from sepbench_testkit.machine import Cli, rows, run, scores, statuses

# Scene 1 carries the mark: its dog makes the faulty models misbehave.
# What the separation stage alone can hold is tested there (test_separate.py).
MISDEEDS = ("raise", "nan", "print", "kill", "hang", "load-exit")
GUILTY = (1, "a marked dog barks")
SCENES = 2
ITEMS = 3 * SCENES  # one text for the dog, two for the rain
SPECIAL = "datasets.kit.special={1: marked}"


@dataclass(frozen=True)
class Ran:
    result: subprocess.CompletedProcess[str]
    workspace: Path
    cli: Cli


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """All misbehaving models in one grid of processes, a good one last."""
    workspace = tmp_path_factory.mktemp("misdeeds") / "ws"
    cli = Cli()
    models = [f"{how}=kit-faulty" for how in MISDEEDS]
    settings = [f"models.{how}.how='{how}'" for how in MISDEEDS]
    settings += [f"models.{how}.on=marked" for how in MISDEEDS]
    result = cli(
        "run",
        *(part for model in models for part in ("-m", model)),
        *("-m", "kit-unloadable", "-m", "kit-half", "-d", "kit", "--workspace", workspace),
        *settings,
        f"datasets.kit.scenes={SCENES}",
        SPECIAL,
        "bounds=[]",
        "engine.item_timeout=0.4",
        "engine.workers=1",
    )
    return Ran(result=result, workspace=workspace, cli=cli)


def test_the_exit_code_says_that_items_failed(ran: Ran) -> None:
    assert ran.result.returncode == 1, ran.result.stderr
    assert "Traceback" not in ran.result.stderr


@pytest.mark.parametrize(
    ("how", "status", "error_type"),
    [
        ("raise", "failed", "RuntimeError"),
        ("nan", "failed", "EstimateError"),
        ("kill", "failed", "ProcessDiedError"),
        ("hang", "timed-out", "ItemTimeoutError"),
        ("print", "scored", ""),
    ],
)
def test_only_the_guilty_item_is_lost(ran: Ran, how: str, status: str, error_type: str) -> None:
    found = statuses(ran.workspace, how)

    assert found.pop(GUILTY) == (status, error_type)
    assert list(found.values()) == [("scored", "")] * (ITEMS - 1)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kill", "The process of model 'kill' was killed by signal 9 (often: out of memory)"),
        ("hang", "Model 'hang' did not answer within 0.4 s and was stopped. Allow more with"),
    ],
)
def test_the_error_says_how_the_process_ended(ran: Ran, how: str, words: str) -> None:
    (failed,) = rows(
        ran.workspace,
        "SELECT r.error FROM results r JOIN cells c ON c.id = r.cell_id"
        f" WHERE c.label = '{how}' AND r.status NOT IN ('scored')",
    )

    assert words in failed["error"]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("kit-unloadable", "BaselineLoadError: weights.pt is missing"),
        ("load-exit", "The process of model 'load-exit' ended with exit code 4 while loading."),
    ],
)
def test_a_model_that_cannot_load_fails_its_cell_and_no_other(
    ran: Ran, label: str, words: str
) -> None:
    (cell,) = rows(ran.workspace, f"SELECT status, reason FROM cells WHERE label = '{label}'")

    assert cell["status"] == "failed"
    assert words in cell["reason"]
    assert f"Error: {label}: " in ran.result.stderr
    assert statuses(ran.workspace, label) == {}
    assert len(statuses(ran.workspace, "kit-half")) == ITEMS


def test_the_good_items_have_the_scores_of_a_good_model(ran: Ran) -> None:
    found = {key[1:]: value for key, value in scores(ran.workspace).items() if key[0] == "kill"}
    good = {key[1:]: value for key, value in scores(ran.workspace).items() if key[0] == "kit-half"}

    assert len(found) == 2 * (ITEMS - 1)
    assert found == {key: good[key] for key in found}


def test_what_a_model_prints_does_not_reach_our_output(ran: Ran) -> None:
    assert "a model that talks to stdout" in ran.result.stderr
    assert "a model that talks" not in ran.result.stdout
    assert "kit-half" in ran.result.stdout


def test_no_process_and_no_scratch_is_left(ran: Ran) -> None:
    assert ran.cli.all_gone()
    assert ran.cli.scratch(ran.workspace) == []


# --- the scoring side ---------------------------------------------------------------------


def test_a_scene_that_kills_its_scorer_twice_fails_and_the_others_are_scored(
    tmp_path: Path,
) -> None:
    summary = run(
        tmp_path / "ws",
        engine="local",
        settings=[f"datasets.kit.scenes={SCENES}", SPECIAL, "metrics=[sdr,kit_kill]"],
    )

    found = statuses(tmp_path / "ws", "kit-half")
    assert summary.failures == 3
    assert found[GUILTY] == ("failed", "ProcessDiedError")
    assert list(found.values()).count(("scored", "")) == ITEMS - 3
    assert "on this scene, twice" in summary.example("ProcessDiedError")
    assert "signal 9" in summary.example("ProcessDiedError")


def test_a_scorer_that_dies_once_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_TESTKIT_ONCE", str(tmp_path / "killed"))

    summary = run(
        tmp_path / "ws",
        engine="local",
        settings=[f"datasets.kit.scenes={SCENES}", SPECIAL, "metrics=[kit_kill]"],
    )

    assert (tmp_path / "killed").exists()
    assert summary.failures == 0
    assert len(scores(tmp_path / "ws")) == ITEMS


def test_a_metric_that_hangs_times_out_with_its_scene(tmp_path: Path) -> None:
    summary = run(
        tmp_path / "ws",
        engine="local",
        settings=[
            "datasets.kit.scenes=2",
            SPECIAL,
            "metrics=[kit_hang]",
            "query.kind=label",
            "engine.item_timeout=1.5",
            "engine.workers=1",
        ],
    )

    found = rows(tmp_path / "ws", "SELECT status FROM results ORDER BY item_id")
    assert [row["status"] for row in found] == ["scored", "scored", "timed-out", "timed-out"]
    assert "engine.item_timeout" in summary.example("ItemTimeoutError")


# --- giving up ----------------------------------------------------------------------------


def test_a_model_that_crashes_again_and_again_is_given_up_and_told(tmp_path: Path) -> None:
    summary = run(
        tmp_path / "ws",
        models=["broken=kit-faulty", "kit-half"],
        engine="local",
        settings=[
            "models.broken.how=exit",
            "models.broken.on=''",
            "engine.crash_limit=2",
            "datasets.kit.scenes=2",
        ],
    )

    ((label, reason),) = summary.failed_cells
    assert label == "broken"
    assert "ended 2 times in a row (last: ended with exit code 3)" in reason
    assert list(statuses(tmp_path / "ws", "broken").values()) == [("failed", "ProcessDiedError")]
    assert len(statuses(tmp_path / "ws", "kit-half")) == 6
    assert not summary.ok


def test_a_model_that_never_finishes_loading_is_stopped(tmp_path: Path) -> None:
    summary = run(
        tmp_path / "ws",
        models=["slow=kit-faulty"],
        engine="local",
        settings=["models.slow.how=load-hang", "engine.load_timeout=1", "datasets.kit.scenes=1"],
    )

    assert summary.failed_cells == [
        ("slow", "The process of model 'slow' did not load within 1 s.")
    ]
