"""Known overlaps of training data and lists: true to their sources, shown where they matter."""

from __future__ import annotations

import csv

import pytest

from sepbench.datasets.catalog import CATALOG
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
            {"audiocaps", "audioset", "clotho", "demo", "esc50", "music", "vggsound"},
        ),
        ("audiosep-hive", {"audiocaps", "audioset"}),
        ("audiosep-clip", set()),
        ("lassnet", {"audiocaps"}),
        ("stsed", {"audiocaps", "audioset", "music", "vggsound"}),
        ("nmf", set()),
    ],
)
def test_the_cards_of_the_baselines_find_their_rows(name: str, expected: set[str]) -> None:
    card = MODELS.load(name).card

    assert {row.dataset for row in overlaps_of(name, card.training_data)} == expected


def test_a_lists_name_or_a_quoted_note_does_not_break_the_table() -> None:
    from sepbench.harness.contamination import TABLE

    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))

    assert {len(row) for row in rows} == {9}
