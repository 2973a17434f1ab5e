"""AudioSet's evaluation split in pairs of 2-s segments: what ST-SED is evaluated on.

Every class in turn gives one of its clips; two in a row make a pair. From each clip comes the 2 s
in which its class sounds, and the second segment is scaled to the energy of the first. The pairs
are asked for in three ways: both in their sum ("mixture"), each alone ("clean": it should pass),
and each where only the other sounds ("silence": nothing should). The held-out lists are pairs of
the ten classes that one of ST-SED's checkpoints has never been given as a target.

AudioSet does not say where in a clip its class sounds, so segments are cut beforehand
(`AudioSetEval.cut_segments`) and lie on disk as `segments/{clip}-{class}.wav`.

Source: Chen et al., AAAI 2022 (arXiv 2112.07891); behaviour of the official code (3a4e363).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from sepbench.datasets.audioset import class_names, find_clip, segment_rows
from sepbench.datasets.manifest import require_list, require_pool, require_root
from sepbench.harness.api import Clip, DatasetCard, ListCard, Samples, Scene, SceneRow, TargetRow
from sepbench.harness.audio import read_audio, resolve_inside, write_wav
from sepbench.harness.errors import (
    AudioMismatchError,
    BenchError,
    DatasetError,
    ManifestError,
    MissingFileError,
)
from sepbench.harness.mixing import match_energy

# C channels, N samples

SPLIT = "eval"
TABLE = "eval_segments.csv"
SEGMENTS = "segments"
SAMPLE_RATE = 32_000
SECONDS = 2
CLIP_SECONDS = 10
PAIRS_SHARE = 0.05  # pairs of an evaluation over rows of the table, as published
HELD_OUT = (4, 15, 63, 81, 184, 335, 348, 449, 474, 486)
"""Numbers of the classes that zeroshot_asp_held_out.ckpt was not trained on."""
SEED = 2112_07891
NAMES = ("first", "second")
KINDS = {
    "mixture": "both segments of a pair in their sum, each asked for",
    "clean": "one segment of a pair alone, asked for",
    "silence": "one segment of a pair alone, the other one asked for",
}
MIXING = "2-s segments; the second scaled to the energy of the first, gain 0.02 to 50; no declip"
Locate = Callable[[Samples, int], float]
"""From a mono clip (N,) at 32 kHz and the number of a class to the second its segment begins.

