"""The two real files of the corpus's layout, end to end under SiSEC 2018's rules."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sepbench_testkit.machine import rows, run

from sepbench.datasets.musdb18 import STEMS, Musdb18

pytestmark = pytest.mark.slow

RATE = 44100
ROCK, FALCON = "Music Delta - 80s Rock", "The Easton Ellises - Falcon 69"
PROTOCOLS = {"sisec18": "bss_v4_", "sisec18-pairs": "bss_v4_pair_"}
MODELS = ("mixture", "kit-museval")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """Both files as test songs; a link out of the root would be refused."""
    root = tmp_path_factory.mktemp("musdb18")
    (root / "test").mkdir()
    for split, name in (("train", ROCK), ("test", FALCON)):
        shutil.copy(shared / "musdb18" / split / f"{name}.stem.mp4", root / "test")
    return root


@pytest.fixture(scope="module")
def frames(
    tmp_path_factory: pytest.TempPathFactory, corpus: Path
) -> dict[tuple[str, ...], list[float]]:
    """(model, protocol, song, stem, metric) -> its windows' values in dB."""
    workspace = tmp_path_factory.mktemp("ws")
    settings = [f"datasets.musdb18.root={corpus}"]
    for protocol, models in (("sisec18", MODELS), ("sisec18-pairs", MODELS[1:])):
        assert run(workspace, models=models, datasets=[f"musdb18:{protocol}"], settings=settings).ok
    found = rows(
        workspace,
        "SELECT c.label, c.protocol, i.scene, i.target, m.metric, f.windows FROM frames f"
        " JOIN results r ON r.id = f.result_id JOIN cells c ON c.id = r.cell_id"
        " JOIN items i ON i.id = r.item_id JOIN metrics m ON m.id = f.metric_id",
    )
    keys = ("label", "protocol", "scene", "target", "metric")
    return {
        tuple(str(row[key]) for key in keys): np.frombuffer(row["windows"], "<f8").tolist()
        for row in found
    }


@pytest.fixture(scope="module")
def regression(shared: Path) -> dict[str, Any]:
    """museval's regression file: target -> its windows, five decimals."""
    content = json.loads((shared / "musdb18" / f"museval_expected_{ROCK}.json").read_text())
    return {target["name"]: target["frames"] for target in content["targets"]}


def test_every_song_stem_and_ratio_has_a_window_a_second(
    frames: dict[tuple[str, ...], list[float]],
) -> None:
    lengths = {ROCK: 300_032 // RATE, FALCON: 268_288 // RATE}

    for protocol, prefix in PROTOCOLS.items():
        for song, windows in lengths.items():
            for stem in STEMS:
                for ratio in ("sdr", "isr", "sir", "sar"):
                    key = ("kit-museval", protocol, song, stem, prefix + ratio)
                    assert len(frames[key]) == windows, key


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_vocals_of_the_regression_case_score_as_musevals_file_says(
    frames: dict[tuple[str, ...], list[float]], regression: dict[str, Any], protocol: str
) -> None:
    # The file is of museval 0.3.0; 0.4.1 reproduces its SDR alone, to the five decimals it keeps.
    expected = np.array([frame["metrics"]["SDR"] for frame in regression["vocals"]])

    key = ("kit-museval", protocol, ROCK, "vocals", f"{PROTOCOLS[protocol]}sdr")
    found = np.array(frames[key])

    # A window without value is one in which museval's two sources sound and one of four does not.
    defined = ~np.isnan(found)
    assert defined.sum() >= (len(expected) if protocol == "sisec18-pairs" else 1)
    np.testing.assert_allclose(found[defined], expected[defined], atol=2e-5)


def test_the_mixtures_sdr_is_the_plain_ratio_of_each_window(
    frames: dict[tuple[str, ...], list[float]], corpus: Path
) -> None:
    dataset = Musdb18(corpus)

    for row in dataset.scenes("test"):
        scene = dataset.load(row, RATE, mono=False)
        for stem in STEMS:
            found = frames["mixture", "sisec18", row.scene_id, stem, "bss_v4_sdr"]
            for number, value in enumerate(found):
                part = slice(number * RATE, (number + 1) * RATE)
                reference = scene.sources[stem][:, part].astype(np.float64)
                error = scene.mixture[:, part].astype(np.float64) - reference
                if not np.isnan(value):
                    expected = 10 * np.log10(np.sum(reference**2) / np.sum(error**2))
                    assert value == pytest.approx(expected, abs=1e-6)
