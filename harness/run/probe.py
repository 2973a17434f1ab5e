"""Facts of plugins without importing them here: a child imports them, a cache remembers.

A plugin's module may import torch, print, or break. `bench list` must be instant and must not
fail because of one package, so each plugin is imported once per version in a process of its own,
and its card, or why it is broken, is kept in the user's cache folder.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sepbench.harness.errors import BenchError
from sepbench.harness.registry import BUILT_IN, Entry, import_target

TIMEOUT_SECONDS = 120
_MARK = "sepbench-facts:"


def facts_of(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """Name -> the fields of the card, or {"broken": why}."""
    found: dict[str, dict[str, Any]] = {}
    plugins: list[Entry] = []
    for entry in entries:
        if entry.clash:
            found[entry.name] = {"broken": entry.clash}
        elif entry.package == BUILT_IN:
            found[entry.name] = _facts(entry.target)
        else:
            plugins.append(entry)
    if plugins:
        found |= _plugin_facts(plugins)
    return found


def _plugin_facts(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    path = _cache_file()
    cache = _read(path)
    keys = {entry.name: _key(entry) for entry in entries}
    new = [entry for entry in entries if keys[entry.name] not in cache]
    if new:
        asked = _ask([entry.target for entry in new])
        if asked is None:  # one of them took the child down: ask one by one
            asked = {}
            for entry in new:
                alone = _ask([entry.target])
                broken = {"broken": "importing it ends the process or takes too long"}
                asked |= alone if alone is not None else {entry.target: broken}
        for entry in new:
            cache[keys[entry.name]] = asked[entry.target]
        _write(path, cache)
    return {entry.name: cache[keys[entry.name]] for entry in entries}


def _ask(targets: list[str]) -> dict[str, dict[str, Any]] | None:
    """Facts of targets from a child process; None when it does not answer."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, *targets],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if not lines:
        return None
    answer: dict[str, dict[str, Any]] = json.loads(lines[-1].removeprefix(_MARK))
    return answer


def _facts(target: str) -> dict[str, Any]:
    """Import a target and read its card."""
    try:
        found = import_target(target, "entry")
    except BenchError as error:
        reason = error.__cause__ or error
        return {"broken": f"{type(reason).__name__}: {reason}"}
    card = getattr(found, "card", None)
    if card is None:
        cards = getattr(found, "cards", ())
        wanted = [c for c in cards if dataclasses.is_dataclass(c)]
        return {"cards": [_plain(c) for c in wanted]} if wanted else _described(found)
    return _plain(card) if dataclasses.is_dataclass(card) else {"broken": "it has no usable card"}


def _described(found: Any) -> dict[str, Any]:
    summary = getattr(found, "summary", None)
    return {"summary": summary} if isinstance(summary, str) else {"broken": "it has no card"}


def _plain(card: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(card), default=str))
    return fields


def _key(entry: Entry) -> str:
    """Changes when the plugin's version or its file changes."""
    file = _file_of(entry.module)
    stamp = f"{file.stat().st_mtime_ns}-{file.stat().st_size}" if file else "absent"
    parts = (sys.prefix, entry.package, entry.package_version, entry.target, str(file), stamp)
    return " ".join(parts)


def _file_of(module: str) -> Path | None:
    """Where a module's source lies, found without importing its parents."""
    root, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
    for folder in spec.submodule_search_locations or ():
        base = Path(folder).joinpath(*rest)
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def _cache_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sepbench" / "plugins.json"


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        data: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # no cache yet, or one that was cut short: asking again costs a second
    return data


def _write(path: Path, cache: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        unfinished.write_text(json.dumps(cache), "utf-8")
        unfinished.replace(path)
    except OSError:
        return  # a cache that cannot be written only costs time


if __name__ == "__main__":
    sys.stdout.write(_MARK + json.dumps({t: _facts(t) for t in sys.argv[1:]}) + "\n")
