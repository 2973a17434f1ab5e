from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.machine import rows, run, scores

from sepbench.datasets.demo_set import CAPTIONS, DATA, Demo
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import (
    AudioFileError,
    ChangedFileError,
    ManifestError,
    MissingFileError,
    MissingRootError,
    UnsafePathError,
)


@pytest.fixture(scope="module")
def manifest() -> list[dict[str, str]]:
    with (DATA / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA, tmp_path / "demo"))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def ratio_db(signal: np.ndarray, other: np.ndarray) -> float:
    energies = [np.square(s, dtype=np.float64).sum() for s in (signal, other)]
    return float(10 * np.log10(energies[0] / energies[1]))


def test_the_set_is_small_enough_to_ship() -> None:
    size = sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file())

    assert 4e6 < size < 8e6


def test_manifest_lists_exactly_the_clips_that_ship(manifest) -> None:
    listed = {row["file"] for row in manifest}

    assert listed == {f"clips/{path.name}" for path in (DATA / "clips").iterdir()}
    assert len(listed) == 110


def test_every_class_has_eight_mixture_clips_and_three_query_clips(manifest) -> None:
    counts = Counter((row["role"], row["label"]) for row in manifest)

    assert counts == {
        (role, label): count for role, count in (("mixture", 8), ("query", 3)) for label in CAPTIONS
    }


def test_only_free_licences_and_folds_that_are_not_for_training(manifest) -> None:
    assert {row["licence"] for row in manifest} == {"CC0", "CC-BY"}
    assert {row["fold"] for row in manifest} == {"4", "5"}


def test_every_clip_has_its_attribution(manifest) -> None:
    assert all(row["author"] for row in manifest)
    assert all(f"/sounds/{row['src_file']}/" in row["source_page"] for row in manifest)


def test_query_clips_share_no_recording_with_any_mixture(manifest) -> None:
    queries = {row["src_file"] for row in manifest if row["role"] == "query"}
    mixtures = {row["src_file"] for row in manifest if row["role"] == "mixture"}

    assert not queries & mixtures
    assert len(queries) == 30


def test_query_clips_share_no_author_with_mixtures_of_their_class(manifest) -> None:
    queries = {(row["label"], row["author"]) for row in manifest if row["role"] == "query"}
    mixtures = {(row["label"], row["author"]) for row in manifest if row["role"] == "mixture"}

    assert not queries & mixtures


def test_clips_are_four_seconds_at_32_khz_within_full_scale_and_not_silent(manifest) -> None:
    clips = [read_audio(DATA / row["file"]) for row in manifest]

    assert {(c.samples.shape, c.sample_rate) for c in clips} == {((1, 128000), 32000)}
    peaks = [float(np.abs(c.samples).max()) for c in clips]
    assert max(peaks) <= 1.0
    assert min(peaks) > 0.05
    assert [c.sha256 for c in clips] == [row["sha256"] for row in manifest]


def test_forty_scenes_use_each_mixture_clip_once(manifest) -> None:
    rows = Demo().scenes("demo")

    used = [row.details[which] for row in rows for which in ("clip_a", "clip_b")]
    assert len(rows) == 40 == len({row.scene_id for row in rows})
    assert sorted(used) == sorted(row["file"] for row in manifest if row["role"] == "mixture")


def test_no_pair_of_classes_is_mixed_twice_and_ratios_are_balanced() -> None:
    rows = Demo().scenes("demo")

    pairs = [frozenset(target.label for target in row.targets) for row in rows]
    assert {len(pair) for pair in pairs} == {2}
    assert len(set(pairs)) == 40
    ratios = Counter(row.details["snr_db"] for row in rows)
    assert ratios == {-10.0: 8, -5.0: 8, 0.0: 8, 5.0: 8, 10.0: 8}


def test_both_sounds_are_asked_for_by_label_and_by_caption() -> None:
    row = Demo().scenes("demo")[0]

    first, second = row.targets
    assert first.name == first.label
    assert first.texts == (CAPTIONS[first.label],)
    assert first.attributes["interference"] == second.label
    assert first.attributes["snr_db"] == -second.attributes["snr_db"] == row.details["snr_db"]
    assert (first.cluster, second.cluster) == row.origins


