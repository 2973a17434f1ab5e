"""Identities: what makes two results the same number, and nothing else.

A cell's identity covers exactly what can change an estimate or a reference. Metrics, aggregation,
prose, batch size, worker count, `--limit` and which files happen to be present stay outside.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sepbench.harness.api import WITH_EXAMPLES, BaselineCard, Query, QueryKind, ScoringProtocol
from sepbench.harness.modules import is_package, source_file

# Raised when resampling, channel handling, chunking or mixing-down in the stages changes what a
# model gets or what becomes of its output: old and new estimates then live in different cells.
PIPELINE_VERSION = 1
# What finds weights does not compute with them: they count by their contents, and a new line in
# the table of downloads must not make old results another model's.
UNCOUNTED = {"sepbench.baselines.weights", "sepbench.baselines.weights_catalog"}
# The files of a folder that a tokenizer is made of; a hub folder may hold the whole model too.
TOKENIZER_FILES = (".json", ".txt", ".model")
INSTALLATION_RECORD = "record.json"


# Made once: every item of a list is written with it, and lists have millions.
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(value: object) -> str:
    """JSON with sorted keys and no blanks: equal objects give equal text."""
    return encodable(_JSON.encode(value))


def encodable(text: str) -> str:
    """Text with what UTF-8 cannot hold (bytes of badly named files) written as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain(value: Any) -> Any:
    """A card as JSON can hold it; what it cannot hold, as text."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seed_of(*parts: object) -> int:
    """A 63-bit seed that depends on the parts alone, not on order or machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def query_key(query: Query) -> str:
    """The same text for the same question: key of the condition cache."""
    return canonical(
        {
            "text": query.text,
            "label": query.label,
            "examples": [[example.clip_id, str(example.path or "")] for example in query.examples],
        }
    )


def source_digest(module: str) -> str:
    """Digest of the code behind a baseline: its module and what that imports from its package.

    Comments, docstrings and formatting do not count, so that tidying a file keeps its results.
    For built-ins the package is `sepbench.baselines`, for others the first part of the name.
    A module without Python source (compiled, typed in a notebook) counts by its name alone.
    Nothing is imported: what a package keeps for special cases may be slow, or fail.
    """
    parts = module.split(".")
    package = ".".join(parts[:2]) if parts[0] == "sepbench" else parts[0]
    waiting, seen = [module], dict[str, str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        file = source_file(name)
        if file is None:
            seen[name] = ""
            continue
        source = file.read_bytes()
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):  # for another Python; it counts as it stands
            seen[name] = hashlib.sha256(source).hexdigest()
            continue
        seen[name] = hashlib.sha256(_code_only(tree).encode()).hexdigest()
        waiting += [
            found
            for found in _imports(tree, name, is_package(name))
            if (found == package or found.startswith(package + "."))
            and found not in UNCOUNTED
            and source_file(found)
        ]
    return digest(seen)


def baseline_identity(
    name: str,
    card: BaselineCard,
    *,
    source: str,
    settings: Mapping[str, Any],
    precision: str,
    chunk_seconds: float,
    overlap_seconds: float,
    sha256: Callable[[Path], str] = file_sha256,
) -> dict[str, Any]:
    """What can change an estimate on the model's side.

    Settings that name checkpoint files or tokenizer folders count by their contents, not by their
    paths.

    Args:
        name: in the registry, or "module:Class".
        card: the model's.
        source: digest of its code.
        settings: complete, with defaults.
        precision: of the network.
        chunk_seconds: of pieces of long audio.
        overlap_seconds: between pieces.
        sha256: sum of a file; given where sums are on record and need no reading.
    """
    plain: dict[str, Any] = {}
    checkpoints: dict[str, str] = {}
    for key, value in settings.items():
        contents = _contents(key, value, sha256)
        if contents is None:
            plain[key] = _plain(value)
        else:
            checkpoints[key] = contents
    chunk = (
        {"seconds": chunk_seconds, "overlap_seconds": overlap_seconds}
        if card.chunking == "harness"
        else card.chunking
    )
    return {
        "baseline": name,
        "version": card.version,
        "source": source,
        "settings": plain,
        "checkpoints": checkpoints,
        "precision": precision,
        "chunk": chunk,
        "sample_rate": card.sample_rate,
        "pipeline": PIPELINE_VERSION,
    }


def task_identity(
    protocol: ScoringProtocol, *, revision: str, mixing: str, kind: QueryKind, shots: int | None
) -> dict[str, Any]:
    """What can change a mixture, a reference or a query."""
    rule = protocol.query
    query: dict[str, Any] = {"kind": kind}
    if kind in WITH_EXAMPLES:
        query |= {"shots": shots, "pool": rule.pool}
        query |= {"draw": rule.draw} if rule.draw != "seeded" else {}
    if kind in ("text", "text+audio"):
        query |= {"template": rule.template}
        query |= {"prompts": dict(rule.prompts)} if rule.prompts else {}
    return {
        "protocol": protocol.name,
        "dataset": protocol.dataset,
        "list": protocol.list_name,
        "revision": revision,
        "mixing": mixing,
        "sample_rate": protocol.sample_rate,
        "channels": protocol.channels,
        "model_channels": protocol.model_channels,
        "query": query,
    }


def _contents(key: str, value: Any, sha256: Callable[[Path], str]) -> str | None:
    """Sum of the file or folder a setting names; None where it names none."""
    if value is None or not key.endswith(("checkpoint", "tokenizer")):
        return None
    path = Path(str(value))
    if path.is_file():
        return sha256(path)
    if not key.endswith("tokenizer") or not path.is_dir():
        return None
    files = {
        file.name: sha256(file)
        for file in path.iterdir()
        if file.suffix in TOKENIZER_FILES and file.name != INSTALLATION_RECORD and file.is_file()
    }
    return digest(files) if files else None


def _plain(value: Any) -> Any:
    """A setting as JSON can hold it.

    Values that are given are plain data. A default may be any object: its kind is enough here,
    because the code that makes it is in the source digest.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Path):
        return str(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _code_only(tree: ast.Module) -> str:
    """The syntax tree as text, without docstrings and positions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _imports(tree: ast.Module, module: str, is_package: bool) -> Sequence[str]:
    """Absolute names of everything the module imports, attributes included as guesses."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                keep = len(parents) - node.level + (1 if is_package else 0)
                base = ".".join([*parents[:keep], *([node.module] if node.module else [])])
            found.append(base)
            found += [f"{base}.{alias.name}" for alias in node.names]
    return [name for name in found if name]
