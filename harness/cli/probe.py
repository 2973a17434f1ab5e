"""`bench probe`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sepbench.harness.cli.options import split_names
from sepbench.harness.errors import SettingError, UsageError

if TYPE_CHECKING:
    from sepbench.harness.run.probing import Corpus, ProbeRequest, ProbeTable, Projection
    from sepbench.harness.run.probing_events import Locations


@click.command("probe")
@click.option("-e", "--encoder", "encoders", multiple=True, help="NAME[,NAME…] or LABEL=NAME.")
@click.option("-d", "--dataset", help="esc50, esc10, demo, … Its labelled clips are the corpus.")
@click.option("--clips", type=click.Path(path_type=Path), help="CSV: path,label[,fold][,origin].")
@click.option("--root", "roots", multiple=True, metavar="NAME=FOLDER", help="A dataset's folder.")
@click.option("--shots", default="1,5", show_default=True, help="Clips that show a class.")
@click.option("--picture", is_flag=True, help="A picture an encoder (or a clip), in -o's folder.")
@click.option(
    "--projection",
    type=click.Choice(["tsne", "umap"]),
    default="tsne",
    show_default=True,
    help="Of the pictures of spaces.",
)
@click.option("--sed", is_flag=True, help="Probe what sound event detectors say, instead.")
@click.option("--locate", metavar="FILE", help="Say where in a file, or a clip, a class sounds.")
@click.option(
    "--class", "classes", multiple=True, metavar="NAME", help="Which; else the likeliest."
)
@click.option("--class-map", type=click.Path(path_type=Path), help="CSV: label,class.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for CSV files.")
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
    projection: Projection,
    sed: bool,
    locate: str | None,
    classes: tuple[str, ...],
    class_map: Path | None,
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
    bench probe --sed -e htsat -d esc50 --root esc50=/data/esc50
    bench probe --locate street.wav --class "Car alarm"

    Few-shot accuracy of the nearest centroid, retrieval, and a linear probe under the folds. With
    --sed, mean average precision of a detector's classes; with --locate, where it hears them.
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped
    from sepbench.harness.run.probing import ProbeRequest, open_corpus

    _check(picture, sed, locate, classes, class_map, output)
    request = ProbeRequest(
        encoders=tuple(split_names(encoders)) or ("htsat" if sed or locate else "logmel-stats",),
        settings=_settings(settings),
        shots=_shots(shots),
        device=device,
        batch_size=batch_size,
        cache=cache,
    )
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    pictures = output if picture else None
    # stdout is data: what an encoder's packages print goes to stderr.
    with redirect_stdout(sys.stderr):
        corpus = None
        if dataset or clips or sed or not locate:
            corpus = open_corpus(dataset, clips, dict(_root(text) for text in roots))
        table, found = None, None
        if corpus is not None and (sed or not locate):
            table = _table(request, corpus, sed, class_map, pictures, projection)
        if locate:
            found = _locations(request, corpus, locate, classes, class_map, pictures)
    whole = (table is None or _print_table(table, output)) & (
        found is None or _print_locations(found, output, after=table is not None)
    )
    if not whole:
        raise click.exceptions.Exit(1)


def _check(
    picture: bool,
    sed: bool,
    locate: str | None,
    classes: tuple[str, ...],
    class_map: Path | None,
    output: Path | None,
) -> None:
    """Refuse options that do not go together."""
    if picture and output is None:
        raise UsageError("--picture needs a folder: name one with -o.")
    if picture and sed and not locate:
        raise UsageError("--picture draws spaces, or with --locate a clip; --sed alone has none.")
    if classes and not locate:
        raise UsageError("--class goes with --locate FILE.")
    if class_map and not (sed or locate):
        raise UsageError("--class-map goes with --sed or --locate.")


def _table(
    request: ProbeRequest,
    corpus: Corpus,
    sed: bool,
    class_map: Path | None,
    pictures: Path | None,
    projection: Projection,
) -> ProbeTable:
    from sepbench.harness.run.probing import probe
    from sepbench.harness.run.probing_events import probe_events, read_class_map

    if sed:
        given = read_class_map(class_map) if class_map else None
        return probe_events(request, corpus, class_map=given)
    return probe(request, corpus, pictures=pictures, projection=projection)


def _locations(
    request: ProbeRequest,
    corpus: Corpus | None,
    locate: str,
    classes: tuple[str, ...],
    class_map: Path | None,
    pictures: Path | None,
) -> Locations:
    from sepbench.harness.run.probing import file_name
    from sepbench.harness.run.probing_events import find_clip, locate_events, read_class_map

    return locate_events(
        request,
        find_clip(locate, corpus),
        classes,
        class_map=read_class_map(class_map) if class_map else None,
        picture=pictures / f"{file_name(Path(locate).stem)}.png" if pictures else None,
    )


def _print_table(table: ProbeTable, output: Path | None) -> bool:
    from sepbench.harness.run.probing import render, write_csv

    if output is not None:
        write_csv(output / "probe.csv", table)
        click.echo(f"Written: {output / 'probe.csv'}", err=True)
    for row in table.rows:
        for clip, reason in list(row.unreadable.items())[:5]:
            click.echo(f"Error: {row.encoder}: {clip}: {reason}", err=True)
        if row.error:
            click.echo(f"Error: {row.encoder}: {row.error}", err=True)
    click.echo(render(table), nl=False)
    return table.ok


def _print_locations(found: Locations, output: Path | None, *, after: bool) -> bool:
    from sepbench.harness.run.probing_events import render_locations, write_locations

    if output is not None:
        write_locations(output / "locations.csv", found)
        click.echo(f"Written: {output / 'locations.csv'}", err=True)
    for detector, reason in found.errors.items():
        click.echo(f"Error: {detector}: {reason}", err=True)
    click.echo(("\n" if after else "") + render_locations(found), nl=False)
    return found.ok


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
