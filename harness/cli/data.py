"""`bench data`."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sepbench.harness.cli.options import workspace_option
from sepbench.harness.cli.run import root_setting
from sepbench.harness.errors import UsageError

if TYPE_CHECKING:
    from sepbench.harness.run.data import Finding
    from sepbench.harness.run.data_status import DataState, ListState

SHOWN = 3  # missing scenes of a list, and files of one; --output has them all


@click.group("data")
def command() -> None:
    """Corpora: what is on disk, what is missing, and whether a file has changed.

    A dataset's folder is named by --root NAME=FOLDER, by a variable of its own (SEPBENCH_ESC50), or
    it lies under its name in SEPBENCH_DATA.

    \b
    bench data status esc50
    bench data prepare clotho --root clotho=/data/clotho --yes
    bench data verify esc50
    """  # noqa: D301 - \b is Click's mark for text that is not to be wrapped


def _where(function: Callable[..., None]) -> Callable[..., None]:
    """Names, folders and settings, as all three commands take them."""
    function = workspace_option(function)
    function = click.option(
        "--root", "roots", multiple=True, metavar="NAME=FOLDER", help="A dataset's folder."
    )(function)
    return click.argument("names", nargs=-1, metavar="[NAME]… [KEY=VALUE]…")(function)


@command.command("status")
@_where
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every missing scene.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="CSV of every missing scene and file."
)
def show(
    names: tuple[str, ...],
    roots: tuple[str, ...],
    workspace: Path,
    as_json: bool,
    output: Path | None,
) -> None:
    """Folder, lists, missing scenes, size, licence and source of each dataset. Reads no audio.

    Without NAME, a dataset that has no folder is one line.
    """
    from sepbench.harness.run.data_status import status

    chosen, settings = _chosen(names, roots, workspace)
    with redirect_stdout(sys.stderr):  # what plugins print is no data
        states = status(chosen, settings)
    if output is not None:
        _write_missing(output, states)
    if as_json:
        found = [dataclasses.asdict(state) for state in states]
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for state in states:
        for line in _lines(state, short=not chosen and not state.root and not state.error):
            click.echo(line)


@command.command("prepare")
@_where
@click.option("--yes", is_flag=True, help="Fetch what may be fetched without a form.")
@click.option("--again", is_flag=True, help="Throw the manifest away and write it anew.")
@click.option("--detector", metavar="ENCODER", help="Cut segments where it hears their class.")
def ready(
    names: tuple[str, ...],
    roots: tuple[str, ...],
    workspace: Path,
    yes: bool,
    again: bool,
    detector: str | None,
) -> None:
    """Write the sha256 manifest of a folder; say what is left to do by hand.

    Files that are new since the manifest was written are added; a file that changed is named and
    its recorded sum stays. Nothing is fetched without --yes. --detector is for audioset-eval, and
    cuts what is not cut yet.
    """
    from sepbench.harness.run.data import prepare

    chosen, settings = _chosen(names, roots, workspace)
    if not chosen:
        raise UsageError("Name the datasets to prepare, for example: bench data prepare esc50.")
    with redirect_stdout(sys.stderr):
        findings = prepare(chosen, settings, yes=yes, again=again, say=_progress, detector=detector)
    _print(findings)


@command.command("verify")
@_where
@click.option("--quick", is_flag=True, help="Names and sizes only; reads no file.")
def check(names: tuple[str, ...], roots: tuple[str, ...], workspace: Path, quick: bool) -> None:
    """Hold every file against the manifest; without NAME, of every dataset that has one.

    Changed, missing and new files are named; exit code 1 if there is any.
    """
    from sepbench.harness.run.data import verify

    chosen, settings = _chosen(names, roots, workspace)
    with redirect_stdout(sys.stderr):
        findings = verify(chosen, settings, quick=quick, say=_progress)
    _print(findings)


def _chosen(
    given: Iterable[str], roots: Iterable[str], workspace: Path
) -> tuple[list[str], dict[str, dict[str, Any]]]:
    from sepbench.harness.settings import resolve

    names = [text for text in given if "=" not in text]
    overrides = [text for text in given if "=" in text]
    strange = [text for text in overrides if not text.startswith("datasets.")]
    if strange:
        raise UsageError(f"{strange[0]}: only settings of datasets count here (datasets.NAME.KEY).")
    overrides += [root_setting(text) for text in roots]
    settings = resolve(workspace=workspace, overrides=overrides).dataset_settings
    return names, {name: dict(values) for name, values in settings.items()}


def _lines(state: DataState, *, short: bool) -> Iterable[str]:
    from sepbench.harness.run.data_status import size_words

    if short:
        yield f"{state.name:18} –  no folder; bench data status {state.name} says where to get it"
        return
    yield f"{state.name:18} {state.root or '–'}" + (f"  ({state.through})" if state.root else "")
    if state.error:
        yield f"  PROBLEM  {state.error}"
    for entry in state.lists:
        yield f"  {entry.name:18} {_words(entry)}"
    if state.root:
        sums = f"{state.manifest_files:,} files of {state.written}" if state.manifest else "none"
        free = "?" if state.free is None else size_words(state.free)
        yield f"  on disk  {state.files:,} files, {size_words(state.size)}; {free} free"
        yield f"  manifest {sums}"
    for file in state.remote:
        command = f"bench data prepare {state.name} --yes"
        yield f"  to fetch {file.name} ({size_words(file.size)}): {command}"
    yield f"  licence  {state.licence or 'not stated'}"
    if state.where and not (state.lists and all(entry.complete for entry in state.lists)):
        yield f"  get it   {state.where}"
        if state.steps:
            yield f"  steps    bench data prepare {state.name}"


def _words(entry: ListState) -> str:
    expected = "?" if entry.expected is None else f"{entry.expected:,}"
    if entry.error:
        return f"PROBLEM: cannot be read: {entry.error}"
    if entry.absent:
        return f"not here: {entry.absent.partition('. ')[0]}"
    if entry.present is None:
        return f"{expected} scenes; the dataset does not say which files they need"
    total = f"{entry.present + len(entry.missing):,}" if entry.expected is None else expected
    state = "complete, " if entry.complete else "" if entry.present else "not here, "
    text = f"{state}{entry.present:,} of {total} scenes"
    if entry.missing:
        some = [f"{scene.scene} ({_some(scene.files)})" for scene in entry.missing]
        text += f"; {len(entry.missing):,} missing: {_some(some)}"
    if entry.unlisted:
        text += f"; {entry.unlisted:,} more have no name here: no table or folder lists them"
    return text


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:SHOWN]) + (", …" if len(words) > SHOWN else "")


def _write_missing(path: Path, states: Sequence[DataState]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("dataset", "list", "scene", "file"))
            for state in states:
                for entry in state.lists:
                    for scene in entry.missing:
                        for name in scene.files:
                            writer.writerow((state.name, entry.name, scene.scene, name))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.") from error


def _print(findings: Iterable[Finding]) -> None:
    failed = False
    for finding in findings:
        click.echo(f"{finding.name:18} {finding.word:10} {finding.detail}")
        failed = failed or finding.failed
    if failed:
        raise click.exceptions.Exit(1)


def _progress(text: str) -> None:
    click.echo(text, err=True)
