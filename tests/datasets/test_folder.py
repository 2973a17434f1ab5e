from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.machine import rows

from sepbench.datasets.folder import Folder
from sepbench.harness.errors import (
    AudioMismatchError,
    ManifestError,
    MissingFileError,
    MissingRootError,
    UnsafePathError,
)
from sepbench.harness.run.grid import run_grid
from sepbench.harness.settings import resolve

RATE = 16000


@pytest.fixture
def root(tmp_path: Path, write_tone) -> Path:
    """Two dogs and rain, finished mixtures of the same length."""
    for number, name in enumerate(("dog 1", "dog,2", "règn", "mix-1", "mix-2"), 1):
        write_tone(tmp_path / f"{name}.wav", frequency=100 * number, rate=RATE)
    return tmp_path


def manifest(root: Path, *lines: str, header: str = "mixture,target,query,label") -> Folder:
    (root / "manifest.csv").write_text("\r\n".join([header, *lines]) + "\r\n", encoding="utf-8")
    return Folder(root)


def two_dogs(root: Path) -> Folder:
    return manifest(
        root, "mix-1.wav,dog 1.wav,a dog barks,dog", 'mix-2.wav,"dog,2.wav",another dog,dog'
    )


def test_each_row_is_a_scene_with_its_query(root: Path) -> None:
    first, second = two_dogs(root).scenes("manifest")

    assert (first.scene_id, second.scene_id) == ("row-00002", "row-00003")
    assert first.targets[0].name == first.targets[0].label == "dog"
    assert first.targets[0].texts == ("a dog barks",)
    assert second.targets[0].cluster == "dog,2.wav"


def test_the_residual_is_what_the_target_leaves_of_the_mixture(root: Path) -> None:
    dataset = two_dogs(root)

    scene = dataset.load(dataset.scenes("manifest")[0], RATE, mono=True)

    assert set(scene.sources) == {"dog", "residual"}
    assert np.allclose(scene.sources["dog"] + scene.sources["residual"], scene.mixture)
    assert set(scene.files) == {"mix-1.wav", "dog 1.wav"}


def test_without_a_mixture_the_sources_are_summed(root: Path) -> None:
    dataset = manifest(root, "dog 1.wav,a dog,règn.wav", header="target,query,source:rain")

    scene = dataset.load(dataset.scenes("manifest")[0], RATE, mono=True)

    assert set(scene.sources) == {"target", "rain"}
    assert np.allclose(scene.sources["target"] + scene.sources["rain"], scene.mixture)


def test_rows_of_one_scene_are_targets_and_texts_of_it(root: Path) -> None:
    dataset = manifest(
        root,
        "s,mix-1.wav,dog 1.wav,a dog,dog",
        "s,mix-1.wav,dog 1.wav,a barking animal,dog",
        "s,mix-1.wav,règn.wav,rain falls,rain",
        header="scene,mixture,target,query,label",
    )

    (row,) = dataset.scenes("manifest")

    assert {t.name: t.texts for t in row.targets} == {
        "dog": ("a dog", "a barking animal"),
        "rain": ("rain falls",),
    }
    assert set(dataset.load(row, RATE, mono=True).sources) == {"dog", "rain"}


def test_json_lines_say_the_same(root: Path) -> None:
    fields = {"target": "dog 1.wav", "query": "a dog", "sources": {"rain": "règn.wav"}}
    (root / "manifest.jsonl").write_text(json.dumps(fields) + "\n\n", encoding="utf-8")

    (row,) = Folder(root).scenes("manifest")

    assert row.details["sources"] == {"rain": "règn.wav"}


def test_labelled_targets_are_examples_for_other_scenes(root: Path) -> None:
    clips = two_dogs(root).clips("targets")

    assert [clip.labels for clip in clips] == [("dog",), ("dog",)]
    assert clips[0].origin != clips[1].origin


