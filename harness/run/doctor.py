"""`bench doctor`: is this machine ready, and if not, what to do."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from sepbench.harness.errors import BenchError
from sepbench.harness.run.catalogs import DATASETS
from sepbench.harness.run.compiling import compiler
from sepbench.harness.run.corpora import find_root, root_variable
from sepbench.harness.run.provenance import PACKAGES, package_version

Line: TypeAlias = tuple[Literal["ok", "note", "PROBLEM"], str, str]
OPTIONAL = {"museval": "museval", "laion-clap": "laion", "pesq": "speech", "pystoi": "speech"}


def examine(workspace: Path) -> Iterator[Line]:
    """One line a finding: verdict, what, detail with what to do."""
    yield "ok", "python", f"{platform.python_version()} on {platform.platform()}"
    for name in PACKAGES:
        found = package_version(name)
        yield ("ok", name, found) if found else ("PROBLEM", name, "missing; install sepbench again")
    for name, extra in OPTIONAL.items():
        found = package_version(name)
        yield (
            ("ok", name, found)
            if found
            else (
                "note",
                name,
                f"not installed; pip install 'sepbench[{extra}]' where a feature asks for it",
            )
        )
    yield _guarded("torch and torchaudio", _torch)
    yield _guarded("audio codecs", _codecs)
    found = compiler()
    yield (
        ("ok", "C++ compiler", found)
        if found
        else (
            "note",
            "C++ compiler",
            "none; torch.compile stays off on the CPU",
        )
    )
    yield from _disk(workspace)
    for name, entry in DATASETS.entries.items():
        if entry.package == "sepbench" and name != "demo":
            yield _dataset(name)


def _dataset(name: str) -> Line:
    try:
        root = find_root(name, None)
        if root is not None and root.is_dir():
            return "ok", f"dataset {name}", str(root)
    except BenchError as error:  # a URL that cannot be opened
        return "PROBLEM", f"dataset {name}", str(error)
    return "note", f"dataset {name}", f"no folder; set {root_variable(name)} or --root"


def _guarded(what: str, look: Callable[[], str]) -> Line:
    try:
        return "ok", what, look()
    except Exception as error:  # any failure of a library is the finding
        return "PROBLEM", what, f"{type(error).__name__}: {error}"


def _torch() -> str:
    import torch
    import torchaudio

    if not torch.cuda.is_available():
        where = f"CPU, {torch.get_num_threads()} threads"
    else:
        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        where = ", ".join(names)
    return f"{torch.__version__} and {torchaudio.__version__}; {where}"


def _codecs() -> str:
    """Write and read a second of each format that soundfile should know."""
    import numpy as np
    import soundfile

    from sepbench.harness.audio import read_audio

    tone = np.sin(np.arange(16000) / 10).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("wav", "flac", "ogg", "mp3"):
            path = Path(folder) / f"tone.{suffix}"
            soundfile.write(path, tone, 16000)
            read_audio(path)
    containers = "MP4 through PyAV" if importlib.util.find_spec("av") else "no MP4 (PyAV missing)"
    return f"WAV, FLAC, OGG, MP3 through {soundfile.__libsndfile_version__}; {containers}"


def _disk(workspace: Path) -> Iterator[Line]:
    folder = workspace.absolute()
    while not folder.exists():
        folder = folder.parent
    writable = os.access(folder, os.W_OK)
    free = shutil.disk_usage(folder).free
    yield (
        "ok" if writable else "PROBLEM",
        "workspace",
        f"{workspace}: {free / 1e9:.1f} GB free" + ("" if writable else "; not writable"),
    )
    for scratch in (Path("/dev/shm"), Path(tempfile.gettempdir())):
        if scratch.is_dir():
            free = shutil.disk_usage(scratch).free
            yield "ok", f"scratch {scratch}", f"{free / 1e9:.1f} GB free"
