from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.corpora.audiosep import write_vggsound
from sepbench_testkit.corpora.vggsound import GOOD, write_clipsep
from sepbench_testkit.machine import run, scores

from sepbench.datasets.vggsound import VggSound
from sepbench.datasets.vggsound_clipsep import clipsep_rows, excerpt
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import ManifestError, MissingFileError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_clipsep(tmp_path)


def test_each_hand_checked_clip_meets_another_of_other_label_and_video(root: Path) -> None:
    rows = VggSound(root).scenes("clipsep")

    pairs = {row.details["clip"]: row.details["with"] for row in rows}
    assert [row.scene_id for row in rows] == ["0000", "0001"]
    assert [(row.details["clip"], row.targets[0].label) for row in rows] == list(GOOD)
    # The waterfall may meet the dog or the march, the dog anything but dogs.
    assert pairs[GOOD[0][0]] in ("c+c-ccccccc_000007", "ddddddddddd_000012")
    assert pairs[GOOD[1][0]] in ("ddddddddddd_000012", "fffffffffff_000001")
    assert len(set(pairs.values())) == 2
    assert rows[0].origins == ("-Ab_cdefghi", pairs[GOOD[0][0]].rpartition("_")[0])


def test_pairs_do_not_depend_on_the_order_of_the_table_nor_on_what_is_on_disk(root: Path) -> None:
    before = VggSound(root).scenes("clipsep")
    lines = (root / "vggsound.csv").read_text("utf-8").splitlines(keepends=True)
    (root / "vggsound.csv").write_text("".join(reversed(lines)), "utf-8")
    for path in (root / "test").iterdir():
        path.unlink()

    assert VggSound(root).scenes("clipsep") == before


def test_a_scene_is_the_plain_sum_of_the_middle_of_both_clips(root: Path) -> None:
    dataset = VggSound(root)
    row = dataset.scenes("clipsep")[0]

    scene = dataset.load(row, 16000, mono=True)

    target = scene.sources[GOOD[0][1]]
    whole = read_audio(root / "test" / f"{GOOD[0][0]}.wav", sample_rate=16000, mono=True).samples
    start = (whole.shape[1] - 65535) // 2
    assert scene.mixture.shape == (1, 65535)
    np.testing.assert_array_equal(target, whole[:, start : start + 65535])
    np.testing.assert_array_equal(scene.mixture, target + scene.sources["interference"])
    assert set(scene.files) == {f"test/{row.details[key]}.wav" for key in ("clip", "with")}


def test_a_short_clip_is_padded_and_another_rate_takes_as_many_seconds() -> None:
    short = np.ones((1, 100), np.float32)

    assert excerpt(short, 16000).shape == (1, 65535)
    assert excerpt(short, 16000).sum() == 100
    assert excerpt(np.ones((1, 200_000), np.float32), 32000).shape == (1, 131070)


def test_the_list_is_scored_end_to_end_under_its_protocol(root: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"

    run(
        workspace,
        models=["mixture"],
        datasets=["vggsound:clipsep"],
        settings=[f"datasets.vggsound.root={root}"],
    )

    found = scores(workspace)
    assert {key[2] for key in found} == {"0000", "0001"}
    for scene in ("0000", "0001"):
        keys = [k for k in found if k[2] == scene and k[5] in ("bss_image_sdr", "bss_image_sir")]
        assert len(keys) == 2
        # Two noises of one level: the mixture is near 0 dB.
        assert all(abs(found[key][0] or 9.0) < 0.5 for key in keys)


def test_clipseps_list_is_the_default_where_no_mixtures_are(root: Path, tmp_path: Path) -> None:
    assert VggSound(root).default_protocol() == "clipsep"
    assert VggSound(write_vggsound(tmp_path / "both")).default_protocol() == "vggsound-audiosep"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test-good.csv", "github.com/sony/CLIPSep"),
        ("vggsound.csv", "clips that CLIPSep's are mixed with come from it"),
    ],
)
def test_a_missing_table_says_where_to_get_it(root: Path, name: str, words: str) -> None:
    (root / name).unlink()

    with pytest.raises(MissingFileError, match=words):
        VggSound(root).scenes("clipsep")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.mp3,b,80\n", "line 3, is not 'audio path"),
        ("./noclip.mp3,b,80,dog\n", "line 3, is not 'audio path"),
        (f"x/{GOOD[0][0]}.wav,b,80,dog\n", "more than once"),
        ('"', "cannot be read as a CSV table"),
    ],
)
def test_a_list_that_cannot_be_understood_is_refused(root: Path, line: str, words: str) -> None:
    with (root / "test-good.csv").open("a", encoding="utf-8") as file:
        file.write(line)

    with pytest.raises(ManifestError, match=words):
        VggSound(root).scenes("clipsep")


def test_a_table_too_small_to_mix_from_is_refused_with_the_clip(root: Path) -> None:
    with pytest.raises(ManifestError, match="is left to be mixed with -Ab_cdefghi_000030"):
        list(clipsep_rows(root, [("fffffffffff_000001", "waterfall, burbling")]))


def test_a_missing_clip_is_named(root: Path) -> None:
    dataset = VggSound(root)
    row = dataset.scenes("clipsep")[0]
    (root / "test" / f"{row.details['with']}.wav").unlink()

    with pytest.raises(MissingFileError, match=row.details["with"].replace("+", r"\+")):
        dataset.load(row, 16000, mono=True)


def test_a_table_of_the_size_of_vggsounds_is_drawn_from_quickly(tmp_path: Path) -> None:
    others = [(f"{number:011d}_000000", f"label {number % 309}") for number in range(15446)]
    with (tmp_path / "test-good.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            (f"{number:010d}x_000001.wav", "", "80", f"label {number}") for number in range(100)
        )

    before = time.process_time()
    rows = list(clipsep_rows(tmp_path, others))
    took = time.process_time() - before

    assert len({row.details["with"] for row in rows}) == 100
    assert took < 2.0
