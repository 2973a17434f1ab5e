"""`bench list`."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap

import click

KINDS = (
    *("models", "datasets", "protocols", "metrics", "encoders", "postprocesses", "reports"),
    "published",
)


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(kind: str | None, as_json: bool) -> None:
    """What there is, built in and from plugins. Without KIND: everything.

    \b
    bench list models
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.run.listing import list_kind

    # Published numbers are many; they are shown when they are asked for.
    kinds = [kind] if kind else [each for each in KINDS if each != "published"]
    found = {each: list_kind(each) for each in kinds}
    if as_json:
        click.echo(json.dumps(found[kind] if kind else found, indent=2, ensure_ascii=False))
        return
    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns if terminal else 1000
    for each, rows in found.items():
        if not kind:
            click.echo(f"{each}:")
        for row in rows:
            package = "" if row["package"] == "sepbench" else f"  [{row['package']}]"
            head = f"  {row['name']:18} "
            text = textwrap.shorten(row["facts"] + package, max(20, width - len(head)))
            click.echo(head + (text if terminal else row["facts"] + package))
