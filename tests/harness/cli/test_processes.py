"""The command as a process: how fast it starts, what it imports, and pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SUPPORT = Path(__file__).resolve().parents[2] / "support"
HEAVY = ("torch", "torchaudio", "transformers", "pandas", "scipy", "sklearn", "soundfile", "av")
# What runs after the command: prints which heavy packages it pulled in, on stderr.
SPY = f"""
import sys
from sepbench.harness.cli import main
sys.argv = ["bench", *sys.argv[1:]]
try:
    main()
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(SUPPORT), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def run(*command: str | Path, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), env=env, cwd=cwd, capture_output=True, text=True, check=False
    )


def bench() -> Path:
    return Path(sys.executable).parent / "bench"


def fastest(arguments: tuple[str, ...], env: dict[str, str], cwd: Path) -> float:
    """Seconds of the best of several: what the machine can, not what else it does.

    With bytecode kept, as an installed package has it, whatever this environment does with it.
    """
    env = {name: value for name, value in env.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(cwd / "bytecode")
    times = []
    for _ in range(6):
        start = time.perf_counter()
        done = run(bench(), *arguments, env=env, cwd=cwd)
        times.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
    return min(times)


def test_help_is_instant(variables: dict[str, str], tmp_path: Path) -> None:
    assert fastest(("--help",), variables, tmp_path) < 0.4


def test_the_list_is_instant_once_plugins_are_known(
    variables: dict[str, str], tmp_path: Path
) -> None:
    assert fastest(("list",), variables, tmp_path) < 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("list",),
        ("list", "models"),
        ("describe", "nmf"),
        ("run", "--help"),
        ("run", "--show-config"),
        ("run", "-m", "nmff"),
        ("report",),
        ("status",),
        ("profile",),
    ],
    ids=" ".join,
)
def test_what_computes_nothing_imports_nothing_heavy(
    variables: dict[str, str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run(sys.executable, "-c", SPY, *arguments, env=variables, cwd=tmp_path)

    assert done.stderr.splitlines()[-1] == "[]"


def test_importing_the_package_imports_nothing_heavy(
    variables: dict[str, str], tmp_path: Path
) -> None:
    code = f"import sys, sepbench.harness\nprint([n for n in {HEAVY!r} if n in sys.modules])"

    done = run(sys.executable, "-c", code, env=variables, cwd=tmp_path)

    assert done.stdout == "[]\n"


def test_a_reader_that_leaves_early_hears_nothing_more(
    variables: dict[str, str], tmp_path: Path
) -> None:
    with subprocess.Popen(
        [bench(), "list"],
        env=variables,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()

    assert error == ""
    assert process.returncode == 1  # as Click leaves it; the shell looks at the reader's code


@pytest.mark.slow
def test_a_run_with_processes_keeps_stdout_for_the_table(
    variables: dict[str, str], tmp_path: Path
) -> None:
    """A model that prints, and the progress bar, do not mix with the data."""
    options = ("-d", "kit", "datasets.kit.scenes=2", "bounds=[]", "-w", "work")

    done = run(
        *(bench(), "run", "-m", "kit-faulty", "models.kit-faulty.how=print", *options),
        env=variables,
        cwd=tmp_path,
    )

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0] == "kit · kit (mean over items, dB)"
    assert [line.split()[0] for line in lines[1:]] == ["Model", "-" * 10, "kit-faulty"]
    assert "\r" not in done.stderr
    assert "\x1b" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("6 items done. Written: ")


@pytest.mark.slow
def test_a_terminal_gets_a_progress_bar(variables: dict[str, str], tmp_path: Path) -> None:
    import pty

    main_end, terminal = pty.openpty()
    options = ("-d", "kit", "datasets.kit.scenes=2", "bounds=[]", "engine.name=inline")
    with subprocess.Popen(
        [str(bench()), "run", "-m", "kit-half", *options],
        env=variables | {"TERM": "xterm", "COLUMNS": "120"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while piece := os.read(main_end, 4096):
                shown += piece
        except OSError:
            pass  # the terminal's other end is closed: that is its end of file
        finally:
            os.close(main_end)
        assert process.stdout is not None
        table = process.stdout.read().decode()

    assert "items" in shown.decode()
    assert "6/6" in shown.decode()
    assert table.startswith("kit · kit")
