from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from sepbench_testkit.data import RATE, Kit

from sepbench.harness.api import Scene, SceneRow, ScoringProtocol, TargetRow
from sepbench.harness.errors import DatasetError, MissingFileError
from sepbench.harness.stages.load import load_scene

PROTOCOL = ScoringProtocol(
    name="kit", dataset="kit", list_name="noises", sample_rate=RATE, metrics=("sdr",)
)
ROW = SceneRow(scene_id="one", targets=(TargetRow(name="dog"),))
TONE = np.full((1, 100), 0.5, dtype=np.float32)


class Spoiled(Kit):
    """Gives out the scene it was made with."""

    def __init__(self, **changes: object) -> None:
        super().__init__()
        scene = Scene(scene_id="one", sample_rate=RATE, mixture=TONE, sources={"dog": TONE})
        self._scene = replace(scene, **changes)

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        return self._scene


def test_a_good_scene_keeps_its_samples_files_and_size() -> None:
    dataset = Kit(samples=400)

    loaded = load_scene(dataset, dataset.scenes("noises")[0], PROTOCOL)

    total = loaded.sources["dog"] + loaded.sources["rain"]
    np.testing.assert_array_equal(loaded.mixture, total)
    assert list(loaded.files) == ["dog-0.wav"]
    assert loaded.nbytes == 3 * 400 * 4
    assert loaded.seconds > 0


def test_other_number_types_become_contiguous_float32() -> None:
    double = np.full((100, 1), 0.5).T

    loaded = load_scene(Spoiled(mixture=double, sources={"dog": double}), ROW, PROTOCOL)

    assert loaded.mixture.dtype == np.float32
    assert loaded.mixture.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample_rate": 44100}, "came at 44100 Hz, 8000 Hz was asked for"),
        ({"mixture": TONE[0]}, r"mixture: shape \(100,\); expected \(channels, samples\)"),
        ({"mixture": TONE[:, :0]}, r"mixture: shape \(1, 0\)"),
        ({"mixture": np.full_like(TONE, np.nan)}, "mixture: holds NaN or infinite samples"),
        ({"sources": {"dog": TONE * np.inf}}, "source dog: holds NaN or infinite samples"),
        ({"sources": {"dog": TONE[:, :50]}}, r"source dog has shape \(1, 50\), the mixture"),
        ({"sources": {"rain": TONE}}, r"target 'dog' is not among the sources \(rain\)"),
        ({"sources": {}}, r"target 'dog' is not among the sources \(none\)"),
        ({"mixture": np.tile(TONE, (2, 1))}, "came with 2 channels, a mono mixture was asked for"),
    ],
)
def test_a_dataset_that_breaks_its_contract_is_named_with_its_scene(
    changes: Mapping[str, object], words: str
) -> None:
    with pytest.raises(DatasetError, match=f"Dataset kit, scene one.*{words}"):
        load_scene(Spoiled(**changes), ROW, PROTOCOL)


def test_an_absent_target_needs_no_source() -> None:
    row = replace(ROW, targets=(TargetRow(name="cat", absent=True),))

    loaded = load_scene(Spoiled(), row, PROTOCOL)

    assert list(loaded.sources) == ["dog"]


def test_the_datasets_own_error_comes_through() -> None:
    dataset = Kit(special={"0": "missing"})

    with pytest.raises(MissingFileError, match=r"dog-0\.wav is missing"):
        load_scene(dataset, dataset.scenes("noises")[0], PROTOCOL)
