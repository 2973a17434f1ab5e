"""`bench weights`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sepbench.harness.run.weights import Outcome


@click.group("weights")
def command() -> None:
    """Checkpoints and tokenizers: what is there, fetch it, add it by hand, hash it again.

    They lie in the folder SEPBENCH_WEIGHTS; without it, in ~/.cache/sepbench/weights.

    \b
    bench weights status
    bench weights pull audiosep-clap
    bench weights add lassnet LASSNet.pt
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped


@command.command("status")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(names: tuple[str, ...], as_json: bool) -> None:
    """What is installed, and where each name comes from.

    sha256: published = the publisher's file; other = another one, added with --other; recorded =
    none is published; unrecorded = put there by hand; changed = not the file that was added.
    """
    from sepbench.harness.run.weights import status

    rows = status(names)
    if as_json:
        found = [dataclasses.asdict(row) for row in rows]
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    table = [["Name", "Installed", "MB", "sha256", "Source"]]
    for row in rows:
        size = "?" if row.size is None else f"{row.size / 1e6:,.1f}"
        table.append([row.name, "yes" if row.installed else "no", size, row.sha256, row.source])
    _print_table(table)


@command.command("pull")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def fetch(names: tuple[str, ...]) -> None:
    """Fetch weights and what they need from the Hugging Face hub.

    A download that was cut short is gone on with. Sums and layout are checked before anything is
    installed.

    \b
    bench weights pull audiosep-clap
    """  # noqa: D301 - as above
    from sepbench.harness.run.weights import pull

    _print_outcomes(pull(names, say=_progress))


@command.command("add")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--link", is_flag=True, help="Link to the file; it must stay where it is.")
@click.option("--other", is_flag=True, help="Accept another file than the published one.")
def take(name: str, file: Path, link: bool, other: bool) -> None:
    """Install a checkpoint file, or a tokenizer's folder, that is at hand.

    The layout is checked and the sha256 recorded. A file whose sum is not the published one is
    refused without --other: its results would pass for those of the published weights.

    \b
    bench weights add lassnet Downloads/LASSNet.pt
    """  # noqa: D301 - as above
    from sepbench.harness.run.weights import add

    _print_outcomes([add(name, file, link=link, other=other)])


@command.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME]…")
def check(names: tuple[str, ...]) -> None:
    """Hash installed files again; without NAME, all of them. Exit code 1 if one has changed."""
    from sepbench.harness.run.weights import verify

    _print_outcomes(verify(names, say=_progress))


def _progress(text: str) -> None:
    click.echo(text, err=True)


def _print_outcomes(outcomes: Iterable[Outcome]) -> None:
    failed = False
    for outcome in outcomes:
        click.echo(f"{outcome.name:24} {outcome.word:10} {outcome.detail}")
        failed = failed or outcome.failed
    if failed:
        raise click.exceptions.Exit(1)


def _print_table(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    for line in lines:
        cells = [
            text.rjust(width) if line is not lines[0] and k == 2 else text.ljust(width)
            for k, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
