"""`bench data` as a user meets it. Nothing here is audio: names, sizes and sums are enough."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sepbench.datasets.clotho import Clotho
from sepbench.datasets.esc50_list import read_list
from sepbench.harness.api import RemoteFile
from sepbench.harness.contamination import Overlap

Bench = Callable[..., Any]
# The first two pairs of ESC-50's list; the second clip of the second pair is not on disk.
FIRST, SECOND = read_list()[:2]
CLIPS = (FIRST.target_file, FIRST.interference_file, SECOND.target_file)
MANIFEST = ".sepbench-manifest.json"


@pytest.fixture(autouse=True)
def _no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEPBENCH_DATA", "SEPBENCH_ESC50", "SEPBENCH_CLOTHO"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def esc50(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "esc50"
    (root / "audio").mkdir(parents=True)
    for name in CLIPS:
        (root / "audio" / name).write_bytes(name.encode())
    monkeypatch.setenv("SEPBENCH_ESC50", str(root))
    return root


def words(out: str) -> list[list[str]]:
    return [line.split(maxsplit=2)[1:] for line in out.splitlines()]


# --- status ---------------------------------------------------------------------------------


def test_status_counts_the_scenes_of_each_list_and_names_missing_files(
    bench: Bench, esc50: Path
) -> None:
    done = bench("data", "status", "esc50")

    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert lines[0].split() == ["esc50", str(esc50), "(SEPBENCH_ESC50)"]
    assert lines[1].startswith(
        "  rebuilt            1 of 2,000 scenes; 1,999 missing: 0001 (audio/"
    )
    assert SECOND.interference_file in lines[1]
    assert lines[1].endswith(", …")
    assert "  manifest none" in lines
    assert any(line.startswith("  licence  CC BY-NC") for line in lines)
    assert any("github.com/karolpiczak/ESC-50" in line for line in lines)
    size = sum(len(name) for name in CLIPS)
    assert any(line.startswith(f"  on disk  3 files, {size} bytes; ") for line in lines)


def test_all_missing_files_go_to_a_table(bench: Bench, esc50: Path, tmp_path: Path) -> None:
    bench("data", "status", "esc50", "-o", "missing.csv")

    with (tmp_path / "missing.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["list"] == "rebuilt"]

    assert rows[0] == {
        "dataset": "esc50",
        "list": "rebuilt",
        "scene": "0001",
        "file": f"audio/{SECOND.interference_file}",
    }
    assert len({row["scene"] for row in rows}) == 1999


@pytest.mark.parametrize(
    ("arguments", "through"),
    [
        (("--root", "esc50={root}"), "datasets.esc50.root"),
        (("datasets.esc50.root={root}",), "datasets.esc50.root"),
        ((), "SEPBENCH_DATA"),
    ],
)
def test_status_says_what_names_the_folder(
    bench: Bench,
    esc50: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    through: str,
) -> None:
    monkeypatch.delenv("SEPBENCH_ESC50")
    monkeypatch.setenv("SEPBENCH_DATA", str(esc50.parent))

    done = bench("data", "status", "esc50", *(text.format(root=esc50) for text in arguments))

    assert done.out.splitlines()[0].endswith(f"({through})")


def test_status_without_names_is_also_json_and_has_all(bench: Bench, esc50: Path) -> None:
    states = {row["name"]: row for row in json.loads(bench("data", "status", "--json").out)}

    assert {"audiocaps", "clotho", "demo", "esc50", "kit", "musdb18"} <= set(states)
    assert states["clotho"]["root"] == ""
    assert states["clotho"]["remote"][0]["name"] == "clotho_eval.csv"
    assert [entry["present"] for entry in states["demo"]["lists"]] == [40] * 4
    assert states["demo"]["through"] == "the package"
    assert states["esc50"]["size"] == sum(len(name) for name in CLIPS)


def test_without_names_a_dataset_without_a_folder_is_one_line(bench: Bench, esc50: Path) -> None:
    lines = bench("data", "status").out.splitlines()

    clotho = [line for line in lines if line.startswith("clotho")]
    assert clotho == [
        "clotho             –  no folder; bench data status clotho says where to get it"
    ]
    assert "  to fetch clotho_eval.csv" not in "".join(lines)
    assert any(line.startswith("esc50              /") for line in lines)


def test_a_release_that_is_not_there_is_no_problem_of_the_other_one(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "songs" / "test").mkdir(parents=True)
    (tmp_path / "songs" / "test" / "A - B.stem.mp4").write_bytes(b"")

    out = bench("data", "status", "musdb18", "--root", "musdb18=songs").out

    assert "  test               1 of 50 scenes; 49 more have no name here" in out
    assert "  test-hq            not here: " in out
    assert "PROBLEM" not in out
    assert "  steps    bench data prepare musdb18" in out


def test_a_list_that_contradicts_itself_is_named_and_the_others_are_counted(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "caps").mkdir()
    rows = ["audiocap_id,youtube_id,start_time,caption", *["7,aaaaaaaaaaa,30,A dog"] * 2]
    (tmp_path / "caps" / "test.csv").write_text("\n".join(rows), "utf-8")

    done = bench("data", "status", "audiocaps", "--root", "audiocaps=caps")

    assert done.code == 0
    assert "gives the audiocap_id '7' more than once" in done.out
    assert "audiosep-premixed  not here: Dataset audiocaps: audiocaps_eval.csv is miss" in done.out
    assert "test-seeded        PROBLEM: cannot be read: " in done.out


def test_a_folder_that_is_not_there_is_a_problem_that_says_where_to_get_the_corpus(
    bench: Bench, tmp_path: Path
) -> None:
    out = bench("data", "status", "clotho", "--root", f"clotho={tmp_path / 'nowhere'}").out

    assert "PROBLEM  Dataset clotho: " in out
    assert "nowhere is no folder that exists" in out
    assert "  licence  captions: Tampere University licence" in out
    assert "  get it   the evaluation data named in the README" in out
    assert "to fetch" not in out  # there is no folder to fetch into


def test_a_file_that_a_run_would_refuse_is_missing(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "here.wav").write_bytes(b"")
    (tmp_path / "out.wav").write_bytes(b"")
    (folder / "link.wav").symlink_to(tmp_path / "out.wav")
    names = ("here.wav", "link.wav", "../out.wav", str(tmp_path / "out.wav"), "n" * 300)
    rows = "".join(f"{name},what,here.wav\n" for name in names)
    (folder / "manifest.csv").write_text(f"target,query,mixture\n{rows}", "utf-8")

    done = bench("data", "status", "folder", "--json", "--root", f"folder={folder}")

    (entry,) = json.loads(done.out)[0]["lists"]
    assert entry["error"] == ""
    assert [scene["files"][0] for scene in entry["missing"]] == list(names[1:])


def test_a_list_of_which_nothing_is_there_is_not_here(bench: Bench, esc50: Path) -> None:
    out = bench("data", "status", "esc50").out

    assert "  premixed           not here, 0 of 2,000 scenes; 2,000 missing: 0000 (segm" in out


def test_a_list_that_is_the_folder_itself_says_how_many_are_missing(
    bench: Bench, tmp_path: Path
) -> None:
    for part in ("clean", "noisy"):
        (tmp_path / f"vbd/{part}_testset_wav").mkdir(parents=True)
        (tmp_path / f"vbd/{part}_testset_wav/p232_001.wav").write_bytes(b"")

    out = bench("data", "status", "voicebank-demand", "--root", "voicebank-demand=vbd").out

    assert "1 of 824 scenes; 823 more have no name here" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("status", "esc5"), "Unknown dataset 'esc5'. Did you mean 'esc50'"),
        (("status", "--root", "esc5=x"), "datasets.esc5… sets a dataset that does not exist"),
        (("status", "limit=3"), "limit=3: only settings of datasets count here"),
        (("status", "demo", "-o", "no/where.csv"), "no/where.csv cannot be written: No such file"),
        (("prepare",), "Name the datasets to prepare"),
        (("verify", "esc5"), "Unknown dataset 'esc5'"),
    ],
)
def test_a_wrong_request_is_one_message(
    bench: Bench, arguments: tuple[str, ...], message: str
) -> None:
    done = bench("data", *arguments)

    assert (done.code, done.out) == (2, "")
    assert message in done.err


# --- prepare and verify ---------------------------------------------------------------------


def test_prepare_writes_a_manifest_that_verify_holds_files_to(bench: Bench, esc50: Path) -> None:
    prepared = bench("data", "prepare", "esc50")
    verified = bench("data", "verify")

    content = json.loads((esc50 / MANIFEST).read_text("utf-8"))
    sums = {entry["name"]: entry["sha256"] for entry in content["files"]}
    assert prepared.code == 0
    assert words(prepared.out)[-1] == ["written", f"{esc50 / MANIFEST}: 3 files, 3 of them new"]
    assert [line[0] for line in words(prepared.out)[:-1]] == ["step", "step"]
    assert sums == {f"audio/{name}": hashlib.sha256(name.encode()).hexdigest() for name in CLIPS}
    assert content["lists"]["rebuilt"] == "audiosep-944583f/1"
    assert verified.code == 0
    assert [line[0] for line in words(verified.out)] == ["ok"]


def test_each_thing_that_is_wrong_is_named(bench: Bench, esc50: Path) -> None:
    bench("data", "prepare", "esc50")
    first, second, third = (esc50 / "audio" / name for name in CLIPS)
    first.unlink()
    second.write_bytes(second.read_bytes() + b"!")
    third.write_bytes(b"!" * len(third.read_bytes()))
    (esc50 / "audio" / "1-5-Z-1.wav").write_bytes(b"")

    done = bench("data", "verify", "esc50")
    quick = bench("data", "verify", "esc50", "--quick")

    found = dict(words(done.out))
    assert done.code == 1
    assert found["missing"] == f"audio/{CLIPS[0]} is gone"
    assert found["size"].startswith(f"audio/{CLIPS[1]} has {len(CLIPS[1]) + 1} bytes, not ")
    assert found["changed"].startswith(f"audio/{CLIPS[2]} has sha256 ")
    assert found["new"] == "audio/1-5-Z-1.wav is not in the manifest"
    assert quick.code == 1
    assert set(dict(words(quick.out))) == {"missing", "size", "new"}


def test_a_name_that_is_no_text_is_recorded_and_shown(bench: Bench, esc50: Path) -> None:
    strange = os.fsencode(esc50) + b"/audio/caf\xe9.wav"
    with open(strange, "wb"):  # noqa: PTH123 - a name that Path cannot be given as text
        pass
    prepared = bench("data", "prepare", "esc50")
    os.unlink(strange)  # noqa: PTH108 - as above

    done = bench("data", "verify", "esc50")

    assert prepared.code == 0
    assert [line[0] for line in words(done.out)] == ["missing"]
    assert "audio/caf" in done.out


def test_prepare_adds_new_files_and_keeps_the_sum_of_a_changed_one(
    bench: Bench, esc50: Path
) -> None:
    bench("data", "prepare", "esc50")
    before = (esc50 / MANIFEST).read_text("utf-8")
    (esc50 / "audio" / CLIPS[0]).write_bytes(b"changed")
    (esc50 / "new.wav").write_bytes(b"new")

    again = bench("data", "prepare", "esc50")

    names = [entry["name"] for entry in json.loads((esc50 / MANIFEST).read_text("utf-8"))["files"]]
    assert again.code == 1
    assert ["size", f"audio/{CLIPS[0]} has 7 bytes, not {len(CLIPS[0])}"] in words(again.out)
    assert "new.wav" in names
    assert hashlib.sha256(CLIPS[0].encode()).hexdigest() in before
    assert hashlib.sha256(CLIPS[0].encode()).hexdigest() in (esc50 / MANIFEST).read_text("utf-8")
    assert bench("data", "verify", "esc50").code == 1


def test_again_writes_the_manifest_anew(bench: Bench, esc50: Path) -> None:
    bench("data", "prepare", "esc50")
    (esc50 / "audio" / CLIPS[0]).write_bytes(b"changed")

    done = bench("data", "prepare", "esc50", "--again")

    assert done.code == 0
    assert bench("data", "verify", "esc50").code == 0


def test_a_manifest_of_another_revision_is_refused_by_name_and_left_as_it_is(
    bench: Bench, esc50: Path
) -> None:
    bench("data", "prepare", "esc50")
    text = (esc50 / MANIFEST).read_text("utf-8").replace("audiosep-944583f/1", "audiosep-old/1")
    (esc50 / MANIFEST).write_text(text, "utf-8")

    refusals = [bench("data", what, "esc50") for what in ("verify", "prepare")]
    status = bench("data", "status", "esc50").out

    for done in refusals:
        assert done.code == 1
        assert "is of another revision: list esc10-rebuilt was audiosep-old/1" in done.out
        assert "bench data prepare esc50 --again" in done.out
    assert "PROBLEM" in status
    assert (esc50 / MANIFEST).read_text("utf-8") == text


def test_verify_of_a_name_without_manifest_or_folder_fails(bench: Bench, esc50: Path) -> None:
    done = bench("data", "verify", "esc50", "clotho")

    assert done.code == 1
    assert [line[0] for line in words(done.out)] == ["REFUSED", "REFUSED"]
    assert "write one with `bench data prepare esc50`" in done.out
    assert "Name it with --root clotho=FOLDER or SEPBENCH_CLOTHO" in done.out


def test_verify_without_names_says_when_there_was_nothing_to_hold(
    bench: Bench, esc50: Path
) -> None:
    done = bench("data", "verify")

    assert done.code == 0
    assert "no dataset has a manifest; `bench data prepare NAME` writes one" in done.out


def test_verify_without_names_names_a_folder_that_is_gone(
    bench: Bench, esc50: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_CLOTHO", str(esc50 / "not mounted"))

    done = bench("data", "verify")

    assert done.code == 1
    assert [line[0] for line in words(done.out)] == ["REFUSED"]
    assert "not mounted is no folder that exists" in done.out


def test_what_ships_with_the_package_gets_its_manifest_in_the_cache(
    bench: Bench, tmp_path: Path
) -> None:
    done = bench("data", "prepare", "demo")

    assert done.code == 0
    assert str(tmp_path / "cache") in done.out
    assert bench("data", "verify", "demo").code == 0


def test_without_a_folder_prepare_prints_the_steps(bench: Bench) -> None:
    done = bench("data", "prepare", "musdb18")

    assert done.code == 1
    assert [line[0] for line in words(done.out)] == ["REFUSED", "step", "step"]
    assert "1. Ask for access at doi.org/10.5281/zenodo.1117372" in done.out


# --- downloads ------------------------------------------------------------------------------


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Clotho's list comes from the test's own web; what was fetched."""
    content = b"idx,caption\n"
    file = RemoteFile(
        name="meta/list.csv",
        url="https://example.org/list.csv",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="CC0",
    )
    monkeypatch.setattr(Clotho, "card", replace(Clotho.card, remote=(file,)))
    fetched: list[str] = []

    def download(remote: RemoteFile, root: Path) -> Path:
        fetched.append(remote.url)
        (root / "meta").mkdir()
        (root / remote.name).write_bytes(content)
        return root / remote.name

    monkeypatch.setattr("sepbench.harness.run.data.web_download", download)
    return fetched


