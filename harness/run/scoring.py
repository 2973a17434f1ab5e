"""`bench score`: metrics for estimates that already exist, in folders or in a workspace.

reference/dog.wav            estimate/dog.wav            flat: a file is a scene with one target
reference/song/vocals.wav    estimate/song/vocals.wav    nested: a folder is a scene, its files
reference/song/drums.wav     estimate/song/drums.wav     are its sources
"""

from __future__ import annotations

import csv
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from sepbench.harness.api import Samples, Undefined, Value
from sepbench.harness.audio import Audio, cut_to_common_length, read_audio
from sepbench.harness.errors import AudioMismatchError, BenchError, MissingFileError, UsageError
from sepbench.harness.metrics.catalog import card_of, score_scene
from sepbench.harness.metrics.contract import ScoredItem, ScoredScene
from sepbench.harness.run.grid import require_metrics

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
MIXTURE = "mixture"


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderScene:
    """Files of one scene.

    Attributes:
        references: target -> file; estimates likewise, for the targets that have one.
        mixture: the mixture's file; None = the sum of the references where there are several.
    """

    name: str
    references: Mapping[str, Path]
    estimates: Mapping[str, Path]
    mixture: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredFile:
    """One estimate with its values, or why there are none."""

    scene: str
    target: str
    values: Mapping[str, Value] = field(default_factory=dict)
    error: str = ""


def find_scenes(reference: Path, estimate: Path, mixture: Path | None = None) -> list[FolderScene]:
    """Match files of two folders by name.

    Args:
        reference: folder of true sources, flat or one folder a scene.
        estimate: folder of the same shape; suffixes may differ.
        mixture: folder of mixtures with matching names; in nested folders a file called
            "mixture" beside the references is found by itself.

    Raises:
        UsageError: a folder is missing or holds no audio.
        MissingFileError: no estimate matches any reference.
    """
    for folder in (reference, estimate, *([mixture] if mixture else [])):
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder.")
    nested = sorted(p for p in reference.iterdir() if p.is_dir() and _audio_files(p))
    scenes = [_nested(folder, estimate / folder.name, mixture) for folder in nested]
    estimates, mixtures = _audio_files(estimate), _audio_files(mixture) if mixture else {}
    for name, path in _audio_files(reference).items():
        scenes.append(
            FolderScene(
                name=name,
                references={name: path},
                estimates={name: estimates[name]} if name in estimates else {},
                mixture=mixtures.get(name),
            )
        )
    if not scenes:
        deeper = next((p for p in reference.rglob("*") if p.suffix.lower() in SUFFIXES), None)
        hint = "" if deeper is None else f" There is some deeper: name {deeper.parent.parent}."
        raise UsageError(
            f"{reference} holds no audio ({', '.join(SUFFIXES)}), flat or one folder a scene.{hint}"
        )
    if not any(scene.estimates for scene in scenes):
        raise MissingFileError(
            f"No file below {estimate} has the name of a reference below {reference}, for example "
            f"'{scenes[0].name}'. Estimates carry the names of their references."
        )
    return scenes


def _nested(folder: Path, estimate: Path, mixture: Path | None) -> FolderScene:
    references = _audio_files(folder)
    found = references.pop(MIXTURE, None)
    if mixture is not None:
        found = _audio_files(mixture).get(folder.name, found)
    estimates = _audio_files(estimate) if estimate.is_dir() else {}
    return FolderScene(
        name=folder.name,
        references=references,
        estimates={name: path for name, path in estimates.items() if name in references},
        mixture=found,
    )


def _audio_files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES:
            continue
        if path.stem in found:
            raise UsageError(
                f"{folder} holds {found[path.stem].name} and {path.name}; which of them is meant? "
                "Move one away."
            )
        found[path.stem] = path
    return found


def unmatched(scenes: Sequence[FolderScene], estimate: Path) -> list[str]:
    """Audio files among the estimates that no reference asks for, relative to their folder."""
    used = {path for scene in scenes for path in scene.estimates.values()}
    known = {scene.name for scene in scenes}
    folders = [estimate, *(path for path in estimate.iterdir() if path.is_dir())]
    there = [
        path
        for folder in folders
        for name, path in _audio_files(folder).items()
        if path not in used and not (folder.name in known and name == MIXTURE)
    ]
    return sorted(str(path.relative_to(estimate)) for path in there)


def score_folders(
    scenes: Sequence[FolderScene], metrics: Sequence[str], *, mono: bool, workers: int
) -> Iterator[list[ScoredFile]]:
    """Score scenes in worker processes, in their order; a bad file costs its scene only.

    Raises:
        UsageError: no such metric, or what it needs is missing; before anything is read.
    """
    require_metrics(metrics)
    task = partial(_score_one, metrics=tuple(metrics), mono=mono)
    if workers == 1 or len(scenes) == 1:
        yield from map(task, scenes)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        yield from pool.map(task, scenes)


