"""The command line: one thin file a command, each imported when it is used.

stdout is data, stderr is progress and log. Exit codes: 0 done, 1 some items failed, 2 usage.
"""

from __future__ import annotations

import importlib
import logging
import signal
import sys
from types import FrameType

import click

from sepbench.harness.errors import BenchError, near_matches

# name -> (module, one line for `bench --help`); nothing else is imported for the help text.
COMMANDS = {
    "run": ("run", "Run a grid of models and datasets; resumes by itself."),
    "list": ("listing", "What there is: models, datasets, protocols, metrics, reports."),
    "describe": ("describe", "Everything known about one name."),
    "check": ("check", "Put a model plugin through its contract on tiny data."),
    "score": ("score", "Score a folder of estimates against its references."),
    "probe": ("probe", "How good is an encoder's query space? On labelled clips."),
    "train": ("train", "Train a baseline by a published recipe; goes on by itself."),
    "status": ("status", "What a run is doing, from another terminal."),
    "profile": ("profile", "Where a grid's time goes, and what would make it faster."),
    "report": ("report", "Write leaderboards from a workspace."),
    "compare": ("compare", "Is one row better than another? Paired, with intervals and p."),
    "data": ("data", "Corpora: what is on disk, what is missing, what has changed."),
    "weights": ("weights", "Checkpoints and tokenizers: what is there, fetch or add it."),
    "doctor": ("doctor", "Versions, codecs, devices, disk: is this machine ready?"),
}


class LazyGroup(click.Group):
    """Commands whose modules are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"sepbench.harness.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help table, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As Click, with near matches for a typo."""
        if args and args[0] not in COMMANDS:
            ctx.fail(f"No such command '{args[0]}'.{near_matches(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sepbench", prog_name="bench")
@click.option("-v", "--verbose", is_flag=True, help="Log more, to stderr.")
def bench(verbose: bool) -> None:
    """Benchmark query-based audio source separation.

    bench run -m nmf -d demo

    runs one model on the built-in recordings, between the mixture and an ideal mask, and prints
    the leaderboard. The same command again does only what is missing.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s: %(message)s",
        stream=sys.stderr,
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: named errors become one message and an exit code, never a traceback."""
    # A cluster that takes the machine back sends SIGTERM: leave as for Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # Click hands back the code of a command that ends with Exit, and None otherwise.
        sys.exit(bench.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BenchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:  # a deleted working folder, a full or closed stdout
        where = f": {error.filename}" if error.filename else ""
        click.echo(f"Error: {error.strerror or error}{where}.", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped. What is done is kept; the same command goes on.", err=True)
        sys.exit(130)
