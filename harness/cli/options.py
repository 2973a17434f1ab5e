"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from sepbench.harness.errors import UsageError


def _folder(ctx: click.Context, parameter: click.Parameter, value: Path) -> Path:
    if value == Path():  # what an empty text becomes: the current folder would fill with results
        raise UsageError("The workspace is empty or '.'; name a folder of its own.")
    return value


workspace_option = click.option(
    "-w",
    "--workspace",
    type=click.Path(path_type=Path, file_okay=True),
    default=Path("bench-results"),
    envvar="SEPBENCH_WORKSPACE",
    show_default=True,
    show_envvar=True,
    callback=_folder,
    help="Folder with the results.",
)


def split_names(values: tuple[str, ...]) -> list[str]:
    """`-m a,b -m c` gives a, b, c."""
    names = [name.strip() for value in values for name in value.split(",")]
    if not all(names):
        raise UsageError(f"An empty name was given: {', '.join(map(repr, values))}.")
    return names
