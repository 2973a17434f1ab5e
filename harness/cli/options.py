"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

workspace_option = click.option(
    "-w",
    "--workspace",
    type=click.Path(path_type=Path, file_okay=True),
    default=Path("bench-results"),
    envvar="SEPBENCH_WORKSPACE",
    show_default=True,
    show_envvar=True,
    help="Folder with the results.",
)


def split_names(values: tuple[str, ...]) -> list[str]:
    """`-m a,b -m c` gives a, b, c."""
    return [name.strip() for value in values for name in value.split(",") if name.strip()]
