"""`models.NAME.postprocess` from the settings to the scores, in both engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from sepbench_testkit.data import Kit
from sepbench_testkit.machine import rows, run, scores

from sepbench.harness.run.preview import preview
from sepbench.harness.settings import resolve

STEP = "models.kit-half.postprocess=sepbench_testkit.postprocesses:Shares"
LABELS = ("datasets.kit.scenes=2", "query=label", "metrics=[sdr]")


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_estimates_are_shared_out_before_they_are_scored(engine: str, tmp_path: Path) -> None:
    quiet = "models.kit-half.gain=0.4"
    run(tmp_path / "half", engine="inline", settings=LABELS)
    run(tmp_path / "quiet", engine="inline", settings=[*LABELS, quiet])

    run(tmp_path / "shared", engine=engine, settings=[*LABELS, quiet, STEP])
    again = run(tmp_path / "shared", engine=engine, settings=[*LABELS, quiet, STEP])

    # Two estimates of 0.4 leave 0.2 of the mixture, which makes 0.5 of each.
    half, plain, shared = (
        [value for value, _ in scores(tmp_path / name).values()]
        for name in ("half", "quiet", "shared")
    )
    assert again.done == 0
    assert shared == pytest.approx(half, abs=1e-4)
    assert shared != pytest.approx(plain, abs=1e-2)


def test_a_list_with_several_captions_is_not_applicable(tmp_path: Path) -> None:
    summary = run(tmp_path, settings=["datasets.kit.scenes=1", STEP])

    assert summary.ok
    (cell,) = summary.cells
    assert "several queries for 'rain'" in cell.reason
    shown = preview(
        resolve(
            workspace=tmp_path / "none",
            models=["kit-half"],
            datasets=["kit"],
            overrides=["bounds=[]", STEP],
            environment={},
        )
    )
    assert "not applicable: a postprocess needs queries for all sources" in shown


def test_a_source_that_nobody_asks_for_fails_its_scene_by_name(tmp_path: Path) -> None:
    root = tmp_path / "folder"
    root.mkdir()
    for number, name in enumerate(("dog", "rain", "wind")):
        noise = 0.1 * np.random.default_rng(number).standard_normal(4000)
        soundfile.write(root / f"{name}.wav", noise, 32_000)
    (root / "manifest.csv").write_text(
        "target,query,scene,label,source:wind\n"
        "dog.wav,a dog,one,dog,wind.wav\nrain.wav,rain,one,rain,wind.wav\n"
    )

    summary = run(
        tmp_path / "ws",
        datasets=["folder"],
        settings=[f"datasets.folder.root={root}", "metrics=[sdr]", STEP],
    )

    assert summary.failures == 2
    assert "nobody asks for wind" in summary.example("NotApplicableError")
    assert "models.kit-half.postprocess=null" in summary.example("NotApplicableError")


def test_a_scene_with_one_bad_estimate_is_tried_again_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = {"kinds": ["text"], "prompts": {"dog": "a dog", "rain": "rain"}}
    monkeypatch.setattr(Kit, "protocols", {"one": {**Kit.protocols["kit"], "query": query}})
    given = [
        *("datasets.kit.scenes=2", "metrics=[sdr]"),
        "models.kit-faulty.postprocess=sepbench_testkit.postprocesses:Shares",
        *(f"models.kit-faulty.once={tmp_path}", "models.kit-faulty.how='nan'"),
    ]
    grid = {"models": ["kit-faulty"], "datasets": ["kit:one"], "settings": given}

    first = run(tmp_path / "ws", **grid)
    second = run(tmp_path / "ws", **grid)

    assert (first.done, first.failures) == (4, 2)
    assert (second.done, second.failures) == (2, 0)


def test_the_setting_is_kept_with_the_cell(tmp_path: Path) -> None:
    run(tmp_path, settings=[*LABELS, "models.kit-half.postprocess=joint-wiener"])

    (cell,) = rows(
        tmp_path,
        "SELECT json_extract(identity, '$.model.postprocess.name') AS name,"
        " json_extract(card, '$.summary') AS summary FROM cells",
    )
    assert cell == {"name": "joint-wiener", "summary": "half the mixture; then joint-wiener"}
