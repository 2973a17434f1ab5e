"""The article's picture: spectrograms of mixture, target and each estimate, an item a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sepbench.harness.aggregate import Table
from sepbench.reports.contract import Leaderboard, ProtocolItems, Recording, TargetRecord
from sepbench.reports.page_media import chosen_targets
from sepbench.reports.spectrograms import COLOURS, RANGE_DB, decibels, mel_edges, mel_spectrogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LETTERS = 28
GRID_ROWS = 4


def short_name(text: str) -> str:
    """A name that leaves room for the figure."""
    words = " ".join(text.replace("_", " ").split())
    return words if len(words) <= MOST_LETTERS else words[: MOST_LETTERS - 1] + "…"


def spectrogram_grid(board: Leaderboard, table: Table, items: ProtocolItems) -> Figure | None:
    """Mixture, target and each row's estimate, an item a line, one colour scale a line."""
    opened = _recordings(board, table, items)
    rows = [row for row in table.rows if row.role != "lower" and row.status == "active"]
    if not opened:
        return None
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    heads = ["Mixture", "Target", *(short_name(row.label) for row in rows)]
    figure = Figure(figsize=(1.6 * len(heads) + 1.1, 1.2 * len(opened) + 0.6))
    panes = figure.subplots(len(opened), len(heads), squeeze=False)
    for line, (target, recording) in enumerate(opened):
        _draw_line(panes[line], recording, [row.cell_id for row in rows])
        name = short_name(target.label or target.target)
        panes[line, 0].set_ylabel(f"{name}\nfrequency [kHz]", fontsize=7)
        for pane in panes[line, 1:]:
            pane.tick_params(labelleft=False)
    for head, pane in zip(heads, panes[0], strict=True):
        pane.set_title(head, fontsize=8)
    for pane in panes[-1]:
        pane.set_xlabel("time [s]", fontsize=7)
    scale = ScalarMappable(norm=Normalize(-RANGE_DB, 0), cmap=COLOURS)
    bar = figure.colorbar(scale, ax=panes, aspect=40, pad=0.01, fraction=0.03)
    bar.set_label("dB, 0 = the mixture's loudest", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    return figure


def _recordings(
    board: Leaderboard, table: Table, items: ProtocolItems
) -> list[tuple[TargetRecord, Recording]]:
    """Up to `GRID_ROWS` targets with audio, of different classes as far as there are."""
    places, _ = chosen_targets(board, table, items)
    if board.audio is None or not places:
        return []
    step = max(1, len(places) // GRID_ROWS)
    spread = [place for start in range(step) for place in places[start::step]]
    firsts: dict[str, int] = {}
    for place in spread:
        target = items.targets[place]
        firsts.setdefault(target.label or target.target, place)
    chosen = [*firsts.values(), *(place for place in spread if place not in firsts.values())]
    opened = []
    for place in chosen:
        target = items.targets[place]
        recording = board.audio.open(table.protocol, target.scene, target.target)
        if recording is not None:
            opened.append((target, recording))
        if len(opened) == GRID_ROWS:
            break
    return opened


def _draw_line(panes: Any, recording: Recording, cells: list[int]) -> None:
    rate = recording.sample_rate
    first = {cell: query for cell, query in sorted(recording.estimates, reverse=True)}
    signals = [
        recording.mixture,
        recording.reference,
        *(recording.estimates.get((cell, first.get(cell, 0))) for cell in cells),
    ]
    loudest = float(mel_spectrogram(recording.mixture, rate).max(initial=0.0)) or 1.0
    seconds = recording.mixture.shape[1] / rate
    edges = mel_edges(rate)
    ticks = [hertz for hertz in (200, 1000, 5000) if hertz < rate / 2]
    for pane, signal in zip(panes, signals, strict=True):
        pane.grid(visible=False)
        pane.set_yticks([])
        if signal is None:
            pane.set_xticks([])
            pane.text(0.5, 0.5, "not kept", ha="center", va="center", transform=pane.transAxes)
            continue
        pane.imshow(
            decibels(mel_spectrogram(signal, rate), loudest),
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, len(edges)),
            cmap=COLOURS,
            vmin=-RANGE_DB,
            vmax=0,
            interpolation="nearest",
        )
        pane.tick_params(labelsize=7, length=2)
    panes[0].set_yticks(
        [float(np.searchsorted(edges, hertz)) for hertz in ticks],
        [f"{hertz / 1000:g}" for hertz in ticks],
    )
