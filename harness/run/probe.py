"""Facts of plugins without importing them here: a child imports them, a cache remembers.

A plugin's module may import torch, print, or break. `bench list` must be instant and must not
fail because of one package, so each plugin is imported once per version in a process of its own,
and its card, or why it is broken, is kept in the user's cache folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sepbench.harness.errors import BenchError
from sepbench.harness.identity import plain
from sepbench.harness.modules import source_file
from sepbench.harness.registry import BUILT_IN, Entry, import_target

TIMEOUT_SECONDS = 120
_MARK = "sepbench-facts:"
_FORMAT = "2"  # raised when what is kept of a plugin changes


def facts_of(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """Name -> the fields of the card, or {"broken": why}; a dataset's protocols with them."""
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
    installed = _installed()
    keys = {entry.name: _key(entry) for entry in entries}

    def known(key: str) -> bool:
        # What is broken may be whole again as soon as something else is installed.
        return key in cache and cache[key].get("installed") in (None, installed)

    new = [entry for entry in entries if not known(keys[entry.name])]
    if new:
        asked = _ask([entry.target for entry in new])
        if asked is None:  # one of them took the child down: ask one by one
            asked = {}
            for entry in new:
                alone = _ask([entry.target])
                broken = {"broken": "importing it ends the process or takes too long"}
                asked |= alone if alone is not None else {entry.target: broken}
        for entry in new:
            facts = asked[entry.target]
            stamp = {"installed": _installed()} if "broken" in facts else {}
            cache[keys[entry.name]] = facts | stamp
        _write(path, cache)
    return {entry.name: cache[keys[entry.name]] for entry in entries}


def _ask(targets: list[str]) -> dict[str, dict[str, Any]] | None:
    """Facts of targets from a child process; None when it does not answer."""
    paths = [path or str(Path.cwd()) for path in sys.path]
    try:
        done = subprocess.run(
            # -P: nothing from the working folder that is not on our own path.
            [sys.executable, "-P", "-m", "sepbench.harness.run.probe", *targets],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
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
    if inspect.isclass(found) and not dataclasses.is_dataclass(card):
        try:  # a card that depends on the settings: that of the default ones
            instance: Any = found()
            card = instance.card
        except Exception as error:  # a stranger's constructor may raise anything
            return {"broken": f"no card without an instance, and none: {_words(error)}"}
    cards = [c for c in getattr(found, "cards", ()) if dataclasses.is_dataclass(c)]
    if dataclasses.is_dataclass(card):
        protocols = getattr(found, "protocols", None)
        own = {"protocol_fields": dict(protocols)} if isinstance(protocols, Mapping) else {}
        return {**plain(card), **own}
    if cards:
        return {"cards": [plain(c) for c in cards]}
    summary = getattr(found, "summary", None)
    return {"summary": summary} if isinstance(summary, str) else {"broken": "it has no card"}


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _key(entry: Entry) -> str:
    """Changes when the plugin's version or its file changes."""
    file = source_file(entry.module)
    stamp = f"{file.stat().st_mtime_ns}-{file.stat().st_size}" if file else "absent"
    package = (entry.package, entry.package_version, entry.target)
    return " ".join((_FORMAT, sys.prefix, *package, str(file), stamp))


def _installed() -> str:
    """Changes when a package is installed or removed: folders on the path get another time."""
    times = [(path, Path(path).stat().st_mtime_ns) for path in sys.path if Path(path).is_dir()]
    return hashlib.sha256(repr(times).encode()).hexdigest()[:16]


def _cache_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sepbench" / "plugins.json"


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # no cache yet, or one that was cut short: asking again costs a second
    whole = isinstance(data, dict) and all(isinstance(facts, dict) for facts in data.values())
    return data if whole else {}


def _write(path: Path, cache: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        unfinished.write_text(json.dumps(cache), "utf-8")
        unfinished.replace(path)
    except OSError:
        return  # a cache that cannot be written only costs time


if __name__ == "__main__":
    answers = {target: _facts(target) for target in sys.argv[1:]}
    # On a line of its own, whatever a plugin printed before.
    sys.stdout.write(f"\n{_MARK}{json.dumps(answers, default=str)}\n")
