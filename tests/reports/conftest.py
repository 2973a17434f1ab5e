"""A small board with items and audio, made by hand: what every format is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sepbench_testkit.browser import Page, starter

from sepbench.harness.aggregate import Cell, Column, Row, Table
from sepbench.harness.compare import Comparison
from sepbench.harness.paired import paired_test
from sepbench.harness.published import PublishedRow
from sepbench.reports.contract import (
    CellItems,
    Leaderboard,
    ProtocolItems,
    Recording,
    TargetRecord,
)

RATE = 16000
SECONDS = 1.5
HOSTILE = '</script><script>window.broken = true</script><img src=x onerror="window.broken=1">'
LABELS = ("dog", "sea_waves", "rain", HOSTILE)
SI_SDR = Column(name="si_sdr", title="SI-SDR", unit="dB", identity="si_sdr@1", metric="si_sdr")
SI_SDRI = Column(
    name="si_sdri",
    title="SI-SDRi",
    unit="dB",
    identity="si_sdr@1 minus the mixture's",
    metric="si_sdr",
    improvement=True,
)


def make_row(cell_id: int, label: str, values: Sequence[float], role: str = "model") -> Row:
    mean = float(np.mean(values))
    cell = Cell(value=mean, low=mean - 1.0, high=mean + 1.0, averaged=len(values))
    return Row(
        label=label,
        baseline=label,
        version="1",
        role=role,
        query="–" if role != "model" else "text",
        status="active",
        reason="",
        cells={"si_sdr": cell} | ({} if role == "lower" else {"si_sdri": cell}),
        scored=len(values),
        expected=len(values),
        complete=True,
        real_time_factor=0.01 * cell_id,
        peak_memory=250_000_000 * cell_id,
        parameters=1_000_000 * cell_id,
        device="cpu",
        precision="float32",
        cell_id=cell_id,
        identity={"model": {"baseline": label, "settings": {"rank": cell_id}}},
    )


def make_board(num_targets: int = 12, audio: bool = True) -> Leaderboard:
    """mixture, two models (the second better everywhere) and an oracle over some targets."""
    values = {
        1: [0.0 + (k % 3) for k in range(num_targets)],
        2: [2.0 + (k % 5) for k in range(num_targets)],
        3: [4.5 + (k % 4) for k in range(num_targets)],
        4: [15.0 + (k % 2) for k in range(num_targets)],
    }
    rows = (
        make_row(1, "mixture", values[1], "lower"),
        make_row(2, "slow", values[2]),
        make_row(3, "net_a", values[3]),
        make_row(4, "oracle", values[4], "upper"),
    )
    table = Table(
        protocol="kit",
        dataset="data",
        aggregate="mean over items",
        columns=(SI_SDR, SI_SDRI),
        rows=rows,
    )
    gains = np.array(values[3]) - np.array(values[2])
    comparison = Comparison(
        protocol="kit",
        dataset="data",
        metric="si_sdr@1",
        title="SI-SDR",
        unit="dB",
        higher_is_better=True,
        a="slow",
        b="net_a",
        cell_a=2,
        cell_b=3,
        query_a="text",
        query_b="text",
        tie_band=0.1,
        test=paired_test(-gains, [str(k) for k in range(num_targets)], tie_band=0.1),
        wilcoxon_holm=0.002,
        permutation_holm=0.001,
    )
    published = PublishedRow(
        system="Net",
        variant="Net & Co",
        dataset="data",
        split="test",
        query="text",
        metric="SI-SDR",
        value=7.25,
        unit="dB",
        source="Paper, table 1",
        note="",
        protocol="kit",
        metric_id="si_sdr",
    )
    targets = tuple(
        TargetRecord(
            scene=f"scene-{k:05d}",
            target=f"t{k % 2}",
            label=LABELS[k % 4],
            cluster=str(k),
            attributes={"label": LABELS[k % 4], "snr_db": float(k % 7 - 3)},
        )
        for k in range(num_targets)
    )
    cells = tuple(
        CellItems(
            cell_id=row.cell_id,
            targets=range(num_targets),
            queries=[f"the sound of {target.label}" for target in targets]
            if row.role == "model"
            else [""] * num_targets,
            query_indices=[0] * num_targets,
            values={name: np.array(values[row.cell_id], dtype=float) for name in row.cells},
        )
        for row in rows
    )
    items = ProtocolItems(targets=targets, cells=cells)
    return Leaderboard(
        tables=(table,),
        provenance=("sepbench 0.1.0", "Python 3.11"),
        best={3: frozenset({"si_sdr"})},
        comparisons=(comparison,),
        published=(published,),
        items=lambda _: items,
        audio=Tones(targets) if audio else None,
        most_heard=6,
    )


class Tones:
    """Kept audio that is made up: a tone a source."""

    def __init__(self, targets: Sequence[TargetRecord]) -> None:
        self._targets = targets

    def kept(self, protocol: str) -> list[tuple[str, str]]:
        return [target.key for target in self._targets[:8]]

    def open(self, protocol: str, scene: str, target: str) -> Recording:
        reference, other = tone(440.0), 0.5 * tone(2000.0)
        mixture = reference + other
        return Recording(
            sample_rate=RATE,
            mixture=mixture,
            reference=reference,
            estimates={
                (1, 0): mixture,
                (2, 0): reference + 0.3 * other,
                (3, 0): (0.2 * reference).astype(np.float32),
                (4, 0): reference,
            },
            examples={"clip-a": tone(880.0), "clip-b": 0.1 * tone(660.0)},
        )

    def problems(self) -> list[str]:
        return []


def tone(hertz: float) -> np.ndarray:
    time = np.arange(int(RATE * SECONDS)) / RATE
    return (0.4 * np.sin(2 * np.pi * hertz * time))[None].astype(np.float32)


@pytest.fixture
def board() -> Leaderboard:
    return make_board()


@pytest.fixture
def board_of() -> Callable[[int], Leaderboard]:
    """Makes the board with that many targets."""
    return make_board


@pytest.fixture(scope="session")
def written_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sepbench.reports import html

    (page,) = html.REPORT.write(make_board(), tmp_path_factory.mktemp("page"))
    return page


@pytest.fixture(scope="session")
def many_items_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sepbench.reports import html

    (page,) = html.REPORT.write(make_board(10_000, audio=False), tmp_path_factory.mktemp("many"))
    return page


@pytest.fixture(scope="session")
def start_browser() -> Iterator[Callable[..., Any]]:
    started: list[Any] = []
    yield starter(started)
    for driver in started:
        driver.quit()


@pytest.fixture(scope="session")
def desktop(start_browser: Callable[..., Any]) -> Any:
    return start_browser()


@pytest.fixture
def page(desktop: Any, written_page: Path) -> Iterator[Page]:
    """The page on a desk; afterwards nothing may have gone wrong, and nothing may have left it."""
    found = Page(desktop, written_page.as_uri())
    found.open()

    yield found

    assert found.complaints() == []
    assert found.schemes() - {"about", "data", "file"} == set()
    assert found.run("return window.broken") is None
