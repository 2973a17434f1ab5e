"""Examples by number: which clips, which cut, which levels, which text, drawn from the seed.

Example i of epoch e is the same whoever makes it, whenever: nothing depends on the batch, on the
number of processes, or on what was drawn before. A training that goes on begins at its step.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sepbench.harness.api.training import TrainingBatch
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import DatasetError
from sepbench.harness.mixing import draw_number, loop_to_length, mean_power, pad_to_length
from sepbench.harness.training.clips import TrainingClip
from sepbench.harness.training.mixing import Mono, mix, played
from sepbench.harness.training.settings import DataSettings, MixingSettings

if TYPE_CHECKING:
    import numpy.typing as npt

MOST_DRAWS = 100  # of a clip that fits, before there is none
MOST_CUTS = 20  # of a segment in which something sounds


class Example(NamedTuple):
    """One row of a batch, as `TrainingBatch` names its columns."""

    mixture: Mono
    target: Mono
    sound: Mono
    text: str
    tags: npt.NDArray[np.float32]
    asked: int
    vector: npt.NDArray[np.float32]


class ClipAudio:
    """Decoded clips at one rate, mono; the last ones stay in memory.

    Args:
        sample_rate: Hz.
        cache_bytes: of what stays.
    """

    def __init__(self, sample_rate: int, cache_bytes: int) -> None:
        self._rate = sample_rate
        self._most = cache_bytes
        self._held = 0
        self._kept: OrderedDict[str, Mono] = OrderedDict()

    def read(self, item: TrainingClip) -> Mono:
        """Samples (N,).

        Raises:
            DatasetError: the file is missing or not usable.
        """
        clip = item.clip
        key = f"{clip.path}\x1f{clip.stream}"
        if key not in self._kept:
            audio = read_audio(clip.path, sample_rate=self._rate, mono=True, stream=clip.stream)
            self._kept[key] = np.ascontiguousarray(audio.samples[0])
            self._held += self._kept[key].nbytes
        self._kept.move_to_end(key)
        found = self._kept[key]
        while self._held > self._most and len(self._kept) > 1:
            self._held -= self._kept.popitem(last=False)[1].nbytes
        return found


@dataclass(kw_only=True)
class Examples:
    """All examples of a training, or of its validation: a map-style dataset for torch.

    Attributes:
        clips: to draw from.
        classes: how many there are, E.
        data: how examples are cut.
        mixing: how they are mixed.
        seed: of all draws.
        part: "train" or "validation": two streams of draws.
        vectors: clip id -> (D,) embeddings.
        begins: (clip id, class) -> first sample of the segment, where a detector has placed it.
    """

    clips: Sequence[TrainingClip]
    classes: int
    data: DataSettings
    mixing: MixingSettings
    seed: int
    part: str
    vectors: Mapping[str, npt.NDArray[np.float32]]
    begins: Mapping[tuple[str, int], int]

    def __post_init__(self) -> None:
        """Open nothing yet: processes that read have a memory of their own."""
        self._audio = ClipAudio(self.data.sample_rate, self.data.cache_mb << 20)
        self._found_usable: dict[str, bool] = {}

    def __len__(self) -> int:
        """Examples of an epoch: as many as clips."""
        return len(self.clips)

    def __getitem__(self, number: int) -> Example:
        """Example of a running number that counts on from epoch to epoch.

        Raises:
            DatasetError: a file that cannot be used, or nothing to mix with.
        """
        pair, side = divmod(number, 2) if self.mixing.both else (number, 0)
        first, asked = self._target(pair)
        if self.mixing.rule == "none":
            return self._example(pair, (first, asked), [])
        others = self._others(pair, first)
        if side:  # the same two sounds, asked for the other one: its level stays the mixture's
            return self._example(pair, others[0], [(first, asked)], swapped=True)
        return self._example(pair, (first, asked), others)

    def _example(
        self,
        pair: int,
        target: tuple[TrainingClip, int],
        others: Sequence[tuple[TrainingClip, int]],
        *,
        swapped: bool = False,
    ) -> Example:
        item, asked = target
        sound = self._cut(item, asked, pair, "target" if not swapped else "other 0")
        beside = [
            self._cut(*other, pair, f"other {index}" if not swapped else "target")
            for index, other in enumerate(others)
        ]
        levels = [
            float(self._whole(self.mixing.low_db, self.mixing.high_db, pair, f"level {index}"))
            for index in range(len(beside) + 1)
        ]
        if swapped:  # mixed in the pair's own order, so that both halves share their mixture
            first, mixture = mix(self.mixing.rule, beside[0], [sound], levels)
            part = mixture - first
        else:
            part, mixture = mix(self.mixing.rule, sound, beside, levels)
        gain = np.float32(10.0 ** (self._level(pair) / 20.0))
        texts = item.texts
        side = "swapped" if swapped else "straight"
        tags = np.zeros(self.classes, dtype=np.float32)
        tags[list(item.tags)] = 1.0
        return Example(
            mixture=mixture * gain,
            target=part * gain,
            sound=sound if self.data.sound == "own" else self._other_of(item, asked, pair, side),
            text=texts[self._draw(pair, "text", side) % len(texts)],
            tags=tags,
            asked=asked,
            vector=self.vectors.get(item.clip.clip_id, np.zeros(0, dtype=np.float32)),
        )

    def _other_of(self, item: TrainingClip, asked: int, pair: int, side: str) -> Mono:
        """A cut of another recording of the same class; of the same one where there is no other."""
        others = [other for other in self._by_class.get(asked, ()) if other.origin != item.origin]
        if not others:
            others = [item]
        chosen = others[self._draw(pair, "sound", side) % len(others)]
        return self._cut(chosen, asked, pair, f"sound {side}")

    def _target(self, pair: int) -> tuple[TrainingClip, int]:
        """Clip and class of an example: in the epoch's order; an unusable one gives its place."""
        epoch, index = divmod(pair, len(self.clips))
        if self.data.order == "balanced":
            turn, place = divmod(pair, len(self._by_class))
            asked = self._class_order(turn)[place]
            for attempt in range(MOST_DRAWS):
                item = self._of_class(asked, pair, f"clip {attempt}")
                if self._usable(item):
                    return item, asked
        else:
            item = self.clips[self._order(epoch)[index]]
            for attempt in range(MOST_DRAWS):
                if self._usable(item):
                    tags = item.tags or (-1,)
                    return item, tags[self._draw(pair, "class") % len(tags)]
                item = self.clips[self._draw(pair, f"clip {attempt}") % len(self.clips)]
        raise DatasetError(
            f"After {MOST_DRAWS} draws there is no clip of {self.data.min_seconds:g} s in which "
            "something sounds. Lower data.min_seconds."
        )

    def _others(self, pair: int, first: TrainingClip) -> list[tuple[TrainingClip, int]]:
        """What is mixed in: other recordings and, where asked for, other classes."""
        count = 1 + self._draw(pair, "count") % (self.mixing.sources - 1)
        found: list[tuple[TrainingClip, int]] = []
        taken = [first]
        for place in range(count):
            for attempt in range(MOST_DRAWS):
                name = f"other {place} {attempt}"
                if self.data.order == "balanced":
                    asked = self._with_clips[self._draw(pair, name) % len(self._with_clips)]
                    item = self._of_class(asked, pair, name + " clip")
                else:
                    item = self.clips[self._draw(pair, name) % len(self.clips)]
                    asked = item.tags[0] if item.tags else -1
                if self._fits(item, taken):
                    found.append((item, asked))
                    taken.append(item)
                    break
            else:
                raise DatasetError(
                    f"After {MOST_DRAWS} draws there is nothing to mix with {first.clip.clip_id}: "
                    "no other recording, or none of another class. Give clips of two classes, or "
                    "mixing.disjoint=false."
                )
        return found

    def refuse_lonely(self) -> None:
        """Look now whether each clip has another to be mixed with; no audio is read.

        Raises:
            DatasetError: one has none.
        """
        if self.mixing.rule == "none":
            return
        for first in self.clips:
            if not any(self._differs(other, first) for other in self.clips):
                raise DatasetError(
                    f"Of the {len(self.clips)} clips of the {self.part} part none can be mixed "
                    f"with {first.clip.clip_id}: no other recording, or none of another class. "
                    "Give that part clips of two classes (data.train_folds, "
                    "data.validation_folds, data.validation_share), or mixing.disjoint=false."
                )

    def _fits(self, item: TrainingClip, taken: Sequence[TrainingClip]) -> bool:
        return self._usable(item) and all(self._differs(item, other) for other in taken)

    def _differs(self, item: TrainingClip, other: TrainingClip) -> bool:
        """Another recording and, where asked for, of other classes."""
        return item.origin != other.origin and not (
            self.mixing.disjoint and set(item.tags) & set(other.tags)
        )

    def _usable(self, item: TrainingClip) -> bool:
        """Whether a clip is long enough, and something sounds in it."""
        key = item.clip.clip_id
        if key not in self._found_usable:
            samples = self._audio.read(item)
            needed = self.data.min_seconds * self.data.sample_rate
            self._found_usable[key] = len(samples) >= needed and bool(np.any(samples))
        return self._found_usable[key]

    def _cut(self, item: TrainingClip, asked: int, pair: int, name: str) -> Mono:
        """A segment (N,), in training at a speed of its own."""
        most, length = self.data.speed, self.data.segment
        if most == 1.0 or self.part != "train":
            return self._piece(item, asked, pair, name, length)
        share = self._draw(pair, name, "speed") / 2**64
        speed = most ** (2.0 * share - 1.0)
        return played(self._piece(item, asked, pair, name, round(length * speed)), length)

    def _piece(self, item: TrainingClip, asked: int, pair: int, name: str, length: int) -> Mono:
        """A piece in which something sounds; of all that are drawn else the loudest."""
        samples = self._audio.read(item)
        if len(samples) <= length:
            made = loop_to_length if self.data.short == "loop" and len(samples) else pad_to_length
            filled: Mono = made(samples[None], length)[0]
            return filled
        placed = self.begins.get((item.clip.clip_id, asked))
        if placed is not None:
            begin = min(placed, len(samples) - length)
            return samples[begin : begin + length]
        best, loudest = samples[:length], -1.0
        for attempt in range(MOST_CUTS):
            begin = self._draw(pair, name, f"cut {attempt}") % (len(samples) - length + 1)
            piece = samples[begin : begin + length]
            power = mean_power(piece[None])
            if power > 10.0 ** (self.data.audible_db / 10.0):
                return piece
            if power > loudest:
                best, loudest = piece, power
        if loudest <= 0.0:  # all draws fell between two sounds
            begin = int(np.abs(samples).argmax()) - length // 2
            begin = min(max(begin, 0), len(samples) - length)
            best = samples[begin : begin + length]
        return best

    def _level(self, pair: int) -> float:
        share = self._draw(pair, "whole level") / 2**64
        return self.mixing.level_db * (2.0 * share - 1.0)

    def _whole(self, low: int, high: int, pair: int, name: str) -> int:
        return low + self._draw(pair, name) % (high - low + 1)

    def _draw(self, number: int, *names: str) -> int:
        return draw_number(str(self.seed), self.part, str(number), *names)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        return _permutation(len(self.clips), draw_number(str(self.seed), self.part, str(epoch)))

    def _class_order(self, turn: int) -> list[int]:
        number = draw_number(str(self.seed), self.part, "classes", str(turn))
        return [self._with_clips[k] for k in _permutation(len(self._with_clips), number)]

    def _of_class(self, asked: int, pair: int, name: str) -> TrainingClip:
        of_class = self._by_class[asked]
        return of_class[self._draw(pair, name) % len(of_class)]

    @cached_property
    def _by_class(self) -> dict[int, list[TrainingClip]]:
        found: dict[int, list[TrainingClip]] = {}
        for item in self.clips:
            for tag in item.tags:
                found.setdefault(tag, []).append(item)
        return found

    @cached_property
    def _with_clips(self) -> list[int]:
        return sorted(self._by_class)


