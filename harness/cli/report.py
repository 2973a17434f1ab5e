"""`bench report`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sepbench.harness.cli.options import split_names, workspace_option
from sepbench.harness.errors import UsageError


def _heard(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """A number of targets; "all" is more than any list has."""
    if value is None:
        return None
    if value == "all":
        return sys.maxsize
    if not value.isascii() or not value.isdigit():
        raise UsageError(f"--heard {value}: give a number of targets, 0 or more, or all.")
    return int(value)


@click.command("report")
@workspace_option
@click.option(
    "-f",
    "--format",
    "formats",
    multiple=True,
    help="md, csv, latex, json, html, figures. Default: md,csv.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder. Default: WORKSPACE/reports."
)
@click.option("--by", multiple=True, help="In parts: label, stem, snr_db, query, … Writes by-….md.")
@click.option("--bins", help="Edges for a numeric --by, such as -5,0,5.")
@click.option("--errors", is_flag=True, help="Print every recorded failure with its traceback.")
@click.option("--stdout", is_flag=True, help="Print the leaderboard as text instead.")
@click.option(
    "--heard",
    callback=_heard,
    metavar="N|all",
    help="Targets of a protocol that the page draws and plays. Default: 24.",
)
@click.option("--item", "items", multiple=True, help="SCENE~TARGET that it draws and plays too.")
@click.option("--open", "show", is_flag=True, help="Write the page and show it in a browser.")
def command(
    workspace: Path,
    formats: tuple[str, ...],
    output: Path | None,
    by: tuple[str, ...],
    bins: str | None,
    errors: bool,
    stdout: bool,
    heard: int | None,
    items: tuple[str, ...],
    show: bool,
) -> None:
    """Write leaderboards from a workspace; works while a run goes on.

    \b
    bench report
    bench report --format md -o docs/
    bench report --by label --by snr_db
    bench report --open                    (audio where the run kept it: --keep-audio)
    bench report --format html --heard 200
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    if errors:
        from sepbench.harness.run.report import describe_failures

        click.echo(describe_failures(workspace), nl=False)
        return
    if by:
        from sepbench.harness.run import breaking_down
        from sepbench.harness.run.report import write_breakdowns

        edges = breaking_down.parse_edges(bins)
        if stdout:
            texts = breaking_down.breakdown_texts(workspace, split_names(by), edges=edges)
            click.echo("\n".join(t for n, t in texts.items() if n.endswith(".md")), nl=False)
            return
        for path in write_breakdowns(workspace, split_names(by), edges=edges, output=output):
            click.echo(path)
        return
    if stdout:
        from sepbench.harness.run.report import open_board
        from sepbench.harness.store import Workspace
        from sepbench.reports.text import render

        with Workspace(workspace) as opened:
            click.echo(render(open_board(opened)), nl=False)
        return
    from sepbench.harness.run.report import write_reports

    wants_page = show or heard is not None or bool(items)
    names = split_names(formats) or (["html"] if wants_page else ["md", "csv"])
    if wants_page and "html" not in names:
        names.append("html")
    paths = write_reports(workspace, names, output, heard=heard, items=items)
    for path in paths:
        click.echo(path)
    if show:
        import webbrowser

        page = next(path for path in paths if path.suffix == ".html")
        webbrowser.open(page.absolute().as_uri())
