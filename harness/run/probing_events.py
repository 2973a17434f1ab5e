"""`bench probe --sed` and `--locate`: what sound event detectors say, of a corpus and of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from sepbench.harness.api import Clip
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import (
    BenchError,
    NotApplicableError,
    PluginError,
    UnknownNameError,
    UsageError,
)
from sepbench.harness.probing.corpus import Corpus
from sepbench.harness.probing.embed import Source, load_source, read_signal
from sepbench.harness.probing.event_names import match_classes, read_class_map
from sepbench.harness.probing.events import EventDetector, EventLocator
from sepbench.harness.probing.location_picture import draw_locations
from sepbench.harness.probing.locations import (
    Location,
    Locations,
    locate,
    render_locations,
    write_locations,
)
from sepbench.harness.probing.measure import measure_events
from sepbench.harness.probing.table import EVENTS, ProbeRow, ProbeTable
from sepbench.harness.run.probing import (
    OpenEncoder,
    ProbeRequest,
    embed_corpus,
    open_encoders,
    probe_rows,
    require_packages,
)
from sepbench.harness.run.progress import RunProgress
from sepbench.harness.stages.device import pick_device

__all__ = [
    "Locations",
    "answers_of",
    "as_detector",
    "find_clip",
    "locate_events",
    "probe_events",
    "read_class_map",
    "render_locations",
    "write_locations",
]


def probe_events(
    request: ProbeRequest, corpus: Corpus, *, class_map: Mapping[str, str] | None = None
) -> ProbeTable:
    """Mean average precision of what event detectors say about whole clips.

    Args:
        request: encoders that are detectors too; `shots` is not used.
        corpus: with one label or more a clip.
        class_map: label -> class name, before the rules of `match_classes`.

    Raises:
        UsageError: as `probe`, an encoder that tells no events, or a class that it does not have.
    """
    require_packages("scikit-learn")
    opened = [as_detector(one) for one in open_encoders(request)]
    device = str(pick_device(request.device, "float32"))
    notes: list[str] = []

    def one_row(one: OpenEncoder, progress: RunProgress) -> ProbeRow:
        matched = match_classes(corpus.classes, one.encoder.class_names, class_map)
        answers = embed_corpus(answers_of(one, device), corpus, request, progress)
        row, lines = measure_events(one.label, answers, corpus, matched)
        notes.extend(lines)
        return row

    return ProbeTable(
        corpus=corpus.name,
        facts=corpus.facts,
        probes=(EVENTS,),
        rows=tuple(probe_rows(opened, corpus, one_row)),
        notes=tuple(notes),
    )


def find_clip(name: str, corpus: Corpus | None) -> Clip:
    """The clip that is to be searched: of the corpus, with its labels, or any audio file.

    Raises:
        UnknownNameError: neither.
    """
    known = {clip.clip_id: clip for clip in corpus.clips} if corpus else {}
    if name in known:
        return known[name]
    if not Path(name).is_file():
        raise UnknownNameError("clip or file", name, known)
    return Clip(clip_id=name, path=Path(name))


def locate_events(
    request: ProbeRequest,
    clip: Clip,
    events: Sequence[str] = (),
    *,
    class_map: Mapping[str, str] | None = None,
    picture: Path | None = None,
) -> Locations:
    """Where detectors hear something in one clip; one that fails says so.

    Args:
        request: encoders that are detectors too.
        clip: to be searched.
        events: class names, or labels that mean one; none = the clip's labels, and without any
            the likeliest classes.
        class_map: as `probe_events`.
        picture: file to draw it into.

    Raises:
        UsageError: an encoder that locates nothing, or a class that it does not have.
        DatasetError: the clip cannot be used.
    """
    if picture is not None:
        require_packages("matplotlib")
    opened = [as_detector(one, locating=True) for one in open_encoders(request)]
    device = str(pick_device(request.device, "float32"))
    rows: list[Location] = []
    errors: dict[str, str] = {}
    notes: list[str] = []
    whole = read_audio(clip.path, mono=True, stream=clip.stream)
    for one in opened:
        classes, unknown = _classes(one, events, clip.labels, class_map)
        if unknown:
            notes.append(f"{one.label} has no class for {', '.join(unknown)}.")
        try:
            load_source(answers_of(one, device))
            rate = one.encoder.card.sample_rate
            rows += locate(one.label, one.encoder, read_signal(clip, rate), rate, classes)
        except UsageError:
            raise
        except BenchError as error:
            errors[one.label] = str(error)
    found = Locations(
        clip=clip.clip_id,
        seconds=whole.samples.shape[-1] / whole.sample_rate,
        rows=tuple(rows),
        errors=errors,
        notes=tuple(notes),
    )
    if picture is not None and rows:
        draw_locations(picture, whole.samples[0], found)
    return found


def _classes(
    one: OpenEncoder,
    events: Sequence[str],
    labels: Sequence[str],
    class_map: Mapping[str, str] | None,
) -> tuple[list[int], list[str]]:
    """The classes to locate, and the clip's labels that have none.

    Raises:
        UnknownNameError: a class was asked for that the detector does not have.
    """
    wanted, names = list(events) or list(labels), one.encoder.class_names
    if not wanted:
        return [], []
    try:
        matched = match_classes(wanted, names, class_map)
    except NotApplicableError:
        matched = {}
    unknown = [name for name in wanted if name not in matched]
    if unknown and events:
        raise UnknownNameError("event class", unknown[0], names, where=f" of {one.label}")
    return [matched[name] for name in wanted if name in matched], unknown


def as_detector(one: OpenEncoder, *, locating: bool = False) -> OpenEncoder:
    """The same, held to be a detector.

    Raises:
        UsageError: it tells no events, or not where.
        PluginError: its card has no sample rate.
    """
    if not isinstance(one.encoder, EventLocator if locating else EventDetector):
        needed = ("class_names", "clipwise", *(["locate"] if locating else []))
        lacking = [name for name in needed if not hasattr(one.encoder, name)]
        raise UsageError(
            f"Encoder '{one.label}' tells no such events: it lacks {', '.join(lacking)}. "
            "--sed and --locate are for sound event detectors."
        )
    if one.encoder.card.sample_rate is None:
        raise PluginError(f"Encoder '{one.label}' hears no audio: its card has no sample rate.")
    return one


def answers_of(one: OpenEncoder, device: str) -> Source:
    """What a detector says of whole clips, as vectors that can be kept."""
    return Source(
        name=one.label,
        sample_rate=one.encoder.card.sample_rate,
        dimension=len(one.encoder.class_names),
        identity={**one.identity, "output": "clipwise"},
        load=partial(one.encoder.load, device),
        encode=one.encoder.clipwise,
    )
