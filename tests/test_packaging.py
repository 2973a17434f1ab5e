"""The wheel holds everything the tree holds, and works from a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("harness", "baselines", "datasets", "reports")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def files() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    parts = {path: set(path.relative_to(ROOT).parts) for path in found}
    return sorted(path.relative_to(ROOT) for path in found if "__pycache__" not in parts[path])


FILES = files()
DATA = [path for path in FILES if path.suffix != ".py"]


def test_the_packages_of_pyproject_are_the_folders_of_the_tree() -> None:
    folders = {path.parent.as_posix().replace("/", ".") for path in FILES}

    named = PYPROJECT["tool"]["setuptools"]["packages"]

    assert sorted(named) == sorted(f"sepbench.{folder}" for folder in folders)


def test_every_folder_of_modules_has_an_init_except_datasets() -> None:
    folders = {path.parent.as_posix() for path in FILES if path.suffix == ".py"}
    without = {folder for folder in folders if not (ROOT / folder / "__init__.py").is_file()}

    # An __init__ in datasets/ would shadow other packages of that name; demo/ holds data and the
    # script that made it.
    assert without == {"datasets", "datasets/demo"}


@pytest.mark.parametrize("path", DATA, ids=str)
def test_every_data_file_is_named_by_a_pattern(path: Path) -> None:
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]

    assert any(fnmatch(path.name, pattern.removeprefix("**/")) for pattern in patterns)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_says_that_it_is_typed(folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()


def test_no_extra_of_the_default_set_needs_an_old_numpy() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]

    assert not any("laion" in requirement for requirement in extras["all"])


def run(*command: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SEPBENCH_DATA")}
    if path is not None:
        variables["PYTHONPATH"] = str(path)
    done = subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed; building without isolation needs it")
    # From a copy: setuptools leaves build/ and egg-info in the folder it builds.
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for path in FILES:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes((ROOT / path).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "-w", str(out))
    run(sys.executable, "-m", "pip", "wheel", *options, str(source), cwd=source)
    (built,) = out.glob("sepbench-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-index", "--quiet", "--target", str(target))
    run(sys.executable, "-m", "pip", "install", *options, str(wheel), cwd=target)
    return target


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_tree_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert inside == {f"sepbench/{path.as_posix()}" for path in FILES}


@pytest.mark.slow
def test_the_installed_command_lists_what_there_is(installed: Path, tmp_path: Path) -> None:
    done = run(str(installed / "bin" / "bench"), "list", cwd=tmp_path, path=installed)

    assert "  nmf " in done.stdout
    assert "  demo " in done.stdout
    assert "  voicebank-demand " in done.stdout


@pytest.mark.slow
def test_the_installed_package_loads_its_clips_and_protocols(
    installed: Path, tmp_path: Path
) -> None:
    code = """
import sepbench.harness as sb
from sepbench.harness.protocols import load_protocol, protocol_names
from sepbench.harness import api
demo = sb.load_dataset("demo")
rows = demo.scenes("demo")
scene = demo.load(rows[0], 16000, mono=True)
print(api.__file__)
print(len(rows), scene.mixture.shape[0], len(demo.clips("queries")) > 0)
print(sum(1 for name in protocol_names() if load_protocol(name)) >= 5)
"""

    lines = run(sys.executable, "-c", code, cwd=tmp_path, path=installed).stdout.splitlines()

    assert Path(lines[0]).is_relative_to(installed)
    assert lines[1:] == ["40 1 True", "True"]
