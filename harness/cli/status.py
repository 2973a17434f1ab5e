"""`bench status`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sepbench.harness.cli.options import workspace_option

if TYPE_CHECKING:
    from sepbench.harness.run.status import StatusReader

SECONDS_BETWEEN_LOOKS = 1.0


@click.command("status")
@click.argument("folder", metavar="[WORKSPACE]", required=False, type=click.Path(path_type=Path))
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --follow one a line.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
def command(folder: Path | None, workspace: Path, as_json: bool, follow: bool) -> None:
    """What a workspace is doing, from another terminal; disturbs nothing.

    \b
    bench status bench-results
    bench status bench-results --follow
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.run.status import StatusReader
    from sepbench.harness.run.status_text import status_text

    reader = StatusReader(folder or workspace)
    if not follow:
        status = reader.read()
        click.echo(status.as_json() if as_json else status_text(status))
        return
    try:
        if sys.stdout.isatty() and not as_json:
            _screen(reader)
        else:
            _lines(reader, as_json=as_json)
    except KeyboardInterrupt:  # whoever looked has seen enough; the run knows nothing of it
        raise click.exceptions.Exit(130) from None


def _lines(reader: StatusReader, *, as_json: bool) -> None:
    """A line whenever something has happened; the pace alone, which always changes, is no news."""
    from sepbench.harness.run.status_text import status_line

    before: tuple[object, ...] = ()
    while True:
        status = reader.read()
        now = (status.state, status.done, status.failed, status.waits_for)
        if now != before:
            click.echo(status.as_json() if as_json else status_line(status))
        before = now
        if not status.alive:
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _screen(reader: StatusReader) -> None:
    """The same place of the terminal again and again; the last view stays."""
    from rich.live import Live
    from rich.text import Text

    from sepbench.harness.run.status_text import status_text

    with Live(auto_refresh=False) as live:
        while True:
            status = reader.read()
            live.update(Text(status_text(status)), refresh=True)
            if not status.alive:
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)
