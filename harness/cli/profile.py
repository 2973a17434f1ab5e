"""`bench profile`."""

from __future__ import annotations

from pathlib import Path

import click

from sepbench.harness.cli.options import workspace_option


@click.command("profile")
@click.argument("folder", metavar="[WORKSPACE]", required=False, type=click.Path(path_type=Path))
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(folder: Path | None, workspace: Path, as_json: bool) -> None:
    """Where a grid's time goes, which stage holds it back, and which setting helps.

    \b
    bench profile bench-results
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.run.profiling import profile, profile_text

    found = profile(folder or workspace)
    click.echo(found.as_json() if as_json else profile_text(found))
