"""Known overlaps of training data and lists: true to their sources, shown where they matter."""

from __future__ import annotations

import csv

import pytest

from sepbench.baselines.small.lassnet import TRAINING_DATA as ESC10_FOLDS
from sepbench.datasets.catalog import CATALOG
from sepbench.datasets.demo_set import DATA as DEMO
from sepbench.datasets.esc50_list import ESC10_CLASSES, read_list
from sepbench.datasets.manifest import read_table
from sepbench.harness.contamination import footnotes, overlaps, overlaps_of
from sepbench.harness.run.catalogs import DATASETS, MODELS

LASSNET = ("LASS-Net's list of 6,064 AudioCaps clips",)


def test_a_model_that_heard_audiocaps_has_heard_lassnets_targets() -> None:
    notes = footnotes("mine", ("AudioCaps",), "audiocaps", "lassnet")

    assert notes == (
        "heard in training: 195 of 200 targets and 192 of 197 backgrounds are in the train split "
        "of AudioCaps",
    )


def test_lassnet_has_heard_test_clips_but_none_of_its_own_targets() -> None:
    (note,) = footnotes("lassnet", LASSNET, "audiocaps", "test-seeded")

    assert note == "heard in training: 97 of 975 test clips are in LASS-Net's training list"
    assert footnotes("lassnet", LASSNET, "audiocaps", "lassnet") == ()


def test_what_nobody_counted_is_one_footnote_that_says_so() -> None:
    corpora = ("AudioSet", "VGGSound", "Private recordings")

    (note,) = footnotes("mine", corpora, "audiocaps", "test-seeded")

    assert note == (
        "perhaps heard in training, not counted: AudioSet (AudioCaps clips are AudioSet clips); "
        "VGGSound (both take clips from YouTube)"
    )


def test_a_remark_of_the_card_goes_with_what_rests_on_it() -> None:
    corpora = ("AudioCaps (unchecked)", "Clotho (unchecked)")

    notes = footnotes("mine", corpora, "audiocaps", "lassnet")

    assert notes[0].startswith("heard in training: 195 of 200 targets")
    assert notes[1:] == ("training data as its card states them: AudioCaps (unchecked)",)


def test_a_model_without_stated_training_data_has_no_footnote() -> None:
    assert footnotes("nmf", (), "audiocaps", "lassnet") == ()
    assert footnotes("mine", ("AudioCaps",), "voicebank-demand", "test") == ()


def test_every_row_names_one_model_or_corpus_a_list_that_exists_and_its_source() -> None:
    lists = {name: {entry.name for entry in DATASETS.load(name).card.lists} for name in CATALOG}

    for row in overlaps():
        assert bool(row.baseline) != bool(row.corpus)
        assert row.list_name in {"", *lists[row.dataset]}
        assert row.source
        assert row.note
        assert (row.overlap is None) == (row.total is None) == (row.what == "")
        assert row.overlap is None or 0 <= row.overlap <= (row.total or 0)
    assert len({(r.baseline, r.corpus, r.dataset, r.list_name) for r in overlaps()}) == len(
        overlaps()
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "audiosep-clap",
            {"audiocaps", "audioset", "audioset-eval", "clotho", "dcase2024-task9", "demo", "esc50"}
            | {"music", "vggsound"},
        ),
        ("audiosep-hive", {"audiocaps", "audioset"}),
        ("audiosep-clip", set()),
        ("lassnet", {"audiocaps"}),
        ("stsed", {"audiocaps", "audioset", "audioset-eval", "music", "vggsound"}),
        *((f"{name}-small", {"demo", "esc50"}) for name in ("lassnet", "audiosep", "stsed")),
        ("unet-tag-small", {"demo", "esc50"}),
        ("nmf", set()),
    ],
)
def test_the_cards_of_the_baselines_find_their_rows(name: str, expected: set[str]) -> None:
    card = MODELS.load(name).card

    assert {row.dataset for row in overlaps_of(name, card.training_data)} == expected


@pytest.mark.parametrize("list_name", ["esc10-rebuilt", "rebuilt", "premixed"])
def test_clips_that_the_small_models_heard_are_counted_as_the_list_has_them(list_name: str) -> None:
    rows = [row for row in read_list() if row.in_esc10 or list_name != "esc10-rebuilt"]

    heard = [
        sum(
            clip.fold in ("1", "2") and clip.class_number in ESC10_CLASSES
            for clip in (getattr(row, side) for row in rows)
        )
        for side in ("target", "interference")
    ]

    (note, _) = footnotes("lassnet-small", ESC10_FOLDS, "esc50", list_name)
    assert note == (
        f"heard in training: {heard[0]} of {len(rows)} targets and {heard[1]} of {len(rows)} "
        "interfering clips are in folds 1 and 2 of ESC-10"
    )


def test_the_small_models_have_heard_no_mixture_of_the_demo() -> None:
    folds = {row["fold"] for row in read_table(DEMO / "manifest.csv", ("fold",))}

    assert not folds & {"1", "2"}
    assert footnotes("lassnet-small", ESC10_FOLDS, "demo", "demo") == ()


def test_a_model_trained_on_a_corpus_is_named_in_the_tables_of_that_corpus() -> None:
    (note,) = footnotes("mine", ("ESC-50",), "esc50", "premixed")

    assert note == "heard in training: 2000 of 2000 clips are ESC-50 itself"


def test_a_lists_name_or_a_quoted_note_does_not_break_the_table() -> None:
    from sepbench.harness.contamination import TABLE

    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))

    assert {len(row) for row in rows} == {9}
