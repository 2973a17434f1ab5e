"""`bench compare`."""

from __future__ import annotations

from pathlib import Path

import click

from sepbench.harness.cli.options import workspace_option
from sepbench.harness.errors import UsageError


@click.command("compare")
@click.argument("names", nargs=-1, metavar="[A B]")
@workspace_option
@click.option("--metric", help="Metric id. Default: every one that both have.")
@click.option("--protocol", help="Only this protocol. Default: all that both have.")
@click.option("--to", "to", type=click.Choice(["published"]), help="Compare A with these instead.")
@click.option("--bounds", is_flag=True, help="With the mixture and the oracles on the board.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write all numbers here.")
def command(
    names: tuple[str, ...],
    workspace: Path,
    metric: str | None,
    protocol: str | None,
    to: str | None,
    bounds: bool,
    csv_file: Path | None,
) -> None:
    """Which of two rows is better, and how sure is that? Without A B: every pair of models.

    \b
    bench compare nmf oracle-irm
    bench compare --to published mixture
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.run import comparing

    if to:
        if len(names) != 1:
            raise UsageError("--to published takes one row: bench compare --to published LABEL.")
        held = comparing.compare_to_published(workspace, names[0], protocol)
        text, table = comparing.render_published(held), comparing.published_csv(held)
    else:
        if len(names) not in (0, 2):
            raise UsageError("Name two rows, or none for every pair: bench compare A B.")
        found = comparing.compare_rows(
            workspace, names, metric=metric, protocol=protocol, bounds=bounds
        )
        text = comparing.render(found, items=bool(names))
        table = comparing.comparisons_csv(found)
    if csv_file:
        comparing.write_text(csv_file, table)
    click.echo(text, nl=False)
