"""`bench describe`."""

from __future__ import annotations

from typing import Any

import click

LONG = 40  # characters; longer members of a list get a line each


@click.command("describe")
@click.argument("name")
def command(name: str) -> None:
    """Everything known about a model, dataset, protocol, metric, encoder or report.

    \b
    bench describe si_sdr
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.run.listing import describe

    for kind, facts in describe(name):
        click.echo(f"{kind} {name}")
        for key, value in facts.items():
            if value not in (None, "", [], {}, ()):
                click.echo(f"  {key:22} {_words(value)}")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_words(inner)}" for key, inner in value.items() if inner != "")
    if isinstance(value, list | tuple):
        sentences = any(isinstance(v, dict) or len(str(v)) > LONG for v in value)
        separator = "\n" + " " * 25 if sentences else ", "
        return separator.join(_words(inner) for inner in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
