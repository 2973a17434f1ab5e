"""From the embeddings of a corpus to one row of the table: every probe, or why it has no value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.errors import NotApplicableError
from sepbench.harness.probing.corpus import Corpus
from sepbench.harness.probing.embed import Embedded
from sepbench.harness.probing.evaluate import (
    Measured,
    few_shot_accuracy,
    linear_probe,
    retrieval_map,
)
from sepbench.harness.probing.events import event_map
from sepbench.harness.probing.picture import Projection, draw, project
from sepbench.harness.probing.table import EVENTS, LINEAR, RETRIEVAL, ProbeRow, few_shot_name

if TYPE_CHECKING:
    import numpy.typing as npt

    Rows = npt.NDArray[np.intp]


def measure(label: str, embedded: Embedded, corpus: Corpus, shots: Sequence[int]) -> ProbeRow:
    """Few-shot accuracy, retrieval and linear probe of one encoder.

    Args:
        label: of the encoder.
        embedded: of all clips of the corpus; unreadable ones are in no value.
        corpus: with one label a clip.
        shots: a probe each.
    """
    rows = readable(embedded)
    vectors = embedded.vectors[rows]
    labels, origins = _picked(corpus.labels, rows), _picked(corpus.origins, rows)
    folds = None if corpus.folds is None else _picked(corpus.folds, rows)
    probes: dict[str, Callable[[], Measured]] = {
        few_shot_name(count): _few_shot(vectors, labels, origins, count) for count in shots
    }
    probes[RETRIEVAL] = lambda: retrieval_map(vectors, labels, origins)
    probes[LINEAR] = lambda: linear_probe(vectors, labels, folds, origins)
    values: dict[str, Measured | str] = {}
    for name, probe in probes.items():
        try:
            values[name] = probe()
        except NotApplicableError as error:
            values[name] = str(error)
    return _row(label, embedded, corpus, values)


def measure_events(
    label: str, embedded: Embedded, corpus: Corpus, matched: Mapping[str, int]
) -> tuple[ProbeRow, list[str]]:
    """Mean average precision of a detector's answers, and notes: each class, and what is not known.

    Args:
        label: of the detector.
        embedded: probabilities (N, E).
        corpus: with one label or more a clip.
        matched: label -> the detector's class.
    """
    rows = readable(embedded)
    names = sorted(matched)
    truth = np.array(
        [[name in corpus.clips[row].labels for name in names] for row in rows], dtype=bool
    )
    answers = embedded.vectors[rows][:, [matched[name] for name in names]].astype(np.float64)
    scores = event_map(answers, truth, names, _picked(corpus.origins, rows))
    each = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.by_class.items())
    notes = [f"{label}, average precision of {len(scores.by_class)} classes: {each}."]
    unknown = [name for name in corpus.classes if name not in matched]
    if unknown:
        notes.append(f"{label} has no class for, and is not asked for: {', '.join(unknown)}.")
    value = Measured(value=scores.value, interval=scores.interval, num_clips=len(rows))
    return _row(label, embedded, corpus, {EVENTS: value}), notes


def draw_space(
    path: Path, embedded: Embedded, corpus: Corpus, title: str, projection: Projection = "tsne"
) -> None:
    """The picture of one encoder, of the clips that have an embedding.

    Raises:
        NotApplicableError: too few clips.
        BenchError: the file cannot be written.
    """
    rows = np.flatnonzero(np.isfinite(embedded.vectors).all(axis=1))
    points = project(embedded.vectors[rows], projection)
    draw(path, points, _picked(corpus.labels, rows), title)


def readable(embedded: Embedded) -> Rows:
    """Numbers of the clips whose files could be used."""
    return np.array(
        [k for k in range(len(embedded.vectors)) if k not in embedded.unreadable], dtype=np.intp
    )


def _few_shot(
    vectors: npt.NDArray[np.float32], labels: Sequence[str], origins: Sequence[str], count: int
) -> Callable[[], Measured]:
    return lambda: few_shot_accuracy(vectors, labels, origins, shots=count)


def _picked(names: Sequence[str], rows: Rows) -> list[str]:
    return [names[row] for row in rows]


def _row(
    label: str, embedded: Embedded, corpus: Corpus, values: Mapping[str, Measured | str]
) -> ProbeRow:
    return ProbeRow(
        encoder=label,
        dimension=embedded.vectors.shape[1],
        values=values,
        refused={corpus.clips[k].clip_id: why for k, why in embedded.refused.items()},
        unreadable={corpus.clips[k].clip_id: why for k, why in embedded.unreadable.items()},
    )
