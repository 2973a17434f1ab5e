"""The page: one static folder that opens from disk, with everything in it.

`html/index.html` with its scripts and style, `data/` in pieces, `media/` with pictures and sound.
Charts are drawn by Vega-Lite, which lies beside the page; it may neither load nor evaluate
anything, and its marks take the page's colours, tooltip and keyboard focus.
"""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

from sepbench.harness.errors import UsageError, WorkspaceError
from sepbench.reports.contract import Leaderboard, ProtocolItems
from sepbench.reports.page_data import protocol_data, write_items, write_script
from sepbench.reports.page_media import chosen_targets, kept_targets, write_media
from sepbench.reports.vega import SCRIPT, write_vega

SCRIPTS = (
    "data.js",
    "draw.js",
    "leaderboard.js",
    "chart.js",
    "specs.js",
    "charts.js",
    "player.js",
    "explorer.js",
    "app.js",
)
STYLE = "style.css"
MARK = "sepbench-page"


class HtmlReport:
    """`html/index.html` and what it needs."""

    name = "html"
    summary = "a page to sort, compare and listen; opens from disk"

    def write(self, board: Leaderboard, folder: Path) -> list[Path]:
        """Write the folder `html` anew; returns the page.

        Raises:
            UsageError: an item is asked for by name that cannot be drawn.
            WorkspaceError: `html` is there and was not written by this report.
        """
        _check_asked(board)
        target = folder / "html"
        _clear(target)
        (target / "data").mkdir(parents=True)
        page = files("sepbench.reports.page")
        for name in (*SCRIPTS, STYLE):
            (target / name).write_bytes(page.joinpath(name).read_bytes())
        write_vega(target)
        pieces: list[str] = []
        protocols = []
        for index, table in enumerate(board.tables):
            items = board.items(table) if board.items is not None else None
            data, more = _protocol(board, index, items, target)
            protocols.append(data)
            pieces += more
        write_script(
            target / "data" / "board.js",
            "board",
            {"provenance": list(board.provenance), "protocols": protocols},
        )
        path = target / "index.html"
        path.write_text(_render(board), encoding="utf-8")
        (target / MARK).write_text("Written by `bench report`; replaced as a whole.\n", "utf-8")
        return [path]


REPORT = HtmlReport()


def _protocol(
    board: Leaderboard, index: int, items: ProtocolItems | None, target: Path
) -> tuple[dict[str, object], list[str]]:
    table = board.tables[index]
    if items is None:
        return protocol_data(board, table, None, ()) | {"pieces": []}, []
    prefix = f"p{index}"
    pieces = write_items(items, prefix, target / "data")
    kept = kept_targets(board, table, items)
    places, remarks = chosen_targets(board, table, items, kept)
    if places and board.audio is not None:
        media = write_media(board.audio, table, items, places, target / "media" / prefix)
        remarks = [*remarks, *board.audio.problems()]
        name = f"{prefix}-media"
        write_script(
            target / "data" / f"{name}.js",
            name,
            {
                "kind": "media",
                "folder": f"media/{prefix}",
                "kept": "all" if len(kept) == len(items.targets) else kept,
                **media,
            },
        )
        pieces.append(name)
    return protocol_data(board, table, items, remarks) | {"pieces": pieces}, pieces


def _check_asked(board: Leaderboard) -> None:
    missing = set(board.asked_for)
    for table in board.tables if missing else ():
        if board.items is not None:
            items = board.items(table)
            missing -= {items.targets[k].address for k in kept_targets(board, table, items)}
    if missing:
        raise UsageError(
            f"No item '{min(missing)}' with a kept estimate. Items are named SCENE~TARGET, as the "
            "page's address does when one is open; estimates are kept by bench run --keep-audio."
        )


def _clear(target: Path) -> None:
    if target.exists():
        if not (target / MARK).is_file() and any(target.iterdir()):
            raise WorkspaceError(
                f"{target} holds files that are no page of ours; it is not replaced. Remove it, or "
                "name another folder with --output."
            )
        shutil.rmtree(target)


def _render(board: Leaderboard) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sepbench.reports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    datasets = list(dict.fromkeys(table.dataset for table in board.tables))
    return environment.get_template("index.html").render(
        datasets=datasets, scripts=(SCRIPT, *SCRIPTS), style=STYLE, provenance=board.provenance
    )
