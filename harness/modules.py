"""Where a module's source lies, found without importing the module or its parents."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path


def module_spec(name: str) -> ModuleSpec | None:
    """The spec of a module, or None where there is none.

    `importlib.util.find_spec` imports the parents of a dotted name, and a stranger's package may
    be slow, print or fail when it is imported. This asks the same finders and imports nothing.
    """
    loaded: ModuleSpec | None = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None:
        return loaded
    parent, _, _ = name.rpartition(".")
    try:
        if not parent:
            return importlib.util.find_spec(name)
        above = module_spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        for finder in sys.meta_path:
            found = finder.find_spec(name, above.submodule_search_locations)
            if found is not None:
                return found
    except (ImportError, ValueError, AttributeError):
        return None
    return None


def source_file(name: str) -> Path | None:
    """The Python file of a module; None where it has none (compiled, built in, a notebook)."""
    spec = module_spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    return path if path.is_file() else None


def is_package(name: str) -> bool:
    """Whether a module can have modules inside."""
    spec = module_spec(name)
    return spec is not None and spec.submodule_search_locations is not None
