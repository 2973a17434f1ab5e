"""`bench data prepare --detector`: segments of a corpus cut where a detector hears their class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from sepbench.harness.api import DatasetCard, Samples
from sepbench.harness.errors import UsageError
from sepbench.harness.probing.embed import load_source
from sepbench.harness.probing.event_names import match_classes
from sepbench.harness.run.data_status import opened
from sepbench.harness.run.probing import ProbeRequest, open_encoders
from sepbench.harness.run.probing_events import answers_of, as_detector
from sepbench.harness.stages.device import pick_device

TOLD_EVERY = 100  # segments


@runtime_checkable
class Cutter(Protocol):
    """A dataset whose scenes are made of segments that are cut once.

    Attributes:
        segment_classes: names of its classes, by number.
    """

    card: DatasetCard
    segment_classes: tuple[str, ...]

    def cut_segments(self, locate: Callable[[Samples, int], float] | None = None) -> int:
        """Cut what is not there yet; how many there are.

        Args:
            locate: from a mono clip (N,) at the card's rate and a class to the second at which
                its segment begins.
        """
        ...


def cut_segments(
    name: str, settings: Mapping[str, Any], detector: str, *, say: Callable[[str], None]
) -> int:
    """Cut the segments of a dataset; how many there are.

    Args:
        name: of the dataset.
        settings: its own.
        detector: encoder that locates, NAME or module:Class.
        say: takes progress.

    Raises:
        UsageError: a dataset without segments, an encoder that locates nothing, hears at another
            rate, or lacks a class.
        BenchError: the detector's weights are missing, or clips cannot be used.
    """
    dataset, _ = opened(name, settings)
    if not isinstance(dataset, Cutter):
        raise UsageError(f"Dataset {name} has no segments to cut; leave --detector out.")
    (one,) = open_encoders(ProbeRequest(encoders=(detector,)))
    encoder = as_detector(one, locating=True).encoder
    rate = dataset.card.sample_rate
    if encoder.card.sample_rate != rate:
        raise UsageError(
            f"Encoder '{one.label}' hears at {encoder.card.sample_rate} Hz, and the segments of "
            f"{name} are at {rate} Hz."
        )
    known = match_classes(dataset.segment_classes, encoder.class_names)
    lacking = [each for each in dataset.segment_classes if each not in known]
    if lacking:
        raise UsageError(
            f"Encoder '{one.label}' lacks {len(lacking)} classes of {name}: "
            f"{', '.join(lacking[:3])}…"
        )
    load_source(answers_of(one, str(pick_device("auto", "float32"))))
    located = 0

    def locate(clip: Samples, number: int) -> float:
        import torch

        nonlocal located
        located += 1
        if located % TOLD_EVERY == 0:
            say(f"{name}: {located} segments cut")
        index = known[dataset.segment_classes[number]]
        return float(encoder.locate(torch.from_numpy(clip), index).start)

    return dataset.cut_segments(locate)
