"""`bench probe`: encoders and a labelled corpus by name, measured one by one."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sepbench.baselines.weights import known_sha256
from sepbench.harness.api import AudioEncoder, EncoderCard
from sepbench.harness.errors import (
    STRANGER_ERRORS,
    BenchError,
    MissingExtraError,
    NotApplicableError,
    PluginError,
    SettingError,
    UnknownNameError,
    UsageError,
    near_matches,
)
from sepbench.harness.identity import file_sha256, plain, source_digest
from sepbench.harness.probing.corpus import Corpus, corpus_of, read_corpus
from sepbench.harness.probing.embed import Embedded, Source, embed_clips
from sepbench.harness.probing.measure import draw_space, measure
from sepbench.harness.probing.picture import NAMES, Projection
from sepbench.harness.probing.published import published_for
from sepbench.harness.probing.table import (
    LINEAR,
    RETRIEVAL,
    ProbeRow,
    ProbeTable,
    few_shot_name,
    render,
    write_csv,
)
from sepbench.harness.registry import import_target
from sepbench.harness.run.catalogs import DATASETS, ENCODERS
from sepbench.harness.run.corpora import find_root, open_dataset
from sepbench.harness.run.models import ModelRequest, find_open_weights
from sepbench.harness.run.progress import RunProgress
from sepbench.harness.stages.device import pick_device

__all__ = [
    "Corpus",
    "ProbeRequest",
    "ProbeTable",
    "Projection",
    "open_corpus",
    "probe",
    "render",
    "write_csv",
]

# Corpora that are part of a dataset: name -> dataset, labels.
SUBSETS = {
    "esc10": (
        "esc50",
        frozenset(
            "chainsaw clock_tick crackling_fire crying_baby dog "
            "helicopter rain rooster sea_waves sneezing".split()
        ),
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeRequest:
    """What is asked.

    Attributes:
        encoders: as given: NAME, LABEL=NAME or LABEL=module:Class.
        settings: label -> setting -> value.
        shots: of the few-shot probe, a column each.
        cache: folder of embeddings; None = in the user's cache folder.
    """

    encoders: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shots: tuple[int, ...] = (1, 5)
    device: str = "auto"
    batch_size: int = 16
    cache: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenEncoder:
    """An encoder that is made and not loaded.

    Attributes:
        identity: what makes two encoders the same: code, version, settings, checkpoints, crop.
    """

    label: str
    encoder: Any
    identity: Mapping[str, Any]


def open_corpus(
    dataset: str | None, table: Path | None, roots: Mapping[str, str] | None = None
) -> Corpus:
    """The corpus that is named: a dataset with labelled clips, or a CSV file.

    Args:
        dataset: in the registry, or "esc10"; all its pools together.
        table: CSV file; one of the two is given.
        roots: dataset -> folder.

    Raises:
        UsageError: both or none, an unknown name, or a dataset without clips.
        DatasetError: the clips or the table are not usable.
    """
    if table is not None and dataset is None:
        return read_corpus(table)
    if table is not None or dataset is None:
        raise UsageError("Name one corpus: a dataset with -d, or a CSV file with --clips.")
    roots = roots or {}
    name, wanted = SUBSETS.get(dataset, (dataset, None))
    if name not in DATASETS.entries:
        raise UnknownNameError("corpus", name, [*DATASETS.entries, *SUBSETS])
    unused = set(roots) - {name, dataset}
    if unused:
        raise UsageError(f"--root {sorted(unused)[0]}=…: only {dataset} is probed here.")
    opened = open_dataset(name, {"root": find_root(dataset, roots.get(dataset, roots.get(name)))})
    if not opened.card.pools:
        raise UsageError(f"Dataset {name} has no labelled clips to probe with.")
    found = {clip.clip_id: clip for pool in opened.card.pools for clip in opened.clips(pool)}
    clips = [clip for clip in found.values() if wanted is None or wanted & set(clip.labels)]
    return corpus_of(dataset, clips)


def probe(
    request: ProbeRequest,
    corpus: Corpus,
    *,
    pictures: Path | None = None,
    projection: Projection = "tsne",
    written: Callable[[Path], None] = lambda path: None,
) -> ProbeTable:
    """Few-shot accuracy, retrieval and linear probe of each encoder; one that fails says so.

    Args:
        request: encoders and how.
        corpus: with one label a clip.
        pictures: folder for a picture an encoder.
        projection: of the pictures.
        written: told each picture's path.

    Raises:
        UsageError: unknown names or settings, or a missing extra; before anything is embedded.
        NotApplicableError: clips with several labels.
    """
    require_packages("scikit-learn", *(["matplotlib"] if pictures else []))
    if pictures and projection == "umap":
        require_packages("umap-learn")
    _ = corpus.labels  # several labels are refused before the long part
    opened = open_encoders(request)
    device = str(pick_device(request.device, "float32"))
    notes: list[str] = []

    def one_row(one: OpenEncoder, progress: RunProgress) -> ProbeRow:
        embedded = embed_corpus(_embeddings(one, device), corpus, request, progress)
        row = measure(one.label, embedded, corpus, request.shots)
        if pictures is not None:
            path = pictures / f"{file_name(one.label)}.png"
            title = f"{one.label} on {corpus.name}, {NAMES[projection]}"
            try:
                draw_space(path, embedded, corpus, title, projection)
            except NotApplicableError as error:  # the numbers stand without it
                notes.append(f"{one.label}: {error}")
            else:
                written(path)
        return row

    return ProbeTable(
        corpus=corpus.name,
        facts=corpus.facts,
        probes=(*(few_shot_name(shots) for shots in request.shots), RETRIEVAL, LINEAR),
        rows=tuple(probe_rows(opened, corpus, one_row)),
        published=published_for(corpus),
        notes=tuple(notes),
    )


def open_encoders(request: ProbeRequest) -> list[OpenEncoder]:
    """All encoders of a request, made and not loaded.

    Raises:
        UsageError: unknown names or settings, one label twice, or no audio encoder.
    """
    asked = [ModelRequest.parse(text) for text in request.encoders]
    labels = [one.label for one in asked]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise SettingError(f"Two encoders are called '{twice}'. Name one: -e OTHER={twice}.")
    unused = set(request.settings) - set(labels)
    if unused:
        name = sorted(unused)[0]
        raise SettingError(
            f"encoders.{name}… sets an encoder that is not probed.{near_matches(name, labels)}"
        )
    return [_open_encoder(one, request.settings.get(one.label, {})) for one in asked]


def _open_encoder(asked: ModelRequest, given: Mapping[str, Any]) -> OpenEncoder:
    label, name = asked.label, asked.name
    made = import_target(name, f"encoder '{name}'") if ":" in name else ENCODERS.load(name)
    if not callable(made):
        raise PluginError(f"Encoder '{label}' names {made!r}; expected a class.")
    parameters = inspect.signature(made).parameters
    for key in given:
        if key not in parameters:
            raise SettingError(
                f"Encoder '{label}' has no setting '{key}'.{near_matches(key, parameters)}"
            )
    defaults = {k: p.default for k, p in parameters.items() if p.default is not p.empty}
    settings = {**defaults, **given}
    settings |= find_open_weights(made, settings)
    try:
        encoder = made(**settings)
    except BenchError:
        raise
    except STRANGER_ERRORS as error:  # a stranger's constructor may raise anything
        raise PluginError(
            f"Encoder '{label}' cannot be made: {type(error).__name__}: {error}"
        ) from error
    card = getattr(encoder, "card", None)
    if not (isinstance(card, EncoderCard) and isinstance(encoder, AudioEncoder)):
        raise PluginError(
            f"Encoder '{label}' lacks one of card, load, encode_audio: it embeds no audio."
        )
    identity = {
        "encoder": name,
        "version": card.version,
        "source": source_digest(made.__module__),
        "settings": {key: _contents(value) for key, value in settings.items()},
        "sample_rate": card.sample_rate,
        "crop": card.crop,
    }
    return OpenEncoder(label=label, encoder=encoder, identity=identity)


def _contents(value: Any) -> Any:
    """A setting as it counts: a file by its sum, anything else by what it says."""
    if isinstance(value, str | Path) and Path(value).is_file():
        return {"sha256": known_sha256(Path(value)) or file_sha256(Path(value))}
    return plain(value)


def probe_rows(
    opened: Sequence[OpenEncoder],
    corpus: Corpus,
    one_row: Callable[[OpenEncoder, RunProgress], ProbeRow],
) -> Iterator[ProbeRow]:
    """A row an encoder; what fails on the way costs its own row only."""
    with RunProgress(len(corpus.clips) * len(opened), 0) as progress:
        for one in opened:
            try:
                yield one_row(one, progress)
            except UsageError:
                raise
            except BenchError as error:
                yield ProbeRow(
                    encoder=one.label, dimension=one.encoder.card.dimension, error=str(error)
                )


def _embeddings(one: OpenEncoder, device: str) -> Source:
    return Source(
        name=one.label,
        sample_rate=one.encoder.card.sample_rate,
        dimension=one.encoder.card.dimension,
        identity={**one.identity, "output": "embedding"},
        load=partial(one.encoder.load, device),
        encode=one.encoder.encode_audio,
    )


def embed_corpus(
    source: Source, corpus: Corpus, request: ProbeRequest, progress: RunProgress
) -> Embedded:
    """The vectors of a corpus, the bar moved on with them."""
    before = 0

    def report(done: int) -> None:
        nonlocal before
        progress.advance(done - before, 0)
        before = done

    cache = request.cache or _cache_folder()
    return embed_clips(
        source, corpus.clips, cache=cache, batch_size=request.batch_size, report=report
    )


def require_packages(*packages: str) -> None:
    """Refuse before the long part what would fail after it.

    Raises:
        MissingExtraError: names the first one that is not installed, and its extra.
    """
    modules = {"scikit-learn": "sklearn", "umap-learn": "umap"}
    for package in packages:
        if importlib.util.find_spec(modules.get(package, package)) is None:
            extra = "umap" if package == "umap-learn" else "probe"
            raise MissingExtraError("bench probe", package, extra)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sepbench" / "embeddings"


def file_name(label: str) -> str:
    """A label as the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label)