def test_nothing_is_fetched_without_yes(bench: Bench, tmp_path: Path, web: list[str]) -> None:
    (tmp_path / "clotho").mkdir()

    done = bench("data", "prepare", "clotho", "--root", "clotho=clotho")

    assert web == []
    assert words(done.out)[0][0] == "to"
    assert "list.csv (12 bytes; CC0) from https://example.org/list.csv; say --yes" in done.out
    assert list((tmp_path / "clotho").iterdir()) == []


def test_yes_makes_the_folder_and_fetches_once(
    bench: Bench, tmp_path: Path, web: list[str]
) -> None:
    first = bench("data", "prepare", "clotho", "--root", "clotho=new/clotho", "--yes")
    second = bench("data", "prepare", "clotho", "--root", "clotho=new/clotho", "--yes")

    assert web == ["https://example.org/list.csv"]
    assert ["fetched", "new/clotho/meta/list.csv"] in words(first.out)
    assert "Fetching meta/list.csv (12 bytes; CC0)" in first.err
    assert words(second.out)[-1][0] == "there"
    assert (tmp_path / "new" / "clotho" / MANIFEST).is_file()


def test_a_file_that_lies_in_another_folder_is_not_fetched(
    bench: Bench, tmp_path: Path, web: list[str]
) -> None:
    (tmp_path / "clotho").mkdir()
    (tmp_path / "clotho" / "list.csv").write_bytes(b"idx,caption\n")

    bench("data", "prepare", "clotho", "--root", "clotho=clotho", "--yes")

    assert web == []