@pytest.mark.parametrize("rate", [32000, 16000])
def test_mixtures_have_the_stated_ratio_and_are_the_sum_of_their_sources(rate: int) -> None:
    dataset = Demo()
    rows = dataset.scenes("demo")

    scenes = [dataset.load(row, rate, mono=True) for row in rows]

    measured = [
        ratio_db(scene.sources[target.name], scene.sources[other.name])
        for row, scene in zip(rows, scenes, strict=True)
        for target, other in (row.targets, row.targets[::-1])
    ]
    stated = [target.attributes["snr_db"] for row in rows for target in row.targets]
    np.testing.assert_allclose(measured, stated, atol=0.01)
    errors = [np.abs(scene.mixture - sum(scene.sources.values())).max() for scene in scenes]
    assert max(errors) < 1e-6
    assert {scene.mixture.shape for scene in scenes} == {(1, 4 * rate)}
    assert max(float(np.abs(scene.mixture).max()) for scene in scenes) <= 1.0


def test_loading_twice_gives_the_same_samples() -> None:
    row = Demo().scenes("demo")[7]

    once, again = (Demo().load(row, 16000, mono=True) for _ in range(2))

    np.testing.assert_array_equal(once.mixture, again.mixture)
    assert (
        once.files
        == again.files
        == {
            row.details["clip_a"]: row.details["clip_a_sha256"],
            row.details["clip_b"]: row.details["clip_b_sha256"],
        }
    )


def test_pools_hold_the_clips_of_their_role_with_labels_and_captions() -> None:
    dataset = Demo()

    queries, mixtures = dataset.clips("queries"), dataset.clips("mixtures")

    assert (len(queries), len(mixtures)) == (30, 80)
    assert len({clip.clip_id for clip in (*queries, *mixtures)}) == 110
    assert all(clip.captions == (CAPTIONS[clip.labels[0]],) for clip in queries)
    assert all(clip.path.is_file() and clip.origin in clip.clip_id for clip in queries)


def test_default_protocol_is_demo_while_the_folder_is_there(tmp_path: Path) -> None:
    assert Demo().default_protocol() == "demo"
    with pytest.raises(MissingRootError, match="reinstall"):
        Demo(tmp_path / "gone").default_protocol()


def test_changed_clip_is_refused(copy: Path) -> None:
    dataset = Demo(copy)
    row = dataset.scenes("demo")[0]
    shutil.copy(copy / dataset.scenes("demo")[1].details["clip_a"], copy / row.details["clip_a"])

    with pytest.raises(ChangedFileError, match=r"is not the file that the manifest describes"):
        dataset.load(row, 16000, mono=True)


def test_missing_and_truncated_clips_are_named(copy: Path, spoil) -> None:
    dataset = Demo(copy)
    row = dataset.scenes("demo")[0]
    spoil(copy / row.details["clip_a"], "truncated")
    (copy / row.details["clip_b"]).unlink()

    with pytest.raises(AudioFileError, match="is truncated"):
        dataset.load(row, 16000, mono=True)
    shutil.copy(DATA / row.details["clip_a"], copy / row.details["clip_a"])
    with pytest.raises(MissingFileError, match=f"{row.details['clip_b']} is missing"):
        dataset.load(row, 16000, mono=True)


def test_manifest_cannot_lead_out_of_the_folder(copy: Path) -> None:
    dataset = Demo(copy)
    name = dataset.scenes("demo")[0].details["clip_a"]
    for table in ("manifest.csv", "scenes.csv"):
        replace(copy / table, name, "../outside.ogg")
    tampered = Demo(copy)

    with pytest.raises(UnsafePathError, match=r"\.\./outside\.ogg"):
        tampered.load(tampered.scenes("demo")[0], 16000, mono=True)


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        ("scenes.csv", "02-", "01-helicopter-rooster,", "fields where the header"),
        ("scenes.csv", "clips/", "clips/no-", "which the manifest does not have"),
        ("manifest.csv", ",query,", ",quarry,", "role 'quarry'; one of them is unknown"),
        ("manifest.csv", "src_file", "source", "no column 'src_file'"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    copy: Path, table: str, old: str, new: str, words: str
) -> None:
    replace(copy / table, old, new)

    with pytest.raises(ManifestError, match=words):
        Demo(copy).scenes("demo")


