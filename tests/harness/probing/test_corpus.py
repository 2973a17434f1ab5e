"""A labelled corpus: read strictly, every bad line named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepbench.harness.api import Clip
from sepbench.harness.errors import (
    BenchError,
    DatasetError,
    ManifestError,
    MissingFileError,
    NotApplicableError,
    UnsafePathError,
)
from sepbench.harness.probing.corpus import corpus_of, read_corpus
from sepbench.harness.probing.published import published_for, read_published


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "sounds"
    (root / "sub").mkdir(parents=True)
    for name in ("a.wav", "b.wav", "sub/c.wav"):
        soundfile.write(root / name, np.zeros(100), 8000)
    soundfile.write(tmp_path / "outside.wav", np.zeros(100), 8000)
    return root


def write(folder: Path, *lines: str) -> Path:
    table = folder / "clips.csv"
    table.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return table


def test_a_table_gives_labels_folds_and_origins(folder: Path) -> None:
    table = write(
        folder, "path,label,fold,origin", "a.wav,dog,1,x", "b.wav,dog,2,x", "sub/c.wav,cat,2,y"
    )

    corpus = read_corpus(table)

    assert corpus.name == "clips"
    assert corpus.labels == ("dog", "dog", "cat")
    assert corpus.folds == ("1", "2", "2")
    assert corpus.origins == ("x", "x", "y")
    assert corpus.clips[2].path == folder / "sub" / "c.wav"


def test_folds_and_origins_may_be_left_out(folder: Path) -> None:
    corpus = read_corpus(write(folder, "path,label", "a.wav,dog", "b.wav,cat"))

    assert corpus.folds is None
    assert len(set(corpus.origins)) == 2


def test_several_labels_are_kept_and_refused_where_one_is_needed(folder: Path) -> None:
    corpus = read_corpus(write(folder, "path,label", "a.wav,dog | cat", "b.wav,cat"))

    assert corpus.clips[0].labels == ("dog", "cat")
    assert corpus.classes == ("cat", "dog")
    with pytest.raises(NotApplicableError, match=r"a\.wav has 2 labels"):
        _ = corpus.labels


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("b.wav,dog", ManifestError, r"line 3: 2 fields, and the header has 3"),
        ("b.wav,,1", ManifestError, r"line 3: label is empty"),
        ("b.wav,dog,", ManifestError, r"line 3: fold is empty"),
        ("b.wav,dog|,1", ManifestError, r"line 3: label 'dog\|' holds an empty one"),
        ("absent.wav,dog,1", MissingFileError, r"line 3: .*absent\.wav is missing"),
        ("../outside.wav,dog,1", UnsafePathError, r"line 3: .*lies outside"),
        ("/etc/hostname,dog,1", UnsafePathError, r"line 3: .*lies outside"),
        ("./a.wav,cat,1", ManifestError, r"line 3: '\./a\.wav' is in line 2 already"),
    ],
)
def test_a_bad_line_is_named(folder: Path, line: str, kind: type[BenchError], words: str) -> None:
    table = write(folder, "path,label,fold", "a.wav,dog,1", line)

    with pytest.raises(kind, match=words):
        read_corpus(table)


@pytest.mark.parametrize("header", ["path,fold", "path,label,flod", "path,label,label", ""])
def test_a_bad_header_is_named(folder: Path, header: str) -> None:
    with pytest.raises(ManifestError, match=r"line 1: the header is .*; expected path,label"):
        read_corpus(write(folder, header, "a.wav,dog,1"))


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="--clips"):
        read_corpus(tmp_path / "none.csv")


def test_a_table_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ManifestError, match="cannot be read as a CSV table"):
        read_corpus(tmp_path / "clips.csv")


def test_a_corpus_without_clips_or_labels_is_refused() -> None:
    with pytest.raises(DatasetError, match="no clips on disk"):
        corpus_of("mine", [])
    with pytest.raises(DatasetError, match="clip a has no label"):
        corpus_of("mine", [Clip(clip_id="a", path=Path("a"))])


# --- published figures --------------------------------------------------------------------------


def whole_esc50(name: str = "esc50", folds: int = 5) -> list[Clip]:
    return [
        Clip(
            clip_id=str(k), path=Path(f"{k}.wav"), labels=(f"class {k % 50}",), fold=str(k % folds)
        )
        for k in range(2000)
    ]


def test_published_rows_stand_beside_the_whole_corpus_with_its_folds() -> None:
    rows = published_for(corpus_of("esc50", whole_esc50()))

    found = {(row.encoder, row.variant): row.value for row in rows}
    assert found["PANNs", "CNN14"] == 90.1
    assert found["AST", ""] == 93.5
    assert {row.task for row in rows} == {"ESC-50"}
    assert {row.protocol for row in rows} == {"linear probe"}


def test_published_rows_stand_beside_nothing_else() -> None:
    clips = whole_esc50()

    assert published_for(corpus_of("esc50", clips[:-1])) == []
    assert published_for(corpus_of("mine", clips)) == []
    assert published_for(corpus_of("esc50", whole_esc50(folds=4))) == []


def test_every_published_row_says_where_it_was_read() -> None:
    rows = read_published()

    assert len(rows) > 40
    assert all(row.source for row in rows)
    assert all(0 < row.value < 100 for row in rows)