def test_targets_bring_their_texts_for_training(root: Path) -> None:
    clips = two_dogs(root).clips("targets")

    assert all(clip.captions for clip in clips)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["mix-1.wav,,a dog,dog"], "line 2 names no target"),
        (["mix-1.wav,dog 1.wav,a dog,dog", ",dog 1.wav,x,dog"], "line 3: neither a mixture nor"),
        (["mix-1.wav,dog 1.wav,a dog"], "line 2: 3 fields where the header has 4"),
        (['mix-1.wav,dog 1.wav,"a\ndog",dog', "", ",dog 1.wav,x,dog"], "line 5: neither"),
        ([], "has no rows"),
    ],
)
def test_a_bad_row_is_named_with_its_line(root: Path, lines: Sequence[str], words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        manifest(root, *lines).scenes("manifest")


def test_a_column_that_means_nothing_is_refused_with_what_was_meant(root: Path) -> None:
    dataset = manifest(root, "dog 1.wav,a dog,dog", header="target,query,lable")

    with pytest.raises(ManifestError, match=r"column 'lable'.* Did you mean 'label'.*source:NAME"):
        dataset.scenes("manifest")


def test_contradictions_within_a_scene_are_named(root: Path) -> None:
    header = "scene,mixture,target,query,label"
    other_mixture = ["s,mix-1.wav,dog 1.wav,a,dog", "s,mix-2.wav,dog 1.wav,b,dog"]
    other_file = ["s,mix-1.wav,dog 1.wav,a,dog", "s,mix-1.wav,règn.wav,b,dog"]
    repeated = ["s,mix-1.wav,dog 1.wav,a,dog"] * 2

    with pytest.raises(ManifestError, match="line 3: scene 's' has another mixture"):
        manifest(root, *other_mixture, header=header).scenes("manifest")
    with pytest.raises(ManifestError, match="line 3: scene 's' has another file for 'dog'"):
        manifest(root, *other_file, header=header).scenes("manifest")
    with pytest.raises(ManifestError, match="line 3 repeats a row"):
        manifest(root, *repeated, header=header).scenes("manifest")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1 is no JSON object"),
        ("[1]", "line 1 is no JSON object"),
        ('{"target": 3, "mixture": "m.wav"}', "'target' is 3; expected text"),
        ('{"target": "a.wav", "mix": "m.wav"}', "unknown key 'mix'"),
    ],
)
def test_a_bad_json_line_is_named(root: Path, text: str, words: str) -> None:
    (root / "manifest.jsonl").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError, match=words):
        Folder(root).scenes("manifest")


def test_files_outside_the_folder_missing_or_of_other_length_are_refused(
    root: Path, write_tone
) -> None:
    write_tone(root / "long.wav", seconds=1.0, rate=RATE)
    for name, error in (
        ("../dog.wav", UnsafePathError),
        ("gone.wav", MissingFileError),
        ("long.wav", AudioMismatchError),
    ):
        dataset = manifest(root, f"mix-1.wav,{name},a dog,dog")
        with pytest.raises(error):
            dataset.load(dataset.scenes("manifest")[0], RATE, mono=True)


def test_a_folder_without_a_manifest_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="columns target, query and mixture"):
        Folder(tmp_path).default_protocol()
    with pytest.raises(MissingRootError):
        Folder().scenes("manifest")


def test_a_manifest_is_run_under_the_protocol_of_its_rate(root: Path, tmp_path_factory) -> None:
    two_dogs(root)
    workspace = tmp_path_factory.mktemp("run") / "ws"
    settings = resolve(
        workspace=workspace,
        models=["kit-half"],
        datasets=["folder:folder-16k"],
        overrides=[
            "engine=inline",
            f"datasets.folder.root={root}",
            "query.shots=1",
        ],
        environment={},
    )

    summary = run_grid(settings)

    assert summary.ok
    found = rows(workspace, "SELECT DISTINCT label FROM cells c JOIN results r ON r.cell_id = c.id")
    assert {row["label"] for row in found} == {"mixture", "oracle-irm", "kit-half"}
