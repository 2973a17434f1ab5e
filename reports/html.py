"""The page: one static folder that opens from disk, with everything in it.

`html/index.html` with its scripts and style, `data/` in pieces, `media/` with pictures and sound.
Charts are SVG drawn by the page's own script: a chart library would be ten times the page's size,
and its marks could be neither focused by keyboard nor follow the page's theme.
"""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

from sepbench.harness.errors import WorkspaceError
from sepbench.reports.contract import Leaderboard, ProtocolItems
from sepbench.reports.page_data import protocol_data, write_items, write_script
from sepbench.reports.page_media import chosen_targets, write_media

SCRIPTS = (
    "data.js",
    "draw.js",
    "leaderboard.js",
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
            WorkspaceError: `html` is there and was not written by this report.
        """
        target = folder / "html"
        _clear(target)
        (target / "data").mkdir(parents=True)
        page = files("sepbench.reports.page")
        for name in (*SCRIPTS, STYLE):
            (target / name).write_bytes(page.joinpath(name).read_bytes())
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
    places, remarks = chosen_targets(board, table, items)
    if places and board.audio is not None:
        media = write_media(board.audio, table, items, places, target / "media" / prefix)
        if len(media) < len(places):
            remarks = [*remarks, *board.audio.problems()]
        name = f"{prefix}-media"
        write_script(
            target / "data" / f"{name}.js",
            name,
            {"kind": "media", "folder": f"media/{prefix}", "targets": media},
        )
        pieces.append(name)
    return protocol_data(board, table, items, remarks) | {"pieces": pieces}, pieces


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
        datasets=datasets, scripts=SCRIPTS, style=STYLE, provenance=board.provenance
    )
