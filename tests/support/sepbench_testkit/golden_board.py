"""A small fixed workspace with real scores: mixture, oracle and two settings of NMF on the demo."""

from __future__ import annotations

import json
from pathlib import Path

from sepbench.harness.api import MetricCard
from sepbench.harness.records import CellFacts
from sepbench.harness.run.report import open_board, write_reports
from sepbench.harness.store import Workspace
from sepbench.reports.text import render
from sepbench_testkit.book import Book

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "reports"
FORMATS = ("md", "csv", "latex", "json")
FILES = ("leaderboard.md", "leaderboard.csv", "leaderboard.tex", "leaderboard.json")
ROLES = {"mixture": "lower", "oracle-irm": "upper"}
CARDS = (
    MetricCard(metric_id="si_sdr", version=1, title="SI-SDR", improvement="si_sdri"),
    MetricCard(
        metric_id="bss_sir",
        version=1,
        title="SIR (BSS Eval v3)",
        improvement="bss_siri",
        noise_floor=60.0,
        parameters={"filter_length": 512},
    ),
    MetricCard(
        metric_id="bss_sar",
        version=1,
        title="SAR (BSS Eval v3)",
        noise_floor=60.0,
        parameters={"filter_length": 512},
        defined_for_mixture=False,
    ),
)
PROVENANCE = {
    "sepbench": "0.1.0",
    "python": "3.11.7",
    "commit": "0123456789abcdef",
    "dirty": False,
    "packages": {"torch": "2.11.0", "fast-bss-eval": "0.1.4"},
}


def write_workspace(folder: Path) -> None:
    """The workspace, made anew."""
    models = json.loads((GOLDEN / "scores.json").read_text("utf-8"))
    book = Book(folder, scenes=40)
    book.run_id = book.workspace.begin_run({}, PROVENANCE)
    for label, by_metric in models.items():
        values = [
            dict(zip(by_metric, each, strict=True))
            for each in zip(*by_metric.values(), strict=True)
        ]
        cards = [card for card in CARDS if card.metric_id in by_metric]
        cell = book.cell(label, values, role=ROLES.get(label, "model"), cards=cards)
        book.workspace.set_facts(cell, CellFacts(device="cpu", precision="float32"))
    book.close()


def write_text(folder: Path) -> str:
    """The table as a terminal shows it."""
    with Workspace(folder) as workspace:
        return render(open_board(workspace))


def write_files(folder: Path, target: Path) -> None:
    """Every file that has a golden copy."""
    write_workspace(folder)
    write_reports(folder, FORMATS, target)
    (target / "table.txt").write_text(write_text(folder), encoding="utf-8")
