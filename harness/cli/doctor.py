"""`bench doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from sepbench.harness.cli.options import workspace_option


@click.command("doctor")
@workspace_option
def command(workspace: Path) -> None:
    """Versions, codecs, compiler, devices, disk: is this machine ready?"""
    from sepbench.harness.run.doctor import examine

    problems = 0
    for verdict, what, detail in examine(workspace):
        click.echo(f"{verdict:8} {what:22} {detail}")
        problems += verdict == "PROBLEM"
    if problems:
        raise click.exceptions.Exit(1)
