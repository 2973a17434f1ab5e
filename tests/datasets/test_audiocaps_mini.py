from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.corpora.audiocaps import write_audiocaps
from sepbench_testkit.machine import rows as select
from sepbench_testkit.machine import run, scores

from sepbench.datasets.audiocaps import AudioCaps
from sepbench.datasets.audiocaps_lists import drawn_pairs
from sepbench.harness.errors import ManifestError, MissingFileError

FIRST, SECOND = drawn_pairs()[:2]
LINES = (
    {"youtube_id": SECOND.target, "annotation": "hammering, then silence"},
    {"youtube_id": FIRST.target, "annotation": "Nähmaschine", "label": "sewing"},
)


def write_table(root: Path, lines: Sequence[Mapping[str, str]] = LINES) -> Path:
    names = list(dict.fromkeys(key for line in lines for key in line))
    path = root / "audiocaps_mini.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(lines)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_audiocaps(tmp_path)
    write_table(tmp_path)
    return tmp_path


def test_each_line_is_three_scenes_that_differ_in_the_wording_alone(root: Path) -> None:
    rows = AudioCaps(root).scenes("mini")

    asked = [(row.scene_id, row.targets[0].texts) for row in rows]
    assert asked == [
        ("0001-label", (SECOND.label,)),
        ("0001-caption", ("Sound 1, as person 0 hears it",)),
        ("0001-annotation", ("hammering, then silence",)),
        ("0000-label", ("sewing",)),
        ("0000-caption", ("Sound 0, as person 0 hears it",)),
        ("0000-annotation", ("Nähmaschine",)),
    ]
    assert {row.targets[0].cluster for row in rows[:3]} == {SECOND.target}
    assert {row.targets[0].attributes["wording"] for row in rows[:3]} == {
        "label",
        "caption",
        "annotation",
    }


def test_mixtures_are_those_of_our_own_list(root: Path) -> None:
    dataset = AudioCaps(root)
    own = dataset.scenes("test-seeded")[1]

    loaded = [dataset.load(row, 16000, mono=True) for row in dataset.scenes("mini")[:3]]

    expected = dataset.load(own, 16000, mono=True)
    for scene in loaded:
        np.testing.assert_array_equal(scene.mixture, expected.mixture)
        np.testing.assert_array_equal(scene.sources["target"], expected.sources["target"])


def test_the_three_wordings_stand_side_by_side_in_a_run(root: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"

    run(
        workspace,
        models=["kit-half"],
        datasets=["audiocaps:audiocaps-mini"],
        settings=[f"datasets.audiocaps.root={root}", "metrics=[sdr]"],
    )

    asked = select(
        workspace,
        "SELECT scene, json_extract(query, '$.text') text, json_extract(attributes, '$.wording') "
        "wording FROM items ORDER BY scene",
    )
    assert len(asked) == len(scores(workspace)) == 6
    assert {row["wording"] for row in asked} == {"label", "caption", "annotation"}
    assert {row["text"] for row in asked if row["scene"] == "0000-annotation"} == {"Nähmaschine"}


def test_without_the_table_the_error_tells_its_columns(root: Path) -> None:
    (root / "audiocaps_mini.csv").unlink()

    with pytest.raises(MissingFileError) as refusal:
        AudioCaps(root).scenes("mini")

    for word in ("audiocaps_mini.csv", "youtube_id", "annotation", "label", "caption"):
        assert word in str(refusal.value)


def test_captions_of_the_table_need_no_table_of_the_corpus(tmp_path: Path) -> None:
    write_table(
        tmp_path, [{"youtube_id": FIRST.target, "annotation": "a", "caption": "my caption"}]
    )

    rows = AudioCaps(tmp_path).scenes("mini")

    assert [row.targets[0].texts[0] for row in rows] == [FIRST.label, "my caption", "a"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"youtube_id": "aaaaaaaaaaa", "annotation": "a"}], "line 2: 'aaaaaaaaaaa' is no clip"),
        ([{"youtube_id": FIRST.target, "annotation": " "}], "line 2: no annotation"),
        ([*LINES, LINES[0]], "gives the youtube_id '.*' more than once"),
        ([{"youtube_id": FIRST.target, "text": "a"}], "has no column 'annotation'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_line(
    root: Path, lines: Sequence[Mapping[str, str]], words: str
) -> None:
    write_table(root, lines)

    with pytest.raises(ManifestError, match=words):
        AudioCaps(root).scenes("mini")


def test_a_table_without_rows_or_without_captions_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path)
    with pytest.raises(ManifestError, match="line 2: no caption"):
        AudioCaps(tmp_path).scenes("mini")
    (tmp_path / "audiocaps_mini.csv").write_text("youtube_id,annotation\n", encoding="utf-8")

    with pytest.raises(ManifestError, match="has no rows"):
        AudioCaps(tmp_path).scenes("mini")
