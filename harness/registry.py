"""Lazy, strict tables of names: built-in catalogs first, then entry points of other packages.

Listing a registry imports nothing: a target is text, `"module:attribute"`, until it is loaded.
A name that two packages claim raises when it is used; a built-in always wins over a plugin of the
same name, which is then reported as shadowed. A plugin that cannot be imported is shown as broken
and harms nothing else.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sepbench.harness.errors import DuplicateNameError, PluginError, UnknownNameError

BUILT_IN = "sepbench"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One name of a registry.

    Attributes:
        target: "module:attribute".
        package: distribution that brings it; "sepbench" for built-ins.
        package_version: of that distribution; "" for built-ins.
        clash: why the name cannot be used (two plugins claim it), or "".
    """

    name: str
    target: str
    package: str = BUILT_IN
    package_version: str = ""
    clash: str = ""

    @property
    def module(self) -> str:
        """The module part of the target."""
        return self.target.partition(":")[0]


class Registry:
    """Names of one kind.

    Args:
        kind: word used in messages ("model", "dataset", …).
        catalog: built-in table name -> "module:attribute".
        group: entry-point group that plugins use.
    """

    def __init__(self, kind: str, catalog: Mapping[str, str], group: str) -> None:
        self.kind = kind
        self.group = group
        self._catalog = dict(catalog)

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """All usable and clashing names, built-ins first, each part sorted by name."""
        found: dict[str, Entry] = {
            name: Entry(name=name, target=target) for name, target in self._catalog.items()
        }
        plugins: dict[str, Entry] = {}
        for point in sorted(_points(self.group), key=lambda p: (p.name, p.value)):
            package = point.dist.name if point.dist else "unknown package"
            version = point.dist.version if point.dist else ""
            entry = Entry(
                name=point.name,
                target=_target_of(point.value),
                package=package,
                package_version=version,
            )
            other = plugins.get(point.name)
            if other is not None and (other.package, other.target) != (package, entry.target):
                clash = f"both '{other.package}' and '{package}' bring it"
                entry = Entry(name=point.name, target=entry.target, package=package, clash=clash)
            if point.name not in found:
                plugins[point.name] = entry
        return {**found, **plugins}

    @cached_property
    def shadowed(self) -> tuple[Entry, ...]:
        """Plugins that claim a built-in's name and are therefore not used."""
        return tuple(
            Entry(
                name=p.name,
                target=_target_of(p.value),
                package=p.dist.name if p.dist else "unknown package",
                package_version=p.dist.version if p.dist else "",
            )
            for p in _points(self.group)
            if p.name in self._catalog
        )

    def entry(self, name: str) -> Entry:
        """The entry of a name.

        Raises:
            UnknownNameError: no such name; near matches in the message.
            DuplicateNameError: two plugins claim it.
        """
        try:
            entry = self.entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self.entries) from None
        if entry.clash:
            raise DuplicateNameError(
                f"The {self.kind} name '{name}' is taken twice: {entry.clash}. "
                "Uninstall one of them, or ask its author for another name."
            )
        return entry

    def load(self, name: str) -> Any:
        """Import what a name stands for.

        Raises:
            UnknownNameError, DuplicateNameError: as `entry`.
            PluginError: it cannot be imported.
        """
        entry = self.entry(name)
        return import_target(entry.target, f"{self.kind} '{name}' of package '{entry.package}'")


def _points(group: str) -> tuple[EntryPoint, ...]:
    return _points_by_group(tuple(sys.path)).get(group, ())


@lru_cache(maxsize=1)
def _points_by_group(path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """Entry points of every package on a path, by group: one reading of its folders for all."""
    del path  # the key: another path has other packages
    points = entry_points()
    return {group: tuple(points.select(group=group)) for group in points.groups}


def _target_of(value: str) -> str:
    """An entry point's "module:attribute [extra]" without blanks and extras."""
    return value.partition("[")[0].replace(" ", "")


def import_target(target: str, what: str) -> Any:
    """Import "module:attribute".

    Raises:
        PluginError: the module cannot be imported or has no such attribute.
    """
    module_name, separator, attribute = target.partition(":")
    if not separator or not module_name or not attribute:
        raise PluginError(f"The {what} points to '{target}'; expected 'module:attribute'.")
    try:
        value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything at import
        raise PluginError(
            f"The {what} cannot be imported from '{target}': {type(error).__name__}: {error}. "
            "Repair or uninstall that package; everything else works without it."
        ) from error
    return value
