"""`bench run`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sepbench.harness.cli.options import split_names, workspace_option
from sepbench.harness.errors import UsageError

if TYPE_CHECKING:
    from sepbench.harness.run.summary import RunSummary
    from sepbench.harness.settings import RunSettings


@click.command("run")
@click.option("-m", "--model", "models", multiple=True, help="NAME[,NAME…] or LABEL=NAME.")
@click.option("-d", "--dataset", "datasets", multiple=True, help="NAME[:PROTOCOL][,…].")
@workspace_option
@click.option("--root", "roots", multiple=True, metavar="NAME=FOLDER", help="A dataset's folder.")
@click.option("--limit", type=click.IntRange(min=1), help="First so many scenes of each list.")
@click.option("--device", help="auto, cpu, cuda, cuda:1.")
@click.option("--keep-audio", is_flag=True, help="Keep every estimate in the workspace.")
@click.option("--max-failures", type=click.IntRange(min=1), help="Stop after so many failed items.")
@click.option("--dry-run", is_flag=True, help="Show the plan and what is left; do nothing.")
@click.option("--show-config", is_flag=True, help="Print the resolved settings; do nothing.")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]…")
def command(
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    workspace: Path,
    roots: tuple[str, ...],
    limit: int | None,
    device: str | None,
    keep_audio: bool,
    max_failures: int | None,
    dry_run: bool,
    show_config: bool,
    overrides: tuple[str, ...],
) -> None:
    """Run every model on every dataset; what is already done is not done again.

    \b
    bench run -m nmf -d demo
    bench run -m nmf,mine=nmf models.mine.n_iter=200 -d demo query.shots=[1,3]
    bench run -m nmf -d esc50:esc10-rebuilt --root esc50=/data/esc50 batch_size=4

    Settings after the options are KEY=VALUE; `--show-config` prints them all.
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.settings import resolve

    given = {"limit": limit, "device": device, "max_failures": max_failures}
    options = [f"{key}={value}" for key, value in given.items() if value is not None]
    options += ["keep_audio=true"] * keep_audio
    options += [root_setting(text) for text in roots]
    settings = resolve(
        workspace=workspace,
        models=split_names(models),
        datasets=split_names(datasets),
        overrides=[*overrides, *options],
    )
    if show_config:
        _print_config(settings)
    elif dry_run:
        from sepbench.harness.run.preview import preview

        click.echo(preview(settings))
    else:
        _run(settings)


def root_setting(text: str) -> str:
    """`NAME=FOLDER` as a setting."""
    from sepbench.harness.composition import literal

    name, separator, folder = text.partition("=")
    if not (name and separator and folder):
        raise UsageError(f"--root {text}: expected NAME=FOLDER.")
    return f"datasets.{name}.root={literal(folder)}"


def _print_config(settings: RunSettings) -> None:
    import yaml

    click.echo(yaml.safe_dump(dict(settings.resolved), sort_keys=False), nl=False)


def _run(settings: RunSettings) -> None:
    from sepbench.harness.run.grid import run_grid
    from sepbench.harness.run.report import open_board, write_reports
    from sepbench.harness.store import Workspace
    from sepbench.reports.text import render

    # stdout is data: what plugins print while the grid is planned goes to stderr.
    with redirect_stdout(sys.stderr):
        summary = run_grid(settings)
    with Workspace(settings.workspace) as workspace:
        protocols = list(dict.fromkeys(cell.protocol for cell in summary.cells))
        text = render(open_board(workspace, protocols))
    files = write_reports(settings.workspace, ["md", "csv"])
    click.echo(f"{summary.done} items done. Written: {', '.join(map(str, files))}", err=True)
    _explain(summary)
    click.echo(text, nl=False)  # last: a reader such as `head` may hang up
    if not summary.ok:
        raise click.exceptions.Exit(1)


def _explain(summary: RunSummary) -> None:
    for label, reason in summary.failed_cells:
        click.echo(f"Error: {label}: {reason}", err=True)
    for (label, kind), (count, text) in summary.errors.items():
        click.echo(f"Error: {label}: {count} × {kind}, for example {text}", err=True)
    if not summary.ok:
        click.echo(
            "The same command tries the missing and failed items again; "
            "`bench report --errors` shows each with its traceback.",
            err=True,
        )