def test_what_does_not_fit_on_the_disk_is_not_begun(
    bench: Bench, tmp_path: Path, web: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = Clotho.card.remote
    huge = replace(Clotho.card, remote=(replace(file, size=1 << 60),))
    monkeypatch.setattr(Clotho, "card", huge)

    done = bench("data", "prepare", "clotho", "--root", "clotho=clotho", "--yes")

    assert done.code == 1
    assert "do not fit on the disk" in done.out
    assert web == []


def test_without_network_the_address_is_given(bench: Bench) -> None:
    done = bench("data", "prepare", "clotho", "--root", "clotho=clotho", "--yes")

    assert done.code == 1
    assert "clotho_eval.csv could not be fetched: " in done.out
    assert "By hand: https://github.com/Audio-AGI/AudioSep/raw/944583f/" in done.out


# --- training data --------------------------------------------------------------------------


def test_a_row_whose_model_heard_the_list_has_a_footnote(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Overlap(
        baseline="kit-half",
        corpus="",
        dataset="kit",
        list_name="noises",
        overlap=3,
        total=6,
        what="noises",
        note="were heard before",
        source="this test",
    )
    monkeypatch.setattr("sepbench.harness.contamination.overlaps", lambda: (heard,))

    done = bench(
        "run", "-m", "kit-half,kit-tone", "-d", "kit", "--limit", "1", "engine.name=inline"
    )

    assert done.out.count("heard in training: 3 of 6 noises were heard before") == 1


def test_describe_says_what_a_model_has_heard(bench: Bench) -> None:
    out = bench("describe", "lassnet").out

    assert "audiocaps, list test-seeded: 97 of 975 test clips are in LASS-Net's" in out
    assert "0 of 200" not in out