The clip is at most 10 s long, as AudioSet's are and as the published detector takes them.
"""


def _lists() -> Iterator[ListCard]:
    for prefix, classes in (("", "all 527 classes"), ("held-out-", "the ten held-out classes")):
        for kind, words in KINDS.items():
            yield ListCard(
                name=prefix + kind, revision="1", mixing=MIXING, summary=f"{classes}: {words}."
            )


CARD = DatasetCard(
    name="audioset-eval",
    summary="AudioSet's evaluation clips in pairs of 2-s segments, as ST-SED is evaluated.",
    licence="annotations CC BY 4.0; the sound belongs to the uploaders",
    lists=tuple(_lists()),
    protocols=(
        *("stsed-mixture", "stsed-clean", "stsed-silence"),
        *("stsed-held-out-mixture", "stsed-held-out-clean", "stsed-held-out-silence"),
    ),
    pools=(SEGMENTS,),
    where="eval_segments.csv from AudioSet's page; the clips from YouTube.",
    citation="J. F. Gemmeke et al., Audio Set, ICASSP 2017; K. Chen et al., Zero-shot audio source "
    "separation, AAAI 2022",
    sample_rate=SAMPLE_RATE,
    steps=(
        "Put eval_segments.csv and the clips of the evaluation split, named Y{id}.wav, into the "
        "root, or the clips into eval.",
        "Cut the segments once, where a detector hears their class: "
        "bench data prepare audioset-eval --detector htsat",
    ),
)


@dataclass(frozen=True, slots=True)
class _Segment:
    """A clip drawn for one of its classes."""

    clip: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.clip}-{self.number:03d}"

    @property
    def file(self) -> str:
        return f"{SEGMENTS}/{self.name}.wav"


class AudioSetEval:
    """Pairs of segments as scenes, segments as clips.

    Args:
        root: folder of eval_segments.csv, with `segments` in it.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._pairs: dict[bool, tuple[tuple[_Segment, _Segment], ...]] = {}

    @property
    def segment_classes(self) -> tuple[str, ...]:
        """Names of the classes that `locate` is asked for, by number."""
        return tuple(class_names().values())

    def default_protocol(self) -> str:
        """All classes, mixed.

        Raises:
            MissingRootError: no folder.
            MissingFileError: no eval_segments.csv in it.
        """
        self._table()
        return "stsed-mixture"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """The rows of a list, the same whichever clips are on disk.

        Raises:
            MissingRootError: no folder.
            MissingFileError: no eval_segments.csv in it.
            ManifestError: it cannot be understood, or has no clip of two classes.
        """
        require_list(list_name, self.card)
        kind = list_name.removeprefix("held-out-")
        pairs = self._drawn(held_out=kind != list_name)
        if kind == "mixture":
            return [_row(f"{k:04d}", pair, (0, 1), (0, 1)) for k, pair in enumerate(pairs)]
        return [
            _row(f"{k:04d}-{NAMES[asked]}", pair, (sounds,), (asked,))
            for k, pair in enumerate(pairs)
            for asked in (0, 1)
            for sounds in (asked if kind == "clean" else 1 - asked,)
        ]

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """One or both segments of a pair. They are mono.

        Raises:
            DatasetError: a segment is not there, or cannot be used.
        """
        root = require_root(self.root, self.card)
        read = [_read(root, name, sample_rate) for name in self.files(row)]
        first, second = (samples for samples, _ in read)
        if first.shape != second.shape:
            raise AudioMismatchError(
                f"Dataset audioset-eval, scene {row.scene_id}: segments of {first.shape[1]} and "
                f"{second.shape[1]} samples. Remove them and cut them again."
            )
        pair = first, match_energy(first, second)
        sources = {NAMES[index]: pair[index] for index in row.details["sounding"]}
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=np.sum(list(sources.values()), axis=0, dtype=np.float32),
            sources=sources,
            files=dict(zip(self.files(row), (sha256 for _, sha256 in read), strict=True)),
        )

    def files(self, row: SceneRow) -> tuple[str, ...]:
        """Names of both segments of the pair; the gain of the second needs both."""
        return tuple(_Segment(clip, number).file for clip, number in row.details["pair"])

    def clips(self, pool: str) -> Sequence[Clip]:
        """Every segment of the lists, named as the targets' `cluster`; none before they are cut.

        Raises:
            MissingRootError, MissingFileError, ManifestError: as `scenes`.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        if not (root / SEGMENTS).is_dir():
            return ()
        labels = list(class_names().values())
        return tuple(
            Clip(
                clip_id=segment.name,
                path=root / segment.file,
                labels=(labels[segment.number],),
                fold=SPLIT,
                origin=segment.clip,
            )
            for segment in self._segments()
        )

    def cut_segments(self, locate: Locate | None = None) -> int:
        """Cut from the clips on disk the segments that the lists need and that are not there yet.

        Args:
            locate: where the class sounds; None takes the loudest 2 s, whatever the class.

        Returns:
            How many segments of all lists there are now; clips that are not on disk have none.

        Raises:
            MissingRootError, MissingFileError, ManifestError: as `scenes`.
            DatasetError: clips that cannot be read, are shorter than 2 s, or refused by `locate`;
                the segments of all others are there.
        """
        root = require_root(self.root, self.card)
        (root / SEGMENTS).mkdir(exist_ok=True)
        there, problems = 0, dict[str, None]()
        for segment in self._segments():
            path = root / segment.file
            clip = None if path.is_file() else find_clip(root, SPLIT, segment.clip)
            if clip is not None:
                try:
                    samples = read_audio(clip, sample_rate=SAMPLE_RATE, mono=True).samples
                    cut = _cut(samples, segment, locate, clip)
                except BenchError as error:
                    problems[str(error)] = None
                    continue
                unfinished = path.with_suffix(".part.wav")
                write_wav(unfinished, cut, SAMPLE_RATE)
                unfinished.replace(path)
            there += path.is_file()
        if problems:
            raise DatasetError(
                f"{len(problems)} clips have no segment, {there} segments are there. "
                + " ".join([*problems][:3])
            )
        return there

    def _table(self) -> Path:
        table = require_root(self.root, self.card) / TABLE
        if not table.is_file():
            raise MissingFileError(
                f"Dataset audioset-eval: {table} is missing. Where to get it: {self.card.where}"
            )
        return table

    def _drawn(self, *, held_out: bool) -> tuple[tuple[_Segment, _Segment], ...]:
        if held_out not in self._pairs:
            table = self._table()
            numbers = {label: number for number, label in enumerate(class_names().values())}
            clips: dict[int, list[str]] = defaultdict(list)
            count = 0
            for clip, labels in segment_rows(table):
                count += 1
                for label in labels:
                    clips[numbers[label]].append(clip)
            kept = {n: clips[n] for n in sorted(clips) if not held_out or n in HELD_OUT}
            if len({clip for each in kept.values() for clip in each}) < 2 or len(kept) < 2:
                raise ManifestError(f"{table} has no two clips of two classes to make a pair of.")
            pairs = islice(_pairs(kept), max(1, int(PAIRS_SHARE * count)))
            self._pairs[held_out] = tuple(pairs)
        return self._pairs[held_out]

    def _segments(self) -> list[_Segment]:
        """Of all lists, each once."""
        pairs = (*self._drawn(held_out=False), *self._drawn_or_none())
        return list(dict.fromkeys(segment for pair in pairs for segment in pair))

    def _drawn_or_none(self) -> tuple[tuple[_Segment, _Segment], ...]:
        """The held-out pairs; none of a table (a part of the split) without such classes."""
        try:
            return self._drawn(held_out=True)
        except ManifestError:
            return ()


def _pairs(clips: dict[int, list[str]]) -> Iterator[tuple[_Segment, _Segment]]:
    """Without end: the classes in a new order each round, of each class one of its clips.

    A clip is not paired with itself, nor a class with itself where two rounds meet.
    """
    draw = random.Random(SEED)
    waiting: _Segment | None = None
    while True:
        order = list(clips)
        draw.shuffle(order)
        for number in order:
            segment = _Segment(draw.choice(clips[number]), number)
            if waiting is None:
                waiting = segment
            elif segment.clip != waiting.clip and segment.number != waiting.number:
                yield waiting, segment
                waiting = None


def _row(
    scene_id: str,
    pair: tuple[_Segment, _Segment],
    sounding: tuple[int, ...],
    asked: tuple[int, ...],
) -> SceneRow:
    labels = list(class_names().values())
    return SceneRow(
        scene_id=scene_id,
        targets=tuple(
            TargetRow(
                name=NAMES[index],
                label=labels[pair[index].number],
                texts=(labels[pair[index].number],),
                cluster=pair[index].name,
                absent=index not in sounding,
            )
            for index in asked
        ),
        origins=tuple(segment.clip for segment in pair),
        details={
            "pair": [[segment.clip, segment.number] for segment in pair],
            "sounding": list(sounding),
        },
    )


def _read(root: Path, name: str, sample_rate: int) -> tuple[Samples, str]:
    try:
        path = resolve_inside(root, name)
    except MissingFileError:
        raise MissingFileError(
            f"{root / name} is missing: its clip was not on disk when segments were cut, or they "
            "have not been. Run: bench data prepare audioset-eval --detector htsat."
        ) from None
    audio = read_audio(path, sample_rate=sample_rate, mono=True)
    return audio.samples, audio.sha256


def _cut(samples: Samples, segment: _Segment, locate: Locate | None, path: Path) -> Samples:
    """(1, 64000) of a clip (1, N)."""
    length, available = SECONDS * SAMPLE_RATE, samples.shape[1]
    if available < length:
        raise DatasetError(
            f"{path} has {available / SAMPLE_RATE:.2f} s; a segment of {SECONDS} s cannot be cut "
            "from it. Fetch the clip again, or remove it."
        )
    heard = samples[0, : CLIP_SECONDS * SAMPLE_RATE]
    second = _loudest(heard) if locate is None else _located(heard, segment.number, locate, path)
    begin = min(max(round(second * SAMPLE_RATE), 0), available - length)
    return samples[:, begin : begin + length]


def _located(samples: Samples, number: int, locate: Locate, path: Path) -> float:
    try:
        return locate(samples, number)
    except BenchError as error:
        raise DatasetError(f"{path}: {error}") from error


def _loudest(samples: Samples) -> float:
    """Second at which the loudest 2 s of a clip (N,) begin, in steps of 10 ms."""
    step = SAMPLE_RATE // 100
    frames = samples[: len(samples) // step * step].reshape(-1, step)
    energies = np.square(frames, dtype=np.float64).sum(1)
    sums = np.convolve(energies, np.ones(SECONDS * 100), mode="valid")
    return float(int(np.argmax(sums)) / 100)
