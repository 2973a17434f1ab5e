from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.corpora.audiosep import CLOTHO, write_clotho, write_list, write_tone

from sepbench.datasets.clotho import Clotho
from sepbench.harness.api import BaselineCard
from sepbench.harness.errors import ManifestError, MissingFileError, MissingRootError
from sepbench.harness.plan import PlannedModel, plan_cells
from sepbench.harness.protocols import load_protocol

TEXT_MODEL = PlannedModel(
    label="m",
    name="m",
    target="m:M",
    card=BaselineCard(name="m", summary="", query_kinds=("text",)),
    settings={},
    identity={},
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_clotho(tmp_path)


@pytest.fixture
def real(shared: Path, tmp_path: Path) -> Path:
    name = "clotho_eval.csv"
    (tmp_path / name).write_bytes((shared / "audiosep_eval" / name).read_bytes())
    return tmp_path


def test_both_interfering_clips_survive_the_header_that_names_them_alike(root: Path) -> None:
    row = Clotho(root).scenes("audiosep")[0]

    assert row.details["interference"] == [
        "09-07-14_2338_Foz, fisherman next to the river.wav",
        "radiater-machine air and hum.wav",
    ]
    assert row.origins[0] == row.targets[0].cluster == "Santa Motor.wav"


def test_outer_blanks_of_a_caption_are_kept_and_carriage_returns_are_not(root: Path) -> None:
    row = Clotho(root).scenes("audiosep")[1]

    assert row.scene_id == "1554"
    assert row.targets[0].texts == ("Someone reaches into a bag of glass beads and uses it. ",)
    assert row.details["interference"][1] == "Coins Moving in Jar.wav"


def test_scene_is_target_and_what_else_is_in_the_mixture(root: Path) -> None:
    dataset = Clotho(root)

    scene = dataset.load(dataset.scenes("audiosep")[1], 16000, mono=True)

    assert set(scene.files) == {"segment-1554.wav", "mixture-1554.wav"}
    assert scene.mixture.shape == (1, 16000)
    np.testing.assert_allclose(sum(scene.sources.values()), scene.mixture, atol=1e-6)


def test_list_of_another_revision_is_refused(root: Path) -> None:
    write_list(root / "clotho_eval.csv", [CLOTHO[0], CLOTHO[1].replace("Santa", "Satan")])

    with pytest.raises(ManifestError, match="row 0 is not that of the published list"):
        Clotho(root).scenes("audiosep")


def test_missing_list_says_where_to_get_it(root: Path) -> None:
    (root / "clotho_eval.csv").unlink()

    with pytest.raises(MissingFileError, match=r"clotho_eval\.csv is missing.*evaluation/metadata"):
        Clotho(root).scenes("audiosep")


def test_default_protocol_needs_mixtures(root: Path, tmp_path_factory) -> None:
    assert Clotho(root).default_protocol() == "clotho-audiosep"
    with pytest.raises(MissingRootError, match="holds no mixtures of AudioSep's package"):
        Clotho(tmp_path_factory.mktemp("empty")).default_protocol()


def test_clips_are_the_captioned_ones_on_disk_outside_the_evaluation_split(root: Path) -> None:
    header = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"
    for split in ("development", "evaluation"):
        (root / f"clotho_captions_{split}.csv").write_text(
            header + '"Birds, #2 café .wav",a,b,c,d,"e, f"\nGone.wav,a,b,c,d,e\n', encoding="utf-8"
        )
        write_tone(root / split / "Birds, #2 café .wav")

    (clip,) = Clotho(root).clips("clips")

    assert clip.clip_id == "development/Birds, #2 café .wav"
    assert clip.captions == ("a", "b", "c", "d", "e, f")


def test_real_list_is_1045_clips_by_five_captions(real: Path) -> None:
    rows = Clotho(real).scenes("audiosep")

    targets = Counter(row.details["target"] for row in rows)
    captions = [row.targets[0].texts[0] for row in rows]
    among = [row.targets[0].attributes["target_among_interference"] for row in rows]
    assert len(rows) == 5225
    assert (len(targets), set(targets.values())) == (1045, {5})
    assert sum(caption != caption.strip() for caption in captions) == 4
    assert sum(bool(each) for each in among) == 9
    assert {len(row.details["interference"]) for row in rows} == {2}


def test_whole_list_is_planned_in_less_than_two_seconds_without_audio(real: Path) -> None:
    protocol = load_protocol("clotho-audiosep")

    start = time.process_time()  # of this process: others may share the machine
    (cell,) = plan_cells([TEXT_MODEL], [(protocol, Clotho(real))], kinds=(), shots=())
    items = list(cell.task.items()) if cell.task else []
    seconds = time.process_time() - start

    assert len(items) == 5225 == protocol.expected_items
    assert seconds < 2.0