def _one_thread() -> None:
    """BLAS threads times processes would fight for the cores."""
    import torch

    torch.set_num_threads(1)


def _score_one(scene: FolderScene, metrics: tuple[str, ...], mono: bool) -> list[ScoredFile]:
    missing = [
        ScoredFile(scene=scene.name, target=target, error="MissingFileError: no estimate")
        for target in scene.references
        if target not in scene.estimates
    ]
    if not scene.estimates:
        return missing
    try:
        loaded, rate, mixture = _load(scene, mono)
        items = tuple(
            ScoredItem(
                target=t, reference=loaded[f"reference {t}"], estimate=loaded[f"estimate {t}"]
            )
            for t in scene.estimates
        )
        values = score_scene(
            ScoredScene(
                sample_rate=rate,
                mixture=mixture,
                references={t: loaded[f"reference {t}"] for t in scene.references},
                items=items,
            ),
            metrics,
        )
    except Exception as error:  # a metric plugin may raise anything; the scene's rows say so
        text = f"{type(error).__name__}: {error}"
        return missing + [
            ScoredFile(scene=scene.name, target=t, error=text) for t in scene.estimates
        ]
    return missing + [
        ScoredFile(scene=scene.name, target=item.target, values=found)
        for item, found in zip(items, values, strict=True)
    ]


def _load(scene: FolderScene, mono: bool) -> tuple[dict[str, Samples], int, Samples]:
    """All files of a scene at one rate and length, and the mixture."""
    paths = {f"reference {t}": p for t, p in scene.references.items()}
    paths |= {f"estimate {t}": p for t, p in scene.estimates.items()}
    if scene.mixture is not None:
        paths[MIXTURE] = scene.mixture
    read: dict[str, Audio] = {name: read_audio(path, mono=mono) for name, path in paths.items()}
    rates = {audio.sample_rate for audio in read.values()}
    shapes = {audio.samples.shape[0] for audio in read.values()}
    if len(rates) > 1 or len(shapes) > 1:
        facts = ", ".join(
            f"{name}: {audio.sample_rate} Hz, {audio.samples.shape[0]} channels"
            for name, audio in read.items()
        )
        raise AudioMismatchError(
            f"{scene.name}: the files differ ({facts}). Bring them to one rate; "
            "--mono joins channels."
        )
    rate = rates.pop()
    cut = cut_to_common_length([a.samples for a in read.values()], rate, where=scene.name)
    loaded = dict(zip(read, cut, strict=True))
    if MIXTURE in loaded:
        return loaded, rate, loaded[MIXTURE]
    if len(scene.references) > 1:
        references = [loaded[f"reference {t}"] for t in scene.references]
        return loaded, rate, np.sum(references, axis=0, dtype=np.float32)
    # Alone, a target is its own mixture: metrics that need a residual say that it is silent.
    return loaded, rate, loaded[f"reference {next(iter(scene.references))}"]


def write_csv(path: Path, rows: Sequence[ScoredFile], metrics: Sequence[str]) -> None:
    """One row an estimate: values, and reasons where there is none.

    Raises:
        BenchError: the file cannot be written.
    """
    header = ["scene", "target", *metrics, "error", "undefined"]
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for row in rows:
                values = [row.values.get(metric) for metric in metrics]
                plain = ["" if v is None or isinstance(v, Undefined) else v for v in values]
                reasons = [
                    f"{m}: {v.reason}"
                    for m, v in zip(metrics, values, strict=True)
                    if isinstance(v, Undefined)
                ]
                writer.writerow([row.scene, row.target, *plain, row.error, "; ".join(reasons)])
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror}.") from error


def summarise(rows: Sequence[ScoredFile], metrics: Sequence[str]) -> str:
    """Aligned text: mean and median over finite values, with all that is not in them."""
    lines = [["Metric", "Mean", "Median", "n", "Undefined", "±inf", "Failed"]]
    failed = sum(bool(row.error) for row in rows)
    for metric in metrics:
        card = card_of(metric)
        found = [row.values[metric] for row in rows if metric in row.values]
        numbers = np.array([v for v in found if not isinstance(v, Undefined)], dtype=float)
        if card.noise_floor is not None:  # beyond it there is only rounding, +inf included
            numbers = np.minimum(numbers, card.noise_floor)
        finite = numbers[np.isfinite(numbers)]
        title = f"{card.title} [{card.unit}] ({card.identity})" if card.unit else card.title
        lines.append(
            [
                title,
                f"{finite.mean():.3f}" if len(finite) else "–",
                f"{np.median(finite):.3f}" if len(finite) else "–",
                str(len(finite)),
                str(len(found) - len(numbers)),
                str(len(numbers) - len(finite)),
                str(failed),
            ]
        )
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            line[k].ljust(widths[k]) if k == 0 else line[k].rjust(widths[k])
            for k in range(len(line))
        )
        for line in lines
    )
