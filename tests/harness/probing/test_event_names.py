"""From labels of a corpus to classes of a detector, and tables that say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepbench.harness.errors import (
    ManifestError,
    MissingFileError,
    NotApplicableError,
    SettingError,
)
from sepbench.harness.probing.event_names import TABLE, match_classes, read_class_map

NAMES = ["Speech", "Dog", "Baby cry, infant cry", "Snap Shot", "Bark"]


def test_labels_find_their_class_by_name_or_by_the_table() -> None:
    assert match_classes(["dog", "crying_baby", "snap_shot", "can_opening"], NAMES) == {
        "dog": 1,
        "crying_baby": 2,
        "snap_shot": 3,
    }


def test_a_given_class_goes_before_the_label_and_the_table() -> None:
    given = {"dog": "bark", "Crying Baby": "Speech", "of another corpus": "Dog"}

    assert match_classes(["dog", "crying_baby"], NAMES, given) == {"dog": 4, "crying_baby": 0}


def test_a_given_class_that_the_detector_lacks_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"'dog' is given the class 'Barks', .* mean 'Bark'"):
        match_classes(["dog"], NAMES, {"dog": "Barks"})


def test_a_corpus_of_which_nothing_is_known_is_refused() -> None:
    with pytest.raises(NotApplicableError, match=r"no class for any of: can_opening.*--class-map"):
        match_classes(["can_opening"], ["Speech"])


def test_each_label_of_the_table_has_a_class_of_its_own() -> None:
    table = read_class_map(TABLE)

    assert len(table) == 46
    assert len(set(table.values())) == 46


def test_a_class_map_is_read_with_its_commas(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text('\ufefflabel,class\nbaby, Speech\n\nwail,"Baby cry, infant cry"\n', "utf-8")

    assert read_class_map(path) == {"baby": "Speech", "wail": "Baby cry, infant cry"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected the header label,class"),
        ("label,name\na,b\n", "line 1: expected the header label,class"),
        ("label,class\na,Bark, dog\n", "line 2: expected a label and a class; a class with a"),
        ("label,class\na,\n", "line 2: expected a label and a class"),
        ("label,class\na,b\na,c\n", "line 3: the label 'a' is there twice"),
        ('label,class\n"a,b\n', "cannot be read as a CSV table"),
    ],
)
def test_a_class_map_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "map.csv").write_text(text, "utf-8")

    with pytest.raises(ManifestError, match=words):
        read_class_map(tmp_path / "map.csv")


def test_a_class_map_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"map\.csv is missing"):
        read_class_map(tmp_path / "map.csv")
