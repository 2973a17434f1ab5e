"""`bench check`."""

from __future__ import annotations

from pathlib import Path

import click

from sepbench.harness.cli.run import root_setting


@click.command("check")
@click.argument("name")
@click.option("--device", default="cpu", show_default=True)
@click.option("--root", "roots", multiple=True, metavar="NAME=FOLDER", help="A dataset's folder.")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]…")
def command(name: str, device: str, roots: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Put a model, dataset or metric through its contract on tiny data.

    \b
    bench check nmf
    bench check mine=my_package.model:MyModel
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.run.checks import check
    from sepbench.harness.settings import resolve

    given = [*overrides, f"device={device}", *(root_setting(text) for text in roots)]
    settings = resolve(workspace=Path("bench-results"), overrides=given)
    failed = False
    for result in check(name, settings):
        detail = f": {result.detail}" if result.detail else ""
        click.echo(f"{result.verdict:8} {result.what}{detail}")
        failed = failed or result.verdict == "FAILED"
    if failed:
        raise click.exceptions.Exit(1)
