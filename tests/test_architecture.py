"""The arrows, sizes and names that keep the tree readable, held by reading every source file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("harness", "baselines", "datasets", "reports")
SOURCES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
}
# Layers of harness/, low to high; a module may import its own layer and those below.
API = ("harness.api", "harness.api.*", "harness.errors")
RECORDS = ("harness.records", "harness.registry", "harness.modules", "harness.identity")
STORAGE = ("harness.storage", "harness.storage.*")
SIGNALS = ("harness.audio", "harness.mixing")
METRICS = ("harness.metrics", "harness.metrics.*")
STAGES = ("harness.stages", "harness.stages.*")
PLAN = ("harness.plan", "harness.queries", "harness.protocols", "harness.settings")
ENGINES = ("harness.engines", "harness.engines.*")
STORE = (
    "harness.store",
    "harness.store_*",
    "harness.stored_scores",
    "harness.database",
    "harness.workspace_lock",
)
PROBING = ("harness.probing", "harness.probing.*")
TRAINING = ("harness.training", "harness.training.*")
TABLES = (
    *("harness.aggregate", "harness.averages", "harness.item_scores", "harness.targets"),
    *("harness.paired", "harness.resampling", "harness.marks", "harness.table_notes"),
    *("harness.compare", "harness.sensitivity", "harness.breakdown", "harness.published"),
    "harness.contamination",
    "harness.plain_text",
)
RUN = ("harness.run", "harness.run.*")
# Who may import whom: the first pattern that fits a module decides.
ARROWS: dict[str, tuple[str, ...]] = {
    "harness.api*": API,
    "harness.errors": (),
    "harness.modules": (),
    # Lazy names only: nothing is imported before it is asked for.
    "harness": (*API, "harness.run.python_api"),
    "harness.storage*": (*API, *STORAGE),
    "harness.audio": API,
    "harness.mixing": API,
    "harness.records": API,
    "harness.registry": API,
    "harness.identity": (*API, "harness.modules"),
    "harness.metrics*": (*API, "harness.registry", *METRICS),
    "harness.stages*": (*API, *RECORDS, "harness.audio", *METRICS, *STAGES, *STORAGE),
    "harness.composition": ("harness.errors",),
    "harness.settings": (*API, "harness.composition"),
    "harness.protocols": API,
    "harness.queries": (*API, "harness.identity"),
    "harness.lists": API,
    "harness.plan": (*API, "harness.identity", "harness.lists", "harness.queries"),
    "harness.engines*": (*API, *RECORDS, *SIGNALS, "harness.settings", *STAGES, *ENGINES, *STORAGE),
    "harness.database": (*API, "harness.store_schema"),
    "harness.workspace_lock": API,
    "harness.stored_scores": (*API, *RECORDS, "harness.store", "harness.store_results"),
    "harness.store*": (*API, *RECORDS, "harness.plan", *STORE, *STORAGE),
    "harness.resampling": (),
    "harness.averages": (*API, "harness.resampling"),
    "harness.contamination": (),
    "harness.probing*": (*API, "harness.audio", "harness.averages", "harness.identity", *PROBING),
    "harness.aggregate": (
        *API,
        *RECORDS,
        *("harness.averages", "harness.resampling", "harness.contamination"),
        *("harness.item_scores", "harness.table_notes"),
        *("harness.store", "harness.stored_scores"),
    ),
    "harness.plain_text": (),
    "harness.table_notes": (
        *(*API, "harness.item_scores", "harness.plain_text", "harness.resampling"),
    ),
    "harness.paired": (*API, "harness.resampling"),
    "harness.item_scores": (
        *(*API, *RECORDS),
        *("harness.store", "harness.store_results", "harness.stored_scores"),
    ),
    "harness.targets": (*API, "harness.item_scores", "harness.paired"),
    "harness.compare": (
        *(*API, "harness.paired", "harness.resampling", "harness.item_scores", "harness.targets"),
        "harness.store",
    ),
    "harness.marks": ("harness.aggregate", "harness.compare"),
    "harness.sensitivity": (*API, "harness.compare", "harness.item_scores", "harness.store"),
    "harness.breakdown": (
        *(*API, "harness.averages", "harness.resampling", "harness.aggregate"),
        *("harness.item_scores", "harness.store", "harness.stored_scores"),
    ),
    "harness.published": (
        *(*API, "harness.aggregate", "harness.breakdown", "harness.item_scores"),
        "harness.store",
    ),
    "harness.configs*": (),
    "harness.training*": (
        *(*API, *SIGNALS, *METRICS, *TRAINING),
        *("harness.composition", "harness.identity"),
    ),
    "harness.run*": (
        *(*API, *RECORDS, *SIGNALS, *METRICS, *STAGES, *PLAN, *ENGINES, *STORE, *TABLES, *PROBING),
        *RUN,
        *TRAINING,
        *STORAGE,
        *("baselines.catalog", "datasets.catalog", "reports.catalog", "reports.contract"),
        "reports.frame",
        *("baselines.weights", "baselines.encoders.catalog"),
    ),
    "harness.cli*": (
        *("harness.cli", "harness.cli.*", "harness.errors", "harness.settings", "harness.store"),
        *("harness.composition", "harness.training.settings"),
        *(*RUN, "reports.text"),
    ),
    "baselines*": ("baselines", "baselines.*", *API, "harness.audio"),
    "datasets*": (*("datasets.*", *API, "harness.audio", "harness.mixing"),),
    "reports*": (
        *("reports", "reports.*", *API),
        *(*TABLES, "harness.store"),
    ),
}
HEAVY = {
    *("torch", "torchaudio", "torchnmf", "transformers", "sklearn", "scipy", "pandas", "museval"),
    *("laion_clap", "fast_bss_eval", "hydra", "omegaconf", "av", "soundfile", "soxr", "rich"),
    "lightning",
}
# Module -> heavy packages it may import at its top, each with the reason it hurts nobody.
HEAVY_AT_TOP: dict[str, set[str]] = {
    # Tensor code from end to end; bss_eval and the families import these inside functions.
    "harness.metrics.bss_frames": {"torch"},
    "harness.metrics.bss_projection": {"torch"},
    "harness.metrics.bss_shares": {"torch"},
    # They subclass what Lightning calls, and are imported when a training begins.
    "harness.training.module": {"torch", "lightning"},
    "harness.training.curve": {"lightning"},
    "harness.training.keeping": {"lightning"},
    "harness.training.stopping": {"lightning"},
}


def module_name(source: str) -> str:
    return source.removesuffix(".__init__")


def top_level(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """What runs when a module is imported: not the bodies of functions, nor what types need."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from top_level(node.orelse)
            continue
        yield node
        yield from top_level(ast.iter_child_nodes(node))


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        ours = [name for name in names if name.removeprefix("sepbench.") in MODULES]
        return ours or [node.module or ""]
    return []


