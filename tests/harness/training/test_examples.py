from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from sepbench.harness.api import Clip
from sepbench.harness.audio import write_wav
from sepbench.harness.errors import DatasetError
from sepbench.harness.training.clips import choose_clips
from sepbench.harness.training.examples import Examples, StepBatches, collate, placed
from sepbench.harness.training.mixing import played
from sepbench.harness.training.settings import resolve_training

BASE = (
    "data.labels=[]",
    "data.without=[]",
    "data.speed=1",
    "data.train_folds=[]",
    "data.validation_folds=['4']",
    "data.captions=null",
    "data.sample_rate=8000",
    "data.seconds=0.25",
)


def examples(clips: list[Clip], *overrides: str, seed: int = 1, **changes: Any) -> Examples:
    settings = resolve_training("lassnet-small", overrides=[*BASE, *overrides])
    chosen = choose_clips(clips, settings.data, 1)
    made = Examples(
        clips=chosen.train,
        classes=3,
        data=settings.data,
        mixing=settings.mixing,
        seed=seed,
        part="train",
        vectors={},
        begins={},
    )
    return replace(made, **changes)


def same(first: Any, second: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_example_follows_from_its_number_alone(clips: list[Clip]) -> None:
    forwards, backwards = examples(clips), examples(clips)

    first = [forwards[number] for number in range(8)]
    again = [backwards[number] for number in reversed(range(8))][::-1]

    assert all(map(same, first, again))
    assert not same(first[0], first[1])


def test_seeds_and_parts_draw_other_examples(clips: list[Clip]) -> None:
    here = examples(clips)[0]

    assert not same(here, examples(clips, seed=2)[0])
    assert not same(here, examples(clips, part="validation")[0])


def test_the_number_of_processes_changes_nothing(clips: list[Clip]) -> None:
    def batches(workers: int) -> list[Any]:
        numbers = StepBatches(4, 0, 1, lambda: 0)
        loader = DataLoader(
            examples(clips),  # type: ignore[arg-type]
            batch_sampler=numbers,  # type: ignore[arg-type]
            collate_fn=collate,
            num_workers=workers,
        )
        return list(islice(loader, 3))

    alone, together = batches(0), batches(2)

    assert all(a.mixture.equal(b.mixture) for a, b in zip(alone, together, strict=True))
    assert [a.texts for a in alone] == [b.texts for b in together]


def test_processes_share_the_examples_of_a_step_among_them() -> None:
    first = next(iter(StepBatches(2, 0, 2, lambda: 3)))
    second = next(iter(StepBatches(2, 1, 2, lambda: 3)))
    alone = next(iter(StepBatches(4, 0, 1, lambda: 3)))

    assert first + second == alone == [12, 13, 14, 15]


def test_a_mixture_is_its_target_and_something_else(clips: list[Clip]) -> None:
    here = examples(clips, "mixing.low_db=-3", "mixing.high_db=-3", "mixing.level_db=0")

    drawn = [here[number] for number in range(6)]

    ratios = [
        10 * np.log10(np.mean((row.mixture - row.target) ** 2) / np.mean(row.target**2))
        for row in drawn
    ]
    assert ratios == pytest.approx([-3.0] * 6, abs=0.05)


def test_a_cut_in_which_nothing_sounds_is_drawn_anew(clips: list[Clip]) -> None:
    here = examples(clips, "data.seconds=0.1")

    quietest = min(np.abs(here[number].sound).max() for number in range(40))

    assert quietest > 1e-3


def test_balanced_classes_come_equally_often(clips: list[Clip]) -> None:
    few = [clip for clip in clips if clip.labels != ("tone",) or clip.fold == "1"]
    few += [clip for clip in clips if clip.labels == ("tone",) and clip.fold == "4"]
    here = examples(few)

    asked = Counter(here[number].asked for number in range(30))

    assert asked == {0: 10, 1: 10, 2: 10}


def test_a_shuffled_epoch_shows_every_clip_once(clips: list[Clip]) -> None:
    here = examples(clips, "data.order=shuffled", "mixing.rule=none")
    index = {tuple(here[number].sound[:50]) for number in range(len(here))}

    assert len(here) == 18
    assert len(index) >= 12  # clips whose cut begins in silence begin alike


def test_a_part_of_one_class_is_refused_before_it_is_drawn_from(clips: list[Clip]) -> None:
    tones = [clip for clip in clips if clip.labels == ("tone",)]

    with pytest.raises(DatasetError, match=r"train part none can be mixed with tone-.*of another"):
        examples(tones).refuse_lonely()

    examples(clips).refuse_lonely()
    examples(tones, "mixing.disjoint=false").refuse_lonely()
    examples(tones, "mixing.rule=none").refuse_lonely()


def test_the_others_are_of_other_classes_where_asked(clips: list[Clip]) -> None:
    tones = [clip for clip in clips if clip.labels == ("tone",)]

    with pytest.raises(DatasetError, match=r"nothing to mix with tone-.*mixing\.disjoint=false"):
        examples(tones)[0]
    row = examples(tones, "mixing.disjoint=false", classes=1)[0]
    assert not np.array_equal(row.mixture, row.target)


def test_both_sounds_of_a_mixture_are_asked_for_in_turn(clips: list[Clip]) -> None:
    here = examples(clips, "mixing.both=true", "mixing.rule=match")

    first, second = here[6], here[7]

    np.testing.assert_array_equal(first.mixture, second.mixture)
    np.testing.assert_allclose(first.target + second.target, first.mixture, atol=1e-6)
    assert first.asked != second.asked


def test_a_silent_clip_is_never_drawn(clips: list[Clip], tmp_path: Path) -> None:
    write_wav(tmp_path / "none.wav", np.zeros((1, 12_000), dtype=np.float32), 8000)
    mute = [replace(c, path=tmp_path / "none.wav") if c.clip_id == "tone-0" else c for c in clips]
    here = examples(mute, "mixing.rule=peak")

    drawn = [here[number] for number in range(60)]

    assert all(np.abs(row.target).max() > 0 for row in drawn)
    assert all(np.abs(row.mixture - row.target).max() > 0 for row in drawn)


def test_a_short_sound_in_a_long_clip_is_found(clips: list[Clip], tmp_path: Path) -> None:
    click = np.zeros((1, 400_000), dtype=np.float32)
    click[0, 123_456] = 0.5
    write_wav(tmp_path / "click.wav", click, 8000)
    here = examples([replace(clip, path=tmp_path / "click.wav") for clip in clips])

    assert np.abs(here[0].sound).max() == pytest.approx(0.5, abs=1e-3)


def test_a_cut_of_training_sounds_faster_or_slower(clips: list[Clip]) -> None:
    as_is, changed = examples(clips), examples(clips, "data.speed=1.5")

    assert not same(changed[3], as_is[3])
    assert same(changed[3], examples(clips, "data.speed=1.5")[3])
    assert changed[3].target.shape == as_is[3].target.shape


@pytest.mark.parametrize("length", [500, 1000, 2000])
def test_what_is_played_faster_is_higher(length: int) -> None:
    tone = np.sin(2 * np.pi * 50 * np.arange(1000) / 1000).astype(np.float32)

    changed = played(tone, length)

    peak = np.abs(np.fft.rfft(changed)).argmax() / length
    assert changed.dtype == np.float32
    assert peak == pytest.approx(0.05 * 1000 / length, rel=0.03)
    if length == 1000:
        np.testing.assert_array_equal(changed, tone)


def test_held_out_clips_sound_as_they_are(clips: list[Clip]) -> None:
    plain = examples(clips, part="validation")

    assert same(plain[0], examples(clips, "data.speed=1.5", part="validation")[0])


def test_a_placed_clip_is_cut_where_it_was_placed(clips: list[Clip]) -> None:
    here = examples(clips, "mixing.rule=none")
    begins = {(item.clip.clip_id, item.tags[0]): 4000 for item in here.clips}

    row = placed(here, begins)[0]

    assert any(np.array_equal(row.sound, here._audio.read(item)[4000:6000]) for item in here.clips)


def test_an_audio_query_may_hear_another_recording_of_the_class(clips: list[Clip]) -> None:
    tones = [clip for clip in clips if clip.labels == ("tone",)]
    here = examples(tones, "data.sound=class", "mixing.disjoint=false", classes=1)
    own = examples(tones, "mixing.disjoint=false", classes=1)

    rows, plain = [here[k] for k in range(6)], [own[k] for k in range(6)]

    assert all(np.array_equal(a.mixture, b.mixture) for a, b in zip(rows, plain, strict=True))
    assert not any(np.array_equal(a.sound, b.sound) for a, b in zip(rows, plain, strict=True))


def test_short_clips_are_repeated_or_padded(clips: list[Clip]) -> None:
    looped = examples(clips, "data.seconds=2", "mixing.rule=none")[0].sound
    padded = examples(clips, "data.seconds=2", "data.short=pad", "mixing.rule=none")[0].sound

    assert len(looped) == len(padded) == 16_000
    assert not padded[12_000:].any()
    np.testing.assert_array_equal(looped[12_000:], looped[:4000])


def test_clips_that_are_too_short_give_their_place(clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"no clip of 9 s in which something sounds. Lower data\.min_seconds"
    ):
        examples(clips, "data.min_seconds=9")[0]


def test_vectors_come_with_their_clips(clips: list[Clip]) -> None:
    vectors = {clip.clip_id: np.full(3, number, np.float32) for number, clip in enumerate(clips)}

    batch = collate([examples(clips, vectors=vectors)[number] for number in range(4)])

    assert batch.vectors.shape == (4, 3)