def whole_clips(
    examples: Examples, seconds: float, without: Container[tuple[str, int]] = ()
) -> Iterator[tuple[TrainingClip, int, Mono]]:
    """Every clip with each of its classes, from its beginning, up to `seconds` long.

    Args:
        examples: whose clips.
        seconds: at most.
        without: (clip id, class) that are passed over; a clip without others is not read.
    """
    reader = ClipAudio(examples.data.sample_rate, 0)
    for item in examples.clips:
        tags = [tag for tag in item.tags if (item.clip.clip_id, tag) not in without]
        if not tags:
            continue
        samples = reader.read(item)[: round(seconds * examples.data.sample_rate)]
        for tag in tags:
            yield item, tag, samples


def collate(rows: Sequence[Example]) -> TrainingBatch:
    """Rows as one batch of tensors; their embeddings are of one length, or none has any."""
    import torch

    return TrainingBatch(
        mixture=_stacked([row.mixture for row in rows]),
        target=_stacked([row.target for row in rows]),
        sound=_stacked([row.sound for row in rows]),
        texts=[row.text for row in rows],
        tags=_stacked([row.tags for row in rows]),
        asked=torch.tensor([row.asked for row in rows]),
        vectors=_stacked([row.vector for row in rows]),
    )


def placed(examples: Examples, begins: Mapping[tuple[str, int], int]) -> Examples:
    """The same examples, cut where a detector has placed them."""
    return replace(examples, begins=begins)


class StepBatches:
    """Numbers of the examples of each step, for one of several processes, without an end.

    Args:
        batch_size: examples of a batch of one process.
        rank: which process this is.
        world: how many there are.
        first: batch to begin with; asked for when the reading begins.
    """

    def __init__(self, batch_size: int, rank: int, world: int, first: Callable[[], int]) -> None:
        self.batch_size = batch_size
        self._rank = rank
        self._world = world
        self._first = first

    def __iter__(self) -> Iterator[list[int]]:
        batch = self._first()
        while True:
            begin = (batch * self._world + self._rank) * self.batch_size
            yield list(range(begin, begin + self.batch_size))
            batch += 1


def _stacked(rows: Sequence[Any]) -> Any:
    import torch

    return torch.from_numpy(np.stack(rows))


@lru_cache(maxsize=4)
def _permutation(count: int, number: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(number).permutation(count)
