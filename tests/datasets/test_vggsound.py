from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.corpora.audiosep import write_vggsound

from sepbench.datasets.vggsound import VggSound
from sepbench.harness.errors import ManifestError, MissingFileError, MissingRootError


def test_list_is_100_targets_by_ten_interfering_clips(tmp_path: Path) -> None:
    rows = VggSound(tmp_path).scenes("audiosep")

    targets = Counter(row.targets[0].cluster for row in rows)
    labels = {row.targets[0].label for row in rows}
    others = [row.targets[0].attributes["interference"] for row in rows]
    assert len(rows) == 1000 == len({row.scene_id for row in rows})
    assert (len(targets), set(targets.values())) == (100, {10})
    assert (len(labels), len(set(others))) == (85, 301)
    assert sum(row.targets[0].label == o for row, o in zip(rows, others, strict=True)) == 2
    assert sum("," in str(label) for label in (*labels, *set(others))) > 0


def test_a_row_takes_both_clips_from_its_name(tmp_path: Path) -> None:
    row = VggSound(tmp_path).scenes("audiosep")[0]

    assert row.origins == ("-JUBdOr8Hes", "37Vxf0Wz-3o")
    assert row.targets[0].cluster == "-JUBdOr8Hes_000030"
    assert row.targets[0].texts == ("playing accordion",)


@pytest.mark.parametrize("below", ["", "vggsound", "evaluation/data/vggsound"])
@pytest.mark.parametrize("inner", ["data", ""])
def test_scene_is_found_by_the_path_of_the_list(tmp_path: Path, below: str, inner: str) -> None:
    write_vggsound(tmp_path / below, inner=inner)
    dataset = VggSound(tmp_path)

    scene = dataset.load(dataset.scenes("audiosep")[1], 32000, mono=True)

    assert dataset.default_protocol() == "vggsound-audiosep"
    assert list(scene.sources) == ["playing accordion", "interference"]
    np.testing.assert_allclose(sum(scene.sources.values()), scene.mixture, atol=1e-6)


def test_missing_mixture_is_named(tmp_path: Path) -> None:
    dataset = VggSound(write_vggsound(tmp_path))

    with pytest.raises(MissingFileError, match=r"data/s0_wav/.*\+\+\+.*\.wav is missing"):
        dataset.load(dataset.scenes("audiosep")[2], 32000, mono=True)


def test_clips_are_the_training_ones_on_disk(tmp_path: Path) -> None:
    (clip,) = VggSound(write_vggsound(tmp_path)).clips("train-clips")

    assert (clip.clip_id, clip.origin) == ("--0PQM4-hqg_000030", "--0PQM4-hqg")
    assert clip.labels == ("waterfall, burbling",)


@pytest.mark.parametrize("line", ["a,b,c", "a,x,label,train"])
def test_table_of_clips_that_cannot_be_understood_is_refused(tmp_path: Path, line: str) -> None:
    write_vggsound(tmp_path)
    (tmp_path / "vggsound.csv").write_text(f"{line}\n")

    with pytest.raises(ManifestError, match="line 1, is not 'id,start,label,split'"):
        VggSound(tmp_path).clips("train-clips")


def test_clip_listed_twice_is_refused(tmp_path: Path) -> None:
    write_vggsound(tmp_path)
    with (tmp_path / "vggsound.csv").open("a") as table:
        table.write('--0PQM4-hqg,30,"waterfall, burbling",train\n')

    with pytest.raises(ManifestError, match="the clip '--0PQM4-hqg_000030' more than once"):
        VggSound(tmp_path).clips("train-clips")


def test_folder_without_mixtures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingRootError, match=r"holds no mixtures \(data/mix_wav"):
        VggSound(tmp_path).default_protocol()


def test_without_a_table_there_are_no_clips(tmp_path: Path) -> None:
    assert VggSound(tmp_path).clips("train-clips") == ()


def test_shipped_list_is_the_published_file(shared: Path) -> None:
    from sepbench.datasets.audiosep_lists import LISTS

    published = shared / "audiosep_eval" / "vggsound_eval.csv"

    assert (LISTS / "vggsound_audiosep.csv").read_bytes() == published.read_bytes()
