"""`bench train`."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sepbench.harness.cli.options import split_names
from sepbench.harness.cli.run import root_setting
from sepbench.harness.errors import UsageError

if TYPE_CHECKING:
    from sepbench.harness.run.training import TrainingReport


@click.command("train")
@click.argument("recipe", required=False)
@click.option("-d", "--dataset", "datasets", multiple=True, help="NAME[,NAME…] to train on.")
@click.option("--root", "roots", multiple=True, metavar="NAME=FOLDER", help="A dataset's folder.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of the training; default train-results/RECIPE.",
)
@click.option("--config", type=click.Path(path_type=Path, exists=True), help="YAML of settings.")
@click.option("--smoke", is_flag=True, help="A few steps with tiny networks, in seconds.")
@click.option("--show-config", is_flag=True, help="Print the settings and train nothing.")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]…")
def command(
    recipe: str | None,
    datasets: tuple[str, ...],
    roots: tuple[str, ...],
    output: Path | None,
    config: Path | None,
    smoke: bool,
    show_config: bool,
    settings: tuple[str, ...],
) -> None:
    """Train a baseline by a published recipe. The same command again goes on where it stopped.

    \b
    bench train lassnet --smoke
    bench train lassnet -d audiocaps --root audiocaps=/data/audiocaps device=cuda
    bench train audiosep -d folder --root folder=sounds data.train_folds=[] data.validation_folds=[]
    bench train lassnet-small --root esc50=/data/esc50

    Weights are written in the layout of the published checkpoints; `bench weights add` takes them.
    Without a recipe: the list of them.
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.run.smoke import run_smoke, smoke_settings
    from sepbench.harness.run.training import recipe_lines, run_training
    from sepbench.harness.training.settings import resolve_training

    if recipe is None:
        if datasets or roots or output or config or smoke or show_config:
            raise UsageError("Name a recipe: bench train RECIPE. Alone it lists them.")
        click.echo("\n".join(recipe_lines()))
        return
    if smoke and (datasets or roots or config):
        raise UsageError(
            "--smoke brings its own data and sizes; leave out -d, --root and --config. Settings "
            "may be given as KEY=VALUE."
        )
    overrides = [*(root_setting(text) for text in roots), *settings]
    if smoke:
        resolved = smoke_settings(recipe, overrides)
    else:
        resolved = resolve_training(
            recipe, datasets=split_names(datasets), file=config, overrides=overrides
        )
    if show_config:
        click.echo(json.dumps(resolved.resolved, indent=2))
        return
    with redirect_stdout(sys.stderr):  # stdout is data, whatever a package prints
        report = (
            run_smoke(recipe, overrides=overrides, folder=output, progress=_Progress())
            if smoke
            else run_training(
                resolved, output or Path("train-results") / recipe, progress=_Progress()
            )
        )
    if report.trained.first:  # of several processes one speaks
        click.echo(_summary(report), nl=False)


class _Progress:
    """The step and the loss on stderr, every second or so; nothing where it is piped."""

    def __init__(self) -> None:
        self._shown = 0.0

    def __call__(self, step: int, loss: float) -> None:
        from time import monotonic

        if sys.stderr.isatty() and monotonic() - self._shown > 1:
            self._shown = monotonic()
            click.echo(f"\rstep {step}, loss {loss:.5f}", err=True, nl=False)


def _summary(report: TrainingReport) -> str:
    trained = report.trained
    scores = trained.best or trained.scores
    values = ", ".join(
        f"{name} {value:.0f}" if name == "step" else f"{name} {value:.3g}"
        for name, value in scores.items()
    )
    held_out = f"best on {report.validation_clips} held-out ones: {values}"
    lines = [
        f"{trained.steps} steps in {trained.seconds / 60:.1f} min on {trained.device}, "
        f"{report.train_clips} clips; {held_out if scores else 'never validated'}",
        *(f"Written: {path}" for path in report.files),
    ]
    return "\n".join(lines) + "\n"
