"""How our own list over AudioCaps' test clips was drawn: one interfering clip and one ratio each.

The drawn list ships (`lists/audiocaps_test_seeded.csv`), so a score depends on no drawing; a test
draws it again. Order and choice come from SHA-256 of a seed and the clips' ids, so they are the
same on every machine and Python.

Two clips may meet if they share no AudioSet label and no main word of their captions. Words for
people and their speech count as one word: "a man talks" and "female speech" ask for the same sound.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sepbench.harness.errors import DatasetError
from sepbench.harness.mixing import draw_number, draw_ratio_db

SEED = "sepbench audiocaps test 1"
SNR_RANGE_DB = (-10, 10)  # whole dB, as AudioSep draws in training
MAIN_WORD_CAPTIONS = 2  # of five: what one annotator alone heard is no main word
STEM = 5  # letters; "barks" and "barking" are one word
LABEL_CLIPS = 8  # a label that so few clips carry gives no examples of other recordings

_NO_SOUND = frozenset(
    "and the then with while are before after from into its their that this there which nearby "
    "several some very more multiple various another other once over away out off back "
    "followed follows following background distance distant distantly loud loudly soft softly "
    "occurs occur sound sounds noise noises making makes begins starts continues repeatedly "
    "continuously briefly moments".split()
)
_PEOPLE = frozenset(
    "man men woman women male female person people boy girl boys girls child children kid kids "
    "adult adults human speech speak speaks speaking spoken talk talks talking voice voices "
    "conversation converse narrates narrating narration monologue".split()
)
_PEOPLE_LABELS = re.compile(r"speech|conversation|narration", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnPair:
    """One mixture of the list.

    Attributes:
        target: YouTube id; likewise `interference`.
        snr_db: energy of target over interference.
        label: the AudioSet label that names the target best, see `naming_label`.
        labels: all AudioSet labels of the target.
    """

    target: str
    interference: str
    snr_db: int
    label: str
    labels: tuple[str, ...]


def draw_pairs(
    captions: Mapping[str, Sequence[str]], labels: Mapping[str, Sequence[str]], seed: str = SEED
) -> list[DrawnPair]:
    """One pair for each clip, in the order of `captions`.

    Of the clips that may stand against a target, those used least come first.

    Args:
        captions: clip -> its captions.
        labels: clip -> its AudioSet labels, for the same clips.
        seed: any text.

    Raises:
        DatasetError: a clip shares a sound with every other one.
    """
    sounds = {
        clip: _main_words(captions[clip])
        | {"people" if _PEOPLE_LABELS.search(name) else name for name in labels[clip]}
        for clip in captions
    }
    used: Counter[str] = Counter()
    drawn: dict[str, str] = {}
    for target in sorted(captions, key=lambda clip: draw_number(seed, clip)):
        others = [clip for clip in captions if not sounds[clip] & sounds[target]]
        if not others:
            raise DatasetError(f"No clip can stand against {target}: all share a sound with it.")
        other = min(others, key=lambda clip: (used[clip], draw_number(seed, target, clip)))
        drawn[target] = other
        used[other] += 1
    counts = Counter(name for clip in captions for name in labels[clip])
    return [
        DrawnPair(
            target=target,
            interference=drawn[target],
            snr_db=draw_ratio_db(*SNR_RANGE_DB, seed, "snr", target),
            label=naming_label(labels[target], counts),
            labels=tuple(labels[target]),
        )
        for target in captions
    ]


def naming_label(labels: Collection[str], counts: Mapping[str, int]) -> str:
    """The rarest label that at least `LABEL_CLIPS` clips carry, else the most frequent one."""
    common = [name for name in labels if counts[name] >= LABEL_CLIPS]
    if common:
        return min(common, key=lambda name: (counts[name], name))
    return max(labels, key=lambda name: (counts[name], name))


def _main_words(captions: Sequence[str]) -> set[str]:
    counts = Counter(
        word
        for caption in captions
        for word in {
            "people" if word in _PEOPLE else word[:STEM]
            for word in re.findall(r"[a-z]{3,}", caption.lower())
            if word not in _NO_SOUND
        }
    )
    return {word for word, count in counts.items() if count >= MAIN_WORD_CAPTIONS}
