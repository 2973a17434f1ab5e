"""What a run was made with: versions, commit, machine. No host names, no user names."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("numpy", "scipy", "torch", "torchaudio", "fast-bss-eval", "soundfile", "soxr", "av"),
    *("torchnmf", "transformers", "pandas", "hydra-core"),
)


def provenance() -> dict[str, Any]:
    """Plain data for the record of a run."""
    return {
        "sepbench": package_version("sepbench"),
        **source_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def package_version(name: str) -> str | None:
    """An installed package's version; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def source_state() -> dict[str, Any]:
    """Commit and dirty flag of the checkout this code runs from; empty when it is installed."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return {}
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit, "dirty": dirty}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout.strip()
