"""BSS Eval by the packages of others: same values, and help where one is missing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from sepbench.harness.errors import MissingExtraError, UndefinedScoreError, UsageError
from sepbench.harness.metrics import backends, bss_eval_images, bss_eval_sources


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_fast_bss_eval_gives_the_same_values(sources):
    references = noise(sources, 4000)
    estimates = references + 0.3 * references[::-1] + 0.1 * noise(sources, 4000, seed=1)

    ours = bss_eval_sources(references, estimates)
    theirs = bss_eval_sources(references, estimates, backend="fast_bss_eval")

    for name in ("sdr", "sir", "sar"):
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), atol=1e-6)


def test_fast_bss_eval_refuses_signals_as_ours_does():
    references = noise(2, 4000)
    references[1] = 0.0

    with pytest.raises(UndefinedScoreError, match="the reference 1 is silent"):
        bss_eval_sources(references, noise(2, 4000), backend="fast_bss_eval")


@pytest.mark.parametrize(
    ("module", "package", "call"),
    [
        ("fast_bss_eval.torch.metrics", "fast_bss_eval", bss_eval_sources),
        ("museval.metrics", "museval", lambda x, y, backend: images(x, y, backend)),
    ],
)
def test_a_missing_package_is_named_with_its_installation(monkeypatch, module, package, call):
    monkeypatch.setitem(sys.modules, module, None)
    signals = noise(2, 2000) if package == "fast_bss_eval" else noise(2, 1, 2000)

    with pytest.raises(MissingExtraError, match=rf"The backend {package} needs.*pip install"):
        call(signals, signals, backend=package)


def images(references, estimates, backend):
    return bss_eval_images(references, estimates, sample_rate=2000, backend=backend)


def test_museval_without_ffmpeg_says_how_to_install_it(monkeypatch):
    def no_ffmpeg(name):
        raise RuntimeError("ffmpeg or ffprobe could not be found! Please install them")

    monkeypatch.setattr(backends.importlib, "import_module", no_ffmpeg)

    with pytest.raises(UsageError, match=r"needs the programs ffmpeg and ffprobe.*apt install"):
        images(noise(2, 1, 2000), noise(2, 1, 2000), "museval")


def test_other_errors_at_the_import_of_museval_pass(monkeypatch):
    def broken(name):
        raise RuntimeError("something else")

    monkeypatch.setattr(backends.importlib, "import_module", broken)

    with pytest.raises(RuntimeError, match="something else"):
        backends.import_museval()


@pytest.mark.skipif(importlib.util.find_spec("museval") is None, reason="museval not installed")
def test_museval_gives_the_same_values_once_its_programs_are_found(tmp_path):
    # It only looks whether programs of these names exist; nothing here runs them.
    for name in ("ffmpeg", "ffprobe"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
    code = """
import numpy as np
from sepbench.harness.metrics import bss_eval_images
rng = np.random.default_rng(0)
references, noise = rng.standard_normal((2, 2, 1, 5000))
estimates = references + 0.3 * references[::-1] + 0.1 * noise
options = {"sample_rate": 1000, "window": 2.0, "hop": 0.5}
ours = bss_eval_images(references, estimates, **options)
theirs = bss_eval_images(references, estimates, backend="museval", **options)
assert theirs.sir.shape == (2, 7)
for name in ("sdr", "isr", "sir", "sar"):
    np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), atol=1e-6)
"""
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env=environment)
