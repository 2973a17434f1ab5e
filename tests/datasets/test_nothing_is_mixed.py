"""What can be wrong with a corpus on disk: each is named in the run, the rest is scored alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sepbench_testkit.corpora.audiosep import AUDIOCAPS, write_list, write_premixed
from sepbench_testkit.corpora.esc50 import write_esc50
from sepbench_testkit.machine import rows, run, scores

from sepbench.datasets.esc50_list import read_list
from sepbench.harness.audio import read_audio, write_wav
from sepbench.harness.errors import ManifestError
from sepbench.harness.run.data import prepare, verify
from sepbench.harness.run.grid import RunSummary

FIRST, SECOND, THIRD = read_list()[:3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_esc50(tmp_path / "esc50")


def score(workspace: Path, root: Path, *settings: str) -> RunSummary:
    return run(
        workspace,
        models=["mixture"],
        datasets=["esc50:esc50-rebuilt"],
        settings=[f"datasets.esc50.root={root}", "limit=3", *settings],
    )


def failures(workspace: Path) -> dict[str, tuple[str, str]]:
    found = rows(
        workspace,
        "SELECT i.scene, r.error_type, r.error FROM results r JOIN items i ON i.id = r.item_id"
        " WHERE r.status = 'failed'",
    )
    return {row["scene"]: (row["error_type"], row["error"]) for row in found}


def scored(workspace: Path, metric: str) -> set[str]:
    return {key[2] for key, (value, _) in scores(workspace).items() if key[5] == metric}


def test_a_missing_clip_fails_its_scene_by_name_and_the_others_are_scored(
    root: Path, tmp_path: Path
) -> None:
    (root / "audio" / SECOND.interference_file).unlink()
    workspace = tmp_path / "ws"

    summary = score(workspace, root, "metrics=[sdr]")

    kind, words = failures(workspace)["0001"]
    assert (summary.ok, summary.failures) == (False, 1)
    assert kind == "MissingFileError"
    assert SECOND.interference_file in words
    assert scored(workspace, "sdr") == {"0000", "0002"}


def test_a_clip_that_was_replaced_since_it_was_scored_gives_no_new_number(
    root: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    score(workspace, root, "metrics=[sdr]")
    clip = root / "audio" / FIRST.target_file
    audio = read_audio(clip)
    write_wav(clip, audio.samples * 0.5, audio.sample_rate)

    summary = score(workspace, root, "metrics=[sdr,si_sdr]")

    assert summary.failures == 1
    assert FIRST.target_file in summary.example("ChangedFileError")
    assert scored(workspace, "si_sdr") == {"0001", "0002"}
    assert scored(workspace, "sdr") == {"0000", "0001", "0002"}


def test_a_truncated_clip_is_named_by_the_run_and_by_its_size(root: Path, tmp_path: Path) -> None:
    settings = {"esc50": {"root": str(root)}}
    prepare(["esc50"], settings, yes=False, again=False, say=lambda _: None)
    clip = root / "audio" / THIRD.target_file
    clip.write_bytes(clip.read_bytes()[:-1000])
    workspace = tmp_path / "ws"

    score(workspace, root, "metrics=[sdr]")
    found = verify(["esc50"], settings, quick=True, say=lambda _: None)

    assert failures(workspace)["0002"][0] == "AudioFileError"
    assert scored(workspace, "sdr") == {"0000", "0001"}
    assert [(finding.word, THIRD.target_file in finding.detail) for finding in found] == [
        ("size", True)
    ]


def test_a_row_given_twice_or_of_another_revision_scores_nothing(tmp_path: Path) -> None:
    root = tmp_path / "caps"
    write_premixed(root, (0, 4, 102, 209))
    for lines, words in (
        ([*AUDIOCAPS, AUDIOCAPS[1]], "gives the row 0 more than once"),
        ([AUDIOCAPS[0], AUDIOCAPS[1].replace("rattling", "rattle")], "row 0 is not that of the"),
    ):
        write_list(root / "audiocaps_eval.csv", lines)

        with pytest.raises(ManifestError, match=words):
            run(
                tmp_path / "ws",
                models=["mixture"],
                datasets=["audiocaps"],
                settings=[f"datasets.audiocaps.root={root}"],
            )

    assert not (tmp_path / "ws" / "results.sqlite").exists() or not scores(tmp_path / "ws")


def test_sums_of_another_revision_are_neither_held_against_nor_added_to(root: Path) -> None:
    settings = {"esc50": {"root": str(root)}}
    prepare(["esc50"], settings, yes=False, again=False, say=lambda _: None)
    path = root / ".sepbench-manifest.json"
    content = json.loads(path.read_text("utf-8"))
    content["lists"]["rebuilt"] = "audiosep-0000000/1"
    path.write_text(json.dumps(content), "utf-8")
    (root / "audio" / "new.wav").write_bytes(b"new")

    held = verify(["esc50"], settings, quick=False, say=lambda _: None)
    added = prepare(["esc50"], settings, yes=False, again=False, say=lambda _: None)

    for findings in (held, added):
        refused = [f.detail for f in findings if f.word == "REFUSED"]
        assert len(refused) == 1
        assert "list rebuilt was audiosep-0000000/1" in refused[0]
    assert json.loads(path.read_text("utf-8")) == content