def test_ratio_that_is_no_number_is_refused(copy: Path) -> None:
    with (copy / "scenes.csv").open("a", encoding="utf-8") as file:
        row = Demo(copy).scenes("demo")[0].details
        file.write(f"41,{row['clip_a']},{row['clip_b']},loud\n")

    with pytest.raises(ManifestError, match="the SNR of scene 41 is 'loud'"):
        Demo(copy).scenes("demo")


def test_scene_id_given_twice_is_refused(copy: Path) -> None:
    row = Demo(copy).scenes("demo")[0]
    with (copy / "scenes.csv").open("a", encoding="utf-8") as file:
        file.write(f"{row.scene_id},{row.details['clip_a']},{row.details['clip_b']},0\n")

    with pytest.raises(ManifestError, match=f"the scene '{row.scene_id}' more than once"):
        Demo(copy).scenes("demo")


def test_building_again_from_esc10_chooses_the_same(shared: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("build_demo", DATA / "build_demo.py")
    script = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name while the class is made.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "build_demo", script)
        spec.loader.exec_module(script)

        script.main(["--esc10", str(shared / "esc10"), "--out", str(tmp_path)])

    assert (tmp_path / "scenes.csv").read_bytes() == (DATA / "scenes.csv").read_bytes()
    # The last column, sha256, also depends on the version of the encoder.
    built, shipped = (
        [line.rpartition(",")[0] for line in (folder / "manifest.csv").read_text().splitlines()]
        for folder in (tmp_path, DATA)
    )
    assert built == shipped


def test_the_absent_list_asks_the_same_mixtures_for_what_they_do_not_hold() -> None:
    dataset = Demo()
    present, absent = dataset.scenes("demo"), dataset.scenes("absent")

    scene = dataset.load(absent[0], 32000, mono=True)
    same = dataset.load(present[0], 32000, mono=True)

    assert [row.scene_id for row in absent] == [row.scene_id for row in present]
    for with_it, without in zip(present, absent, strict=True):
        (target,) = without.targets
        assert target.absent
        assert target.label not in {other.label for other in with_it.targets}
    assert len({row.targets[0].label for row in absent}) == 10
    np.testing.assert_array_equal(scene.mixture, same.mixture)
    assert set(scene.sources) == set(same.sources)


@pytest.mark.parametrize("which", ["interference", "absent"])
def test_a_wrong_query_names_something_else_and_the_target_stays(which: str) -> None:
    dataset = Demo()
    right, wrong = dataset.scenes("demo"), dataset.scenes(f"wrong-{which}")

    for with_right, with_wrong in zip(right, wrong, strict=True):
        present = {target.name for target in with_right.targets}
        for asked, target in zip(with_right.targets, with_wrong.targets, strict=True):
            assert (target.name, target.cluster) == (asked.name, asked.cluster)
            assert not target.absent
            assert target.label != target.name == target.attributes["label"]
            assert target.attributes["asked"] == target.label
            assert (target.label in present) == (which == "interference")
            assert target.texts != asked.texts


def test_examples_of_a_wrong_query_are_of_the_class_that_it_names(tmp_path: Path) -> None:
    summary = run(
        tmp_path,
        models=["kit-half"],
        datasets=["demo:wrong-query-interference"],
        settings=["limit=4", "bounds=[]", "query=audio"],
    )

    assert summary.ok
    label_of = {clip.clip_id: clip.labels[0] for clip in Demo().clips("queries")}
    items = rows(tmp_path, "SELECT target, query, attributes FROM items")
    assert len(items) == 80  # all of them are planned
    for item in items:
        drawn = {label_of[name] for name in json.loads(item["query"])["examples"]}
        assert drawn == {json.loads(item["attributes"])["interference"]} != {item["target"]}


def test_half_of_the_mixture_is_suppressed_by_six_decibels(tmp_path: Path) -> None:
    summary = run(
        tmp_path,
        models=["kit-half"],
        datasets=["demo:absent-query"],
        settings=["limit=3", "bounds=[mixture,oracle-irm]"],
    )

    assert summary.ok
    found = scores(tmp_path)
    half = {value for key, (value, _) in found.items() if key[0] == "kit-half"}
    assert len(half) == 1 or max(half) - min(half) < 1e-4
    assert max(half) == pytest.approx(20 * np.log10(2), abs=1e-4)
    assert {value for key, (value, _) in found.items() if key[0] == "oracle-irm"} == {np.inf}
