"""A labelled corpus: read strictly, every bad line named."""

from __future__ import annotations

import csv
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
from sepbench.harness.probing.table import LINEAR, ProbeRow, ProbeTable, render, write_csv

DOCS = Path(__file__).resolve().parents[3] / "docs" / "probe.md"


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


# --- corpora of others ---------------------------------------------------------------------------


def test_the_recipes_of_the_docs_make_tables_of_three_known_corpora(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = (
        "UrbanSound8K/audio/fold1/7061-6-0-0.wav",
        "UrbanSound8K/audio/fold5/7061-6-1-0.wav",
        "genres_original/blues/blues.00013.wav",
        "genres_original/rock/rock.00004.wav",
        "speech_commands/yes/0a7c2a8d_nohash_0.wav",
        "speech_commands/yes/0a7c2a8d_nohash_1.wav",
        "speech_commands/no/1b4c9b89_nohash_0.wav",
        "speech_commands/_background_noise_/pink_noise.wav",
    )
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    table = tmp_path / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv"
    table.parent.mkdir()
    table.write_text(
        "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
        "7061-6-0-0.wav,7061,0,4,1,1,6,gun_shot\n7061-6-1-0.wav,7061,4,8,1,5,6,gun_shot\n"
    )
    (tmp_path / "speech_commands" / "validation_list.txt").write_text("no/1b4c9b89_nohash_0.wav\n")
    (tmp_path / "speech_commands" / "testing_list.txt").write_text("yes/0a7c2a8d_nohash_1.wav\n")
    monkeypatch.chdir(tmp_path)
    (recipes,) = DOCS.read_text("utf-8").split("```python\n")[1:]

    exec(recipes.partition("```")[0], {})

    urban, genres, words = (
        [
            (clip.clip_id, clip.labels, clip.fold, clip.origin)
            for clip in read_corpus(Path(root) / "clips.csv").clips
        ]
        for root in ("UrbanSound8K/audio", "genres_original", "speech_commands")
    )
    assert urban == [
        ("fold1/7061-6-0-0.wav", ("gun_shot",), "1", "7061"),
        ("fold5/7061-6-1-0.wav", ("gun_shot",), "5", "7061"),
    ]
    assert genres == [
        ("blues/blues.00013.wav", ("blues",), "3", "blues.00013"),
        ("rock/rock.00004.wav", ("rock",), "4", "rock.00004"),
    ]
    assert words == [
        ("no/1b4c9b89_nohash_0.wav", ("no",), "validation", "1b4c9b89"),
        ("yes/0a7c2a8d_nohash_0.wav", ("yes",), "training", "0a7c2a8d"),
        ("yes/0a7c2a8d_nohash_1.wav", ("yes",), "testing", "0a7c2a8d"),
    ]


# --- published figures --------------------------------------------------------------------------


def whole_esc50(name: str = "esc50", folds: int = 5) -> list[Clip]:
    return [
        Clip(
            clip_id=str(k), path=Path(f"{k}.wav"), labels=(f"class {k % 50}",), fold=str(k % folds)
        )
        for k in range(2000)
    ]


def test_published_rows_stand_beside_the_whole_corpus_with_its_folds() -> None:
    beside = published_for(corpus_of("esc50", whole_esc50()))

    assert beside is not None
    found = {(row.encoder, row.variant): row.value for row in beside.rows}
    assert beside.comparable
    assert found["PANNs", "CNN14"] == 90.1
    assert found["AST", ""] == 93.5
    assert {row.task for row in beside.rows} == {"ESC-50"}
    assert {row.protocol for row in beside.rows} == {"linear probe"}


@pytest.mark.parametrize(
    ("name", "count", "folds"), [("esc50", 1999, 5), ("esc50", 2000, 4), ("esc10", 400, 5)]
)
def test_beside_a_part_of_a_corpus_they_are_not_comparable(
    name: str, count: int, folds: int
) -> None:
    beside = published_for(corpus_of(name, whole_esc50(folds=folds)[:count]))

    assert beside is not None
    assert not beside.comparable
    assert len(beside.rows) == 12


def test_published_rows_stand_beside_nothing_else() -> None:
    assert published_for(corpus_of("mine", whole_esc50())) is None


@pytest.mark.parametrize(
    ("name", "heading", "status"),
    [
        ("esc50", "Published linear probes on ESC-50 (crops", "published"),
        ("esc10", "Published linear probes on all of ESC-50: another", "published elsewhere"),
    ],
)
def test_published_rows_are_set_apart_from_ours(
    tmp_path: Path, name: str, heading: str, status: str
) -> None:
    corpus = corpus_of(name, whole_esc50())
    ours = ProbeRow(encoder="mine", dimension=2, values={LINEAR: "nothing to learn"})
    table = ProbeTable(
        corpus=name,
        facts=corpus.facts,
        probes=(LINEAR,),
        rows=(ours,),
        published=published_for(corpus),
    )

    blocks = render(table).split("\n\n")
    write_csv(tmp_path / "probe.csv", table)

    assert [block.splitlines()[0].split("  ")[0] for block in blocks[1:3]] == [
        "Encoder",
        "– mine, Linear probe: nothing to learn",
    ]
    assert blocks[3].startswith(heading)
    assert "  PANNs CNN14               90.1 ± 0.4" in blocks[3].splitlines()
    assert blocks[3].count("Source: ") == 1
    with (tmp_path / "probe.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["measured", *[status] * 12]
    assert {row["corpus"] for row in rows[1:]} == {"ESC-50"}


def test_every_published_row_says_where_it_was_read() -> None:
    rows = read_published()

    assert len(rows) > 40
    assert all(row.source for row in rows)
    assert all(0 < row.value < 100 for row in rows)
