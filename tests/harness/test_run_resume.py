"""The same command again does only what is missing. In one process: processes are not the point."""

from __future__ import annotations

from pathlib import Path

import pytest
from sepbench_testkit.machine import Cli, calls, rows, run, scores, statuses

from sepbench.harness.audio import write_wav
from sepbench.harness.errors import ManifestError, TooManyFailuresError
from sepbench.harness.store import Workspace

ITEMS = 9  # three scenes of a dog and two captions of rain
SCENES = "datasets.kit.scenes=3"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "ws"


def settings(log: Path, *more: str) -> list[str]:
    return [SCENES, f"models.kit-half.log={log}", "metrics=[sdr]", *more]


def separations(log: Path) -> int:
    return calls(log).get("separate", 0)


# --- doing only what is missing -----------------------------------------------------------


def test_a_finished_grid_is_not_touched(workspace: Path, log: Path) -> None:
    first = run(workspace, settings=settings(log))
    before = rows(workspace, "SELECT * FROM results")

    second = run(workspace, settings=settings(log))

    assert (first.done, second.done) == (ITEMS, 0)
    assert separations(log) == ITEMS
    assert calls(log)["condition"] == 3
    assert rows(workspace, "SELECT * FROM results") == before


def test_an_interrupted_grid_goes_on_where_it_was(
    workspace: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Workspace.record
    batches: list[object] = []

    def interrupt(self: Workspace, outcomes: list[object], run_id: int) -> None:
        record(self, outcomes, run_id)  # type: ignore[arg-type]
        batches.append(outcomes)
        if len(batches) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Workspace, "record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(workspace, settings=settings(log))
    kept = len(scores(workspace))
    monkeypatch.undo()

    second = run(workspace, settings=settings(log))

    assert kept == 6
    assert second.done == ITEMS - kept
    assert separations(log) == ITEMS
    assert len(scores(workspace)) == ITEMS


def test_a_new_model_or_protocol_does_only_its_own_part(workspace: Path, log: Path) -> None:
    run(workspace, settings=settings(log))

    model = run(workspace, models=["kit-half", "kit-tone"], settings=settings(log))
    protocol = run(workspace, datasets=["kit", "kit:kit-16k"], settings=settings(log))

    assert model.done == ITEMS
    assert [cell.pending for cell in model.cells] == [0, ITEMS]
    assert protocol.done == 6
    assert separations(log) == ITEMS + 6


def test_a_limited_grid_is_completed_by_the_full_one(workspace: Path, log: Path) -> None:
    limited = run(workspace, settings=settings(log, "limit=1"))
    full = run(workspace, settings=settings(log))

    assert (limited.done, full.done) == (3, 6)
    assert (limited.cells[0].total, full.cells[0].total) == (3, ITEMS)
    assert separations(log) == ITEMS


def test_a_longer_list_adds_its_new_scenes_only(workspace: Path, log: Path) -> None:
    run(workspace, settings=settings(log))

    more = run(workspace, settings=[*settings(log), "datasets.kit.scenes=4"])

    assert more.done == 3
    assert separations(log) == ITEMS + 3


def test_scenes_that_left_the_list_are_skipped(
    workspace: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(workspace, settings=settings(log))

    again = run(
        workspace, settings=[*settings(log), "metrics=[sdr,si_sdr]", "datasets.kit.scenes=2"]
    )

    assert again.done == 6
    assert "scene-00002 is no longer in the list; skipped" in caplog.text


# --- failed items -------------------------------------------------------------------------


def test_attempts_are_counted_and_failures_kept_when_the_item_is_scored_later(
    workspace: Path, tmp_path: Path
) -> None:
    gain = tmp_path / "gain"
    fickle = [SCENES, f"models.kit-fickle.file={gain}", "metrics=[sdr]"]

    first = run(workspace, models=["kit-fickle"], settings=fickle)  # there is no such file
    second = run(workspace, models=["kit-fickle"], settings=fickle)
    gain.write_text("0.0")
    third = run(workspace, models=["kit-fickle"], settings=fickle)

    assert [first.failures, second.failures, third.failures] == [ITEMS, ITEMS, 0]
    assert [first.ok, second.ok, third.ok] == [False, False, True]
    results = rows(workspace, "SELECT attempts, status, error_type, error FROM results")
    assert results == [{"attempts": 3, "status": "scored", "error_type": "", "error": ""}] * ITEMS
    kept = rows(workspace, "SELECT item_id, run_id, error_type, traceback FROM failures")
    assert len(kept) == 2 * ITEMS
    assert {row["run_id"] for row in kept} == {1, 2}
    assert {row["error_type"] for row in kept} == {"FileNotFoundError"}
    assert all("Traceback" in row["traceback"] for row in kept)


def test_stopping_early_and_going_on_loses_nothing(workspace: Path) -> None:
    faulty = [SCENES, "metrics=[sdr]"]
    with pytest.raises(TooManyFailuresError):
        run(workspace, models=["kit-faulty"], settings=[*faulty, "max_failures=1"])

    again = run(workspace, models=["kit-faulty"], settings=faulty)

    assert again.failures == 3
    assert len(statuses(workspace, "kit-faulty")) == ITEMS
    assert len(scores(workspace)) == 6


# --- new metrics --------------------------------------------------------------------------


def test_a_new_metric_uses_kept_estimates_and_separates_nothing(workspace: Path, log: Path) -> None:
    run(workspace, settings=settings(log, "keep_audio=true"))

    added = run(workspace, settings=[*settings(log), "metrics=[sdr,si_sdr,kit_gain]"])

    assert added.done == ITEMS
    assert separations(log) == ITEMS
    assert len(scores(workspace)) == 3 * ITEMS


def test_a_new_metric_equals_the_one_of_a_fresh_run(workspace: Path, tmp_path: Path) -> None:
    grid = [SCENES, "keep_audio=true"]
    run(workspace, settings=[*grid, "metrics=[sdr]"])
    run(workspace, settings=[*grid, "metrics=[sdr,si_sdr]"])
    run(tmp_path / "fresh", settings=[*grid, "metrics=[sdr,si_sdr]"])

    assert scores(workspace) == scores(tmp_path / "fresh")


def test_without_kept_estimates_a_new_metric_separates_again(workspace: Path, log: Path) -> None:
    run(workspace, settings=settings(log))
    before = scores(workspace)

    added = run(workspace, settings=[*settings(log), "metrics=[sdr,si_sdr]"])

    assert added.ok
    assert separations(log) == 2 * ITEMS
    assert scores(workspace).items() >= before.items()
    assert len(scores(workspace)) == 2 * ITEMS
    assert {row["attempts"] for row in rows(workspace, "SELECT attempts FROM results")} == {1}


def test_a_model_that_changed_behind_our_back_keeps_its_old_scores_and_is_told(
    workspace: Path, tmp_path: Path
) -> None:
    gain = tmp_path / "gain"
    gain.write_text("0.0")
    fickle = [SCENES, f"models.kit-fickle.file={gain}"]
    run(workspace, models=["kit-fickle"], settings=[*fickle, "metrics=[sdr]"])
    before = scores(workspace)

    gain.write_text("0.5")
    changed = run(workspace, models=["kit-fickle"], settings=[*fickle, "metrics=[sdr,si_sdr]"])

    assert not changed.ok
    assert changed.failures == ITEMS
    assert "is not the one scored before: sdr was" in changed.example("EstimateError")
    assert scores(workspace) == before
    assert {row["status"] for row in rows(workspace, "SELECT status FROM results")} == {"scored"}
    assert len(rows(workspace, "SELECT * FROM failures")) == ITEMS


def test_an_estimate_made_again_because_its_file_is_gone_has_to_be_the_same(
    workspace: Path, tmp_path: Path
) -> None:
    gain = tmp_path / "gain"
    gain.write_text("0.0")
    fickle = [SCENES, f"models.kit-fickle.file={gain}"]
    first = [*fickle, "metrics=[sdr]", "keep_audio=true"]
    run(workspace, models=["kit-fickle"], settings=first)
    before = scores(workspace)

    for file in workspace.glob("audio/*/*.wav"):
        file.unlink()
    gain.write_text("0.5")
    changed = run(workspace, models=["kit-fickle"], settings=[*fickle, "metrics=[sdr,si_sdr]"])

    assert changed.failures == ITEMS
    assert "is not the one scored before: sdr was" in changed.example("EstimateError")
    assert scores(workspace) == before


def test_a_kept_estimate_that_is_gone_is_made_again(workspace: Path, log: Path) -> None:
    run(workspace, settings=settings(log, "keep_audio=true"))
    sorted(workspace.glob("audio/*/*.wav"))[0].unlink()

    added = run(workspace, settings=[*settings(log), "metrics=[sdr,si_sdr]"])

    assert added.ok
    # Half of a mixture is one estimate for all three items of its scene.
    assert separations(log) == ITEMS + 3


def test_a_kept_estimate_that_was_replaced_fails_its_item(workspace: Path, log: Path) -> None:
    import numpy as np

    run(workspace, settings=[*settings(log, "keep_audio=true"), "query.kind=label"])
    spoiled = sorted(workspace.glob("audio/*/*.wav"))[0]
    write_wav(spoiled, np.zeros((1, 10), dtype=np.float32), 8000)

    added = run(workspace, settings=[*settings(log), "metrics=[sdr,si_sdr]", "query.kind=label"])

    (words,) = [text for _, text in added.errors.values()]
    assert [kind for _, kind in added.errors] == ["AudioMismatchError"]
    assert "Kept estimate" in words
    assert "has shape (1, 10), its mixture (1, 4000)" in words


def test_a_joint_model_gets_all_queries_again_when_one_is_missing(
    workspace: Path, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    grid = [
        "datasets.kit.scenes=1",
        "datasets.kit.special={0: marked}",
        f"models.kit-partner.mended={mended}",
        "keep_audio=true",
        "metrics=[kit_gain]",
    ]
    first = run(workspace, models=["kit-partner"], settings=grid)
    mended.touch()

    second = run(workspace, models=["kit-partner"], settings=grid)
    run(tmp_path / "fresh", models=["kit-partner"], settings=grid)

    assert (first.done, first.failures) == (3, 1)
    assert (second.done, second.failures) == (1, 0)
    assert scores(workspace) == scores(tmp_path / "fresh")


# --- what must not change -----------------------------------------------------------------


def test_a_changed_file_under_the_same_name_fails_its_items_and_says_so(tmp_path: Path) -> None:
    workspace, cli = tmp_path / "ws", Cli()
    arguments = ["run", "-m", "kit-half", "-d", "kit", "--workspace", workspace, SCENES]
    arguments += ["bounds=[]", "engine.name=inline"]
    assert cli(*arguments, "metrics=[sdr]").returncode == 0
    before = scores(workspace)

    result = cli(*arguments, "metrics=[sdr,si_sdr]", "datasets.kit.salt=new")

    assert result.returncode == 1
    assert "9 × ChangedFileError" in result.stderr
    assert "dog-0.wav of dataset kit has changed since its scores were recorded" in result.stderr
    assert "Traceback" not in result.stderr
    assert scores(workspace) == before


def test_a_changed_query_example_fails_its_items(workspace: Path, tmp_path: Path) -> None:
    import numpy as np

    root = tmp_path / "root"
    root.mkdir()
    names = [f"{label}-{take}.wav" for label in ("dog", "rain") for take in (1, 2)]
    loud = np.full((1, 800), 0.1, dtype=np.float32)
    [write_wav(root / name, loud, 8000) for name in names]
    grid = [SCENES, f"datasets.kit.root={root}", "query.kind=audio"]
    first = run(workspace, settings=[*grid, "metrics=[sdr]"])

    [write_wav(root / name, loud / 2, 8000) for name in names]
    second = run(workspace, settings=[*grid, "metrics=[sdr,si_sdr]"])

    assert first.ok
    assert [kind for _, kind in second.errors] == ["ChangedFileError"]
    assert second.failures == 6
    assert "of dataset kit has changed" in second.example("ChangedFileError")


def test_another_list_under_the_same_revision_is_refused(workspace: Path) -> None:
    run(workspace, settings=[SCENES])

    words = r"Scene scene-00000 of kit:noises has another files or mixing .* same list revision '1'"
    with pytest.raises(ManifestError, match=words):
        run(workspace, settings=[SCENES, "datasets.kit.edition=2"])

    assert len(scores(workspace)) == 2 * ITEMS


def test_another_query_text_under_the_same_revision_is_refused(workspace: Path) -> None:
    run(workspace, settings=[SCENES])

    with pytest.raises(
        ManifestError, match=r"scene-00001 .* another query \(text or example pool\)"
    ):
        run(workspace, settings=[SCENES, "datasets.kit.special={1: marked}"])
