"""`bench probe`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from sepbench.harness.cli.options import split_names
from sepbench.harness.errors import SettingError, UsageError


@click.command("probe")
@click.option("-e", "--encoder", "encoders", multiple=True, help="NAME[,NAME…] or LABEL=NAME.")
@click.option("-d", "--dataset", help="esc50, esc10, demo, … Its labelled clips are the corpus.")
@click.option("--clips", type=click.Path(path_type=Path), help="CSV: path,label[,fold][,origin].")
@click.option("--root", "roots", multiple=True, metavar="NAME=FOLDER", help="A dataset's folder.")
@click.option("--shots", default="1,5", show_default=True, help="Clips that show a class.")
@click.option("--picture", is_flag=True, help="A t-SNE picture an encoder, in the folder of -o.")
@click.option("--sed", is_flag=True, help="Probe what sound event detectors say, instead.")
@click.option("--locate", metavar="CLIP", help="With --sed: say where in a clip its class sounds.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for probe.csv.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of embeddings.")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]…")
def command(
    encoders: tuple[str, ...],
    dataset: str | None,
    clips: Path | None,
    roots: tuple[str, ...],
    shots: str,
    picture: bool,
    sed: bool,
    locate: str | None,
    output: Path | None,
    device: str,
    batch_size: int,
    cache: Path | None,
    settings: tuple[str, ...],
) -> None:
    """How good is an audio encoder's query space? Measured on labelled clips, without a separator.

    \b
    bench probe -e logmel-stats -d demo
    bench probe -e clap-audio,cnn14 -d esc50 --root esc50=/data/esc50 -o probe/ --picture
    bench probe -e mine=cnn14 encoders.mine.checkpoint=mine.pth --clips sounds/clips.csv

    Few-shot accuracy of the nearest centroid, retrieval, and a linear probe under the folds.
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.run.probing import (
        ProbeRequest,
        open_corpus,
        probe,
        probe_events,
        render,
        write_csv,
    )

    if picture and output is None:
        raise UsageError("--picture needs a folder: name one with -o.")
    if (locate and not sed) or (picture and sed):
        raise UsageError("--locate goes with --sed, and --picture without it.")
    request = ProbeRequest(
        encoders=tuple(split_names(encoders)) or ("logmel-stats",),
        settings=_settings(settings),
        shots=_shots(shots),
        device=device,
        batch_size=batch_size,
        cache=cache,
    )
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    # stdout is data: what an encoder's packages print goes to stderr.
    with redirect_stdout(sys.stderr):
        corpus = open_corpus(dataset, clips, dict(_root(text) for text in roots))
        if sed:
            table = probe_events(request, corpus, locate=locate)
        else:
            table = probe(request, corpus, pictures=output if picture else None)
    if output is not None:
        write_csv(output / "probe.csv", table)
        click.echo(f"Written: {output / 'probe.csv'}", err=True)
    for row in table.rows:
        for clip, reason in list(row.unreadable.items())[:5]:
            click.echo(f"Error: {row.encoder}: {clip}: {reason}", err=True)
        if row.error:
            click.echo(f"Error: {row.encoder}: {row.error}", err=True)
    click.echo(render(table), nl=False)
    if not table.ok:
        raise click.exceptions.Exit(1)


def _root(text: str) -> tuple[str, str]:
    name, separator, folder = text.partition("=")
    if not (name and separator and folder):
        raise UsageError(f"--root {text}: expected NAME=FOLDER.")
    return name, folder


def _shots(text: str) -> tuple[int, ...]:
    words = split_names((text,))
    if not all(word.isdecimal() and 1 <= int(word) <= 1000 for word in words):
        raise UsageError(f"--shots {text}: expected whole numbers from 1, for example 1,5.")
    return tuple(dict.fromkeys(int(word) for word in words))


def _settings(texts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """`encoders.NAME.SETTING=VALUE` as label -> setting -> value; values as YAML writes them."""
    import yaml

    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        section, _, rest = key.partition(".")
        label, _, setting = rest.rpartition(".")
        if not (separator and section == "encoders" and label and setting):
            raise SettingError(f"'{text}': expected encoders.NAME.SETTING=VALUE.")
        try:
            found.setdefault(label, {})[setting] = yaml.safe_load(value)
        except yaml.YAMLError:  # a path may hold anything
            found.setdefault(label, {})[setting] = value
    return found
