"""From a dataset as asked for to an open one with its protocol."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sepbench.harness.api import Dataset, ScoringProtocol
from sepbench.harness.errors import (
    STRANGER_ERRORS,
    BenchError,
    MissingRootError,
    PluginError,
    SettingError,
    near_matches,
)
from sepbench.harness.protocols import FAMILIES, family_member, load_protocol
from sepbench.harness.run.catalogs import DATASETS
from sepbench.harness.settings import RunSettings
from sepbench.harness.storage.places import open_place

DATA_VARIABLE = "SEPBENCH_DATA"
DEFAULT = "default"  # `-d NAME:default` says what `-d NAME` means


def root_variable(name: str) -> str:
    """The environment variable that names a dataset's folder."""
    return "SEPBENCH_" + name.upper().replace("-", "_")


def find_root(name: str, given: str | Path | None) -> Path | None:
    """The folder of a dataset: the one given, its own variable, or a folder of SEPBENCH_DATA.

    Each may be a URL.
    """
    if given is not None:
        return open_place(given)
    own = os.environ.get(root_variable(name))
    if own:
        return open_place(own)
    parent = os.environ.get(DATA_VARIABLE)
    folder = open_place(parent) / name if parent else None
    return folder if folder is not None and folder.is_dir() else None


def open_dataset(name: str, settings: Mapping[str, Any] | None = None) -> Dataset:
    """A dataset by name, its folder found, its settings checked.

    Raises:
        UnknownNameError, PluginError: as the registry.
        SettingError: it has no such setting.
        MissingRootError: the folder that was given does not exist.
    """
    made = DATASETS.load(name)
    given = dict(settings or {})
    root = given.pop("root", None)
    if root is not None and not isinstance(root, str | Path):
        raise SettingError(f"datasets.{name}.root={root}: expected a folder or a URL.")
    root = find_root(name, root)
    if root is not None and not root.is_dir():
        raise MissingRootError(
            f"Dataset {name}: {root} is no folder that exists. Give another with "
            f"--root {name}=FOLDER or {root_variable(name)}."
        )
    if not callable(made):
        raise PluginError(f"Dataset '{name}' names {made!r}; expected a class.")
    parameters = inspect.signature(made).parameters
    for key in given:
        if key not in parameters:
            raise SettingError(
                f"Dataset '{name}' has no setting '{key}'.{near_matches(key, parameters)}"
            )
    try:
        dataset = made(root, **given)
    except BenchError:
        raise
    except STRANGER_ERRORS as error:  # a stranger's constructor may raise anything
        raise PluginError(
            f"Dataset '{name}' cannot be made: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(dataset, Dataset):
        raise PluginError(
            f"Dataset '{name}' lacks one of card, default_protocol, scenes, load, clips."
        )
    return dataset


def _default_protocol(name: str, dataset: Dataset) -> str:
    try:
        return dataset.default_protocol()
    except BenchError:
        raise
    except STRANGER_ERRORS as error:
        raise PluginError(
            f"Dataset '{name}': default_protocol() failed: {type(error).__name__}: {error}"
        ) from error


def open_grid(settings: RunSettings) -> list[tuple[ScoringProtocol, Dataset]]:
    """The grid's protocols with their datasets, each dataset opened once.

    Raises:
        UsageError: unknown names, or a protocol of another dataset.
    """
    opened: dict[str, Dataset] = {}
    grid: dict[str, tuple[ScoringProtocol, Dataset]] = {}
    for text in settings.datasets:
        name, _, protocol_name = text.partition(":")
        if name not in opened:
            opened[name] = open_dataset(name, settings.dataset_settings.get(name))
        dataset = opened[name]
        own = getattr(dataset, "protocols", None)
        if protocol_name in ("", DEFAULT):
            protocol_name = _default_protocol(name, dataset)
        elif protocol_name in FAMILIES:
            protocol_name = family_member(protocol_name, name)
        protocol = load_protocol(protocol_name, own)
        if protocol.dataset != name:
            raise SettingError(
                f"Protocol '{protocol.name}' scores dataset '{protocol.dataset}', not '{name}'."
            )
        grid[protocol.name] = (protocol, dataset)
    unused = set(settings.dataset_settings) - set(opened)
    if unused:
        name = sorted(unused)[0]
        raise SettingError(
            f"datasets.{name}… sets a dataset that is not in this run.{near_matches(name, opened)}"
        )
    return list(grid.values())