MODULES = {module_name(source) for source in SOURCES}
TREES = {
    module_name(source): ast.parse(path.read_text("utf-8")) for source, path in SOURCES.items()
}


def own_imports(name: str) -> set[str]:
    found = [each for node in ast.walk(TREES[name]) for each in imported(node)]
    found += [  # "sepbench.harness.run.python_api" as text, of a lazy table
        node.value
        for node in ast.walk(TREES[name])
        if name == "harness"
        and isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"sepbench(\.\w+)+", node.value)
    ]
    return {each.removeprefix("sepbench.") for each in found if each.startswith("sepbench.")}


def allowed(name: str) -> tuple[str, ...]:
    return next(targets for pattern, targets in ARROWS.items() if fnmatch(name, pattern))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_arrow_points_down(name: str) -> None:
    against = {
        found
        for found in own_imports(name) - {name}
        if not any(fnmatch(found, pattern) for pattern in allowed(name))
    }

    assert against == set()


def test_nobody_imports_the_command_line() -> None:
    importers = {
        name
        for name in MODULES
        if not name.startswith("harness.cli")
        and any(found.startswith("harness.cli") for found in own_imports(name))
    }

    assert importers == set()


def test_only_the_command_line_and_the_python_api_import_the_composition_root() -> None:
    importers = {
        name
        for name in MODULES
        if not name.startswith("harness.run")
        and any(found.startswith("harness.run") for found in own_imports(name))
    }

    assert {name for name in importers if not name.startswith("harness.cli")} == {"harness"}


def test_only_the_composition_root_opens_catalogs() -> None:
    folders = ("baselines", "baselines.encoders", "datasets", "reports")
    catalogs = {f"{folder}.catalog" for folder in folders}
    importers = {name for name in MODULES if own_imports(name) & catalogs}

    assert importers == {"harness.run.catalogs"}


def heavy_at_top(name: str) -> set[str]:
    found = {
        each.partition(".")[0] for node in top_level(TREES[name].body) for each in imported(node)
    }
    return found & HEAVY


@pytest.mark.parametrize("name", sorted(MODULES))
def test_heavy_packages_are_imported_where_they_are_used(name: str) -> None:
    # network*.py of a system holds tensor code alone; its adapter imports it when weights load.
    networks = {"torch"} if fnmatch(name, "baselines.*.network*") else set()

    assert heavy_at_top(name) <= HEAVY_AT_TOP.get(name, set()) | networks


def test_every_exception_for_a_heavy_import_is_still_needed() -> None:
    needed = {name: heavy_at_top(name) for name in HEAVY_AT_TOP}

    assert needed == HEAVY_AT_TOP


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_modules_are_short(source: str) -> None:
    lines = SOURCES[source].read_text("utf-8").splitlines()

    assert len(lines) < 400


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_modules_are_named_after_what_they_do(source: str) -> None:
    assert SOURCES[source].stem not in {"utils", "helpers", "common", "misc"}


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_folders_are_shallow(source: str) -> None:
    assert source.count(".") <= 3


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, tree in TREES.items() if not ast.get_docstring(tree)]

    assert silent == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_the_command_line_prints(name: str) -> None:
    calls = [
        node.lineno
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "input")
    ]

    # build_demo is a script of its own.
    assert calls == [] or name == "datasets.demo.build_demo"


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_nothing_is_left_to_do(source: str) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", SOURCES[source].read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_is_evaluated_or_unpickled(name: str) -> None:
    calls = {ast.unparse(node.func) for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)}

    assert not calls & {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "os.system"}


def test_the_data_folder_has_no_init_that_would_shadow_other_packages() -> None:
    assert not (ROOT / "datasets" / "__init__.py").exists()
