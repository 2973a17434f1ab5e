"""What the page draws and plays: which targets, their pictures and their sound files.

Shapes: T targets of a protocol, C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.aggregate import Table
from sepbench.harness.api import Samples
from sepbench.reports.contract import ItemAudio, Leaderboard, ProtocolItems, Recording
from sepbench.reports.loudness import SILENT, loudness
from sepbench.reports.spectrograms import mel_edges, write_pictures

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

TARGET_LUFS = -23.0
MOST_GAIN = 30.0  # dB; noise far below is not blown up
MOST_SECONDS = 30  # of a track; whole ones would make a page of gigabytes
_PEAK = 0.98
_TICKS = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)


@dataclass(frozen=True, slots=True)
class _Source:
    """One thing to hear; `kind`: mixture, reference, estimate or residual."""

    kind: str
    samples: Samples
    cell: int = 0
    query: int = 0


def kept_targets(board: Leaderboard, table: Table, items: ProtocolItems) -> list[int]:
    """Targets that could be drawn: at least one estimate of them is kept."""
    kept = set(board.audio.kept(table.protocol)) if board.audio is not None else set()
    return [place for place, target in enumerate(items.targets) if target.key in kept]


def chosen_targets(
    board: Leaderboard, table: Table, items: ProtocolItems, kept: Sequence[int] | None = None
) -> tuple[list[int], list[str]]:
    """Targets to draw, in list order, and how they were chosen, in words.

    Half are evenly spread over the list, half are those on which models differ most; those asked
    for by name come on top.

    Args:
        board: says how many.
        table: the protocol's.
        items: its items.
        kept: as of `kept_targets`, where that is known.
    """
    places = kept_targets(board, table, items) if kept is None else kept
    if not places:
        return [], ["No audio: run with --keep-audio to hear the estimates."]
    if len(places) <= board.most_heard:
        return list(places), [f"All {len(places)} targets with kept estimates can be heard."]
    named = set(board.asked_for)
    asked = {place for place in places if items.targets[place].address in named}
    even = board.most_heard - board.most_heard // 2
    chosen = {places[k * len(places) // even] for k in range(even)}
    spread = _spreads(table, items)
    by_spread = sorted(places, key=lambda place: (-spread[place], place))
    for place in by_spread:
        if len(chosen) >= board.most_heard:
            break
        chosen.add(place)
    ways = []
    if even:
        ways.append(f"{even} evenly spread over the list")
    if len(chosen) > even:
        ways.append(f"{len(chosen) - even} on which the models differ most")
    if asked - chosen:
        ways.append(f"{len(asked - chosen)} asked for by name")
    how = f": {', '.join(ways)}" if ways else ""
    return sorted(chosen | asked), [
        f"{len(chosen | asked)} of {len(places)} targets with kept estimates can be heard{how}. "
        "bench report --format html --heard N draws more."
    ]


def _spreads(table: Table, items: ProtocolItems) -> Floats:
    """Largest difference between models by the first column, (T,); 0 where there is none."""
    roles = {row.cell_id: row.role for row in table.rows}
    models = [cell for cell in items.cells if roles[cell.cell_id] == "model"]
    low = np.full(len(items.targets), np.inf)
    high = np.full(len(items.targets), -np.inf)
    for cell in models:
        column = next((c.name for c in table.columns if c.name in cell.values), None)
        if column is None:
            continue
        values = cell.values[column]
        use = np.isfinite(values)
        where = np.asarray(cell.targets, dtype=np.intp)[use]
        np.minimum.at(low, where, values[use])
        np.maximum.at(high, where, values[use])
    return np.where(high >= low, high - np.where(np.isfinite(low), low, 0.0), 0.0)


def write_media(
    audio: ItemAudio, table: Table, items: ProtocolItems, places: Sequence[int], folder: Path
) -> dict[str, Any]:
    """Write sound and pictures of targets; returns what the page must know of them.

    Args:
        audio: where recordings come from.
        table: the protocol's.
        items: its items.
        places: targets to write.
        folder: where to; a folder a target is made in it, and one for the queries' examples.

    Returns:
        "targets": by place, those of which there is a recording; "examples": by clip id.
    """
    # Models first; the mixture's estimate is the mixture.
    rows = sorted(table.rows, key=lambda row: row.role != "model")
    shown = [row.cell_id for row in rows if row.role != "lower"]
    found: dict[str, Any] = {}
    examples: dict[str, Any] = {}
    for place in places:
        target = items.targets[place]
        recording = audio.open(table.protocol, target.scene, target.target)
        if recording is None:
            continue
        inside = folder / str(place)
        inside.mkdir(parents=True, exist_ok=True)
        found[str(place)] = _write_target(recording, shown, inside)
        for clip_id, samples in recording.examples.items():
            if clip_id not in examples:
                (folder / "examples").mkdir(exist_ok=True)
                path = folder / "examples" / f"{len(examples)}.flac"
                part = samples[:, : MOST_SECONDS * recording.sample_rate]
                described = _write_sound(part, recording.sample_rate, path)
                examples[clip_id] = {"file": f"examples/{path.stem}", **described}
    return {"targets": found, "examples": examples}


def _write_target(recording: Recording, shown: Sequence[int], folder: Path) -> dict[str, Any]:
    rate = recording.sample_rate
    start = excerpt_start(recording.reference, rate)
    whole = recording.mixture.shape[1]
    sources = [
        replace(source, samples=source.samples[:, start : start + MOST_SECONDS * rate])
        for source in _sources(recording, shown)
    ]
    names = [
        source.kind if source.cell == 0 else f"{source.kind}-{source.cell}-{source.query}"
        for source in sources
    ]
    write_pictures(
        [source.samples for source in sources], rate, [folder / f"{name}.png" for name in names]
    )
    described = [
        {
            "kind": source.kind,
            "cell": source.cell,
            "query": source.query,
            "file": name,
            **_write_sound(source.samples, rate, folder / f"{name}.flac"),
        }
        for source, name in zip(sources, names, strict=True)
    ]
    edges = mel_edges(rate)
    ticks = [
        [float(hertz), round(float(np.searchsorted(edges, hertz)) / len(edges), 4)]
        for hertz in _TICKS
        if hertz < 0.9 * rate / 2
    ]
    return {
        "seconds": round(sources[0].samples.shape[1] / rate, 4),
        "start": start // rate,
        "whole": round(whole / rate, 4),
        "rate": rate,
        "ticks": ticks,
        "examples": list(recording.examples),
        "sources": described,
    }


def _write_sound(samples: Samples, rate: int, path: Path) -> dict[str, Any]:
    """Write (C, N) near the common loudness; returns the gain in dB and the loudness before it."""
    import soundfile

    level = loudness(samples, rate)
    peak = float(np.abs(samples).max(initial=0.0))
    room = 20 * np.log10(_PEAK / peak) if peak else 0.0
    gain = float(min(TARGET_LUFS - level, MOST_GAIN, room)) if level > SILENT else 0.0
    scaled = np.clip(samples.T * 10 ** (gain / 20), -1.0, 1.0)
    soundfile.write(path, scaled, rate, subtype="PCM_16", format="FLAC")
    return {
        "gain": round(gain, 2),
        "loudness": round(level, 2) if level > SILENT else None,
    }


def excerpt_start(reference: Samples, sample_rate: int) -> int:
    """First sample of the part that is played: where the target has most energy.

    Args:
        reference: (C, N).
        sample_rate: Hz; the part starts at a whole second.
    """
    seconds = -(-reference.shape[1] // sample_rate)
    if seconds <= MOST_SECONDS:
        return 0
    edges = np.arange(seconds) * sample_rate
    energy = (np.asarray(reference, dtype=np.float64) ** 2).sum(axis=0)
    of_second = np.add.reduceat(energy, edges)
    upto = np.concatenate([[0.0], np.cumsum(of_second)])
    return int((upto[MOST_SECONDS:] - upto[:-MOST_SECONDS]).argmax()) * sample_rate


def _sources(recording: Recording, shown: Sequence[int]) -> list[_Source]:
    """Mixture, reference, each row's estimate, and what each left behind."""
    mixture = recording.mixture
    usable = [
        (cell, query, estimate)
        for cell in shown
        for (of, query), estimate in recording.estimates.items()
        if of == cell and estimate.shape == mixture.shape
    ]
    return [
        _Source("mixture", mixture),
        _Source("reference", recording.reference),
        *(_Source("estimate", estimate, cell, query) for cell, query, estimate in usable),
        *(_Source("residual", mixture - estimate, cell, query) for cell, query, estimate in usable),
    ]
