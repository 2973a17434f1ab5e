from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sepbench.datasets.demo_set import CAPTIONS
from sepbench.harness.api import Clip
from sepbench.harness.errors import ManifestError, UsageError
from sepbench.harness.training.clips import choose_clips, read_captions
from sepbench.harness.training.settings import DataSettings, resolve_training


def settings(*overrides: str) -> DataSettings:
    plain = [
        "data.labels=[]",
        "data.without=[]",
        "data.train_folds=[]",
        "data.validation_folds=['4']",
    ]
    captions = ["data.captions=null"]
    return resolve_training("lassnet-small", overrides=[*plain, *captions, *overrides]).data


def test_held_out_folds_are_not_trained_on(clips: list[Clip]) -> None:
    chosen = choose_clips(clips, settings(), 1)

    assert chosen.classes == ("click", "noise", "tone")
    assert {item.clip.fold for item in chosen.train} == {"1", "2", "3"}
    assert {item.clip.fold for item in chosen.validation} == {"4"}


def test_named_folds_leave_the_others_out(clips: list[Clip]) -> None:
    chosen = choose_clips(clips, settings("data.train_folds=['2']"), 1)

    assert {item.clip.fold for item in chosen.train} == {"2"}


def test_a_recording_that_is_held_out_is_trained_on_in_no_fold(clips: list[Clip]) -> None:
    shared = [replace(clip, origin=clip.labels[0]) for clip in clips[:3]]
    others = [clip for clip in clips if clip not in clips[:3]]
    twins = [replace(clip, origin=clip.labels[0]) for clip in others if clip.fold == "4"]
    rest = [clip for clip in others if clip.fold != "4"]

    chosen = choose_clips([*shared, *twins, *rest], settings(), 1)

    held = {item.origin for item in chosen.validation}
    assert held == {"click", "noise", "tone"}
    assert not held & {item.origin for item in chosen.train}


def test_without_folds_a_share_of_the_recordings_is_drawn(clips: list[Clip]) -> None:
    drawn = settings("data.validation_folds=[]", "data.validation_share=0.4")

    first, again = choose_clips(clips, drawn, 1), choose_clips(clips[::-1], drawn, 1)
    other = choose_clips(clips, drawn, 2)

    held = [{item.origin for item in chosen.validation} for chosen in (first, again, other)]
    assert held[0] == held[1] != held[2]
    assert 4 <= len(held[0]) <= 16


def test_clips_can_be_left_out_by_name(clips: list[Clip]) -> None:
    lost = clips[0].clip_id

    chosen = choose_clips(clips, settings(f"data.without=['{lost}']"), 1)

    ids = {item.clip.clip_id for item in (*chosen.train, *chosen.validation)}
    assert ids == {clip.clip_id for clip in clips} - {lost}
    with pytest.raises(UsageError, match=r"data\.without names 'nobody'"):
        choose_clips(clips, settings("data.without=[nobody]"), 1)


def test_only_clips_of_the_labels_asked_for_count(clips: list[Clip]) -> None:
    chosen = choose_clips(clips, settings("data.labels=[tone,noise]"), 1)

    assert chosen.classes == ("noise", "tone")


def test_texts_are_captions_and_the_labels_words(clips: list[Clip], tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text(
        "label,caption\nclick,it clicks\nnoise,hiss\ntone,a beep\ntone,beep\n", "utf-8"
    )
    read = settings(f"data.captions={table}")

    chosen = choose_clips([*clips, replace(clips[0], clip_id="own", captions=("two",))], read, 1)

    texts = {item.clip.clip_id: item.texts for item in chosen.train}
    assert texts["tone-0"] == ("a beep", "beep", "tone")
    assert texts["own"] == ("two", "click")
    assert "hiss" in chosen.texts


def test_refusals_say_what_there_is(clips: list[Clip], tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text("label,caption\nclick,it clicks\n", "utf-8")
    (tmp_path / "empty.csv").write_text("label,caption\nclick,\n", "utf-8")

    with pytest.raises(UsageError, match=r"data\.labels=dog.*24 clips of click, noise, tone"):
        choose_clips(clips, settings("data.labels=[dog]"), 1)
    with pytest.raises(UsageError, match=r"data\.validation_folds of 24 clips of 1, 2, 3, 4"):
        choose_clips(clips, settings("data.validation_folds=['9']"), 1)
    with pytest.raises(ManifestError, match="has no caption for 'noise'"):
        choose_clips(clips, settings(f"data.captions={table}"), 1)
    with pytest.raises(ManifestError, match="line 2: an empty field"):
        read_captions(str(tmp_path / "empty.csv"))
    with pytest.raises(ManifestError, match="cannot be read"):
        read_captions(str(tmp_path / "none.csv"))


def test_the_shipped_captions_have_ten_ways_for_each_of_ten_sounds() -> None:
    captions = read_captions("esc10")

    every = [caption for texts in captions.values() for caption in texts]
    assert sorted(captions) == sorted(CAPTIONS)
    assert {len(texts) for texts in captions.values()} == {10}
    assert len(set(every)) == 100
    assert all(re.fullmatch(r"[a-z' ]+", caption) for caption in every)


def test_the_shipped_captions_are_not_what_the_demo_asks() -> None:
    captions = read_captions("esc10")

    assert not {text for texts in captions.values() for text in texts} & set(CAPTIONS.values())
