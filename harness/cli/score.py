"""`bench score`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sepbench.harness.cli.options import split_names
from sepbench.harness.errors import UsageError


@click.command("score")
@click.option("-r", "--reference", type=click.Path(path_type=Path), required=True)
@click.option("-e", "--estimate", type=click.Path(path_type=Path), required=True)
@click.option("--mixture", type=click.Path(path_type=Path), help="Folder of mixtures.")
@click.option("-m", "--metric", "metrics", multiple=True, help="Ids. Default: sdr,si_sdr.")
@click.option("--mono", is_flag=True, help="Average the channels first.")
@click.option("--workers", type=click.IntRange(min=1), default=os.cpu_count(), show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="CSV, a row an estimate.")
def command(
    reference: Path,
    estimate: Path,
    mixture: Path | None,
    metrics: tuple[str, ...],
    mono: bool,
    workers: int,
    output: Path | None,
) -> None:
    """Score a folder of estimates against a folder of references with the same names.

    \b
    bench score -r truth/ -e mine/ -m sdr,si_sdr -o scores.csv
    bench score -r musdb18hq/test -e mine/ -m bss_sdr,bss_sir,bss_sar --mono

    To add metrics to a finished workspace, run the grid again with `metrics=[…]`: kept estimates
    (`--keep-audio`) are scored without separating again.
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.run.scoring import (
        find_scenes,
        score_folders,
        summarise,
        unmatched,
        write_csv,
    )

    names = list(dict.fromkeys(split_names(metrics))) or ["sdr", "si_sdr"]
    if output is not None and not output.absolute().parent.is_dir():
        raise UsageError(f"-o {output}: the folder {output.absolute().parent} does not exist.")
    scenes = find_scenes(reference, estimate, mixture)
    extra = unmatched(scenes, estimate)
    if extra:
        click.echo(f"{len(extra)} estimates match no reference, e.g. {extra[0]}", err=True)
    rows = [
        row for found in score_folders(scenes, names, mono=mono, workers=workers) for row in found
    ]
    click.echo(summarise(rows, names))
    if output is not None:
        write_csv(output, rows, names)
    failed = [row for row in rows if row.error]
    for row in failed[:5]:
        click.echo(f"Error: {row.scene}/{row.target}: {row.error}", err=True)
    if failed:
        raise click.exceptions.Exit(1)
