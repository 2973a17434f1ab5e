"""`bench probe` as a user meets it, with small encoders of a package of their own."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before a test moves the cache folder: matplotlib lists the machine's fonts once per folder.
import matplotlib.font_manager  # noqa: F401
import numpy as np
import pytest
import soundfile

from sepbench.harness.run import probing

Bench = Callable[..., Any]
RATE, EACH = 8000, 6
TONES = {"low": 200.0, "mid": 900.0, "high": 2500.0}

ENCODERS = '''
"""Encoders of three numbers: energy in three bands."""
import torch
from sepbench.harness.api import EncoderCard
from sepbench.harness.errors import MissingWeightsError, QueryError


class Bands:
    def __init__(self, gain=1.0):
        self.gain = gain
        self.card = EncoderCard(name="bands", kind="audio", dimension=3, sample_rate=8000)

    def load(self, device):
        print("loading bands")

    def encode_audio(self, clips):
        return self.gain * torch.stack([self._bands(clip) for clip in clips])

    def _bands(self, clip):
        power = torch.fft.rfft(clip).abs() ** 2
        step = len(power) / 4000
        edges = [0, int(500 * step), int(1500 * step), len(power)]
        return torch.stack([power[a:b].sum() for a, b in zip(edges, edges[1:])])


class Deaf(Bands):
    def encode_audio(self, clips):
        return torch.zeros(len(clips), 3)


class Broken(Bands):
    def encode_audio(self, clips):
        raise RuntimeError("out of luck")


class Weightless(Bands):
    def load(self, device):
        raise MissingWeightsError("There is no checkpoint.")


class Segment:
    def __init__(self, start):
        self.start, self.end = start, start + 0.5
        self.framewise = torch.zeros(100)
        self.framewise[int(100 * start) : int(100 * start) + 50] = 0.75


class Detector(Bands):
    class_names = ("Low", "mid", "Siren")

    def clipwise(self, clips):
        bands = self.encode_audio(clips)
        return bands / bands.sum(1, keepdim=True)

    def locate(self, clip, class_index):
        return Segment(class_index / 4)


class Hears(Detector):
    locate = None

    def __getattribute__(self, name):
        if name == "locate":
            raise AttributeError(name)
        return super().__getattribute__(name)


class Picky(Detector):
    def locate(self, clip, class_index):
        raise QueryError("The clip is too short for picky.")
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A labelled folder of tones beside a package with encoders."""
    (tmp_path / "probe_encoders.py").write_text(ENCODERS, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    root = tmp_path / "sounds"
    root.mkdir()
    rng = np.random.default_rng(0)
    lines = ["path,label,fold,origin"]
    for label, pitch in TONES.items():
        for k in range(EACH):
            time = np.arange(RATE) / RATE
            tone = np.sin(2 * np.pi * pitch * (1 + 0.1 * rng.random()) * time)
            signal = 0.3 * tone + 0.01 * rng.normal(size=RATE)
            soundfile.write(root / f"{label}-{k}.wav", signal, RATE, "FLOAT")
            lines.append(f"{label}-{k}.wav,{label},{k % 3},{label} {k}")
    (root / "clips.csv").write_text("\n".join(lines), "utf-8")
    return root


def asked(folder: Path, *encoders: str) -> tuple[str | Path, ...]:
    names = ",".join(f"{name.lower()}=probe_encoders:{name}" for name in encoders)
    return ("probe", "-e", names, "--clips", folder / "clips.csv", "--cache", "embeddings")


def test_stdout_is_the_table_and_nothing_else(bench: Bench, folder: Path) -> None:
    done = bench(*asked(folder, "Bands", "Deaf"), "--shots", "1,3")

    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0].startswith("clips · 18 clips of 18 recordings, 3 classes, 3 folds")
    assert lines[2].split("  ")[0] == "Encoder"
    assert lines[3].split()[:4] == ["bands", "3", "100.0", "[100.0,"]
    assert lines[4].split()[:3] == ["deaf", "3", "33.3"]
    assert "loading bands" not in done.out
    assert "loading bands" in done.err


def test_an_output_folder_gets_a_table_with_every_number(bench: Bench, folder: Path) -> None:
    done = bench(*asked(folder, "Bands"), "--shots", "1", "-o", "out")

    with Path("out/probe.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert done.err.splitlines()[-1] == "Written: out/probe.csv"
    assert [row["probe"] for row in rows] == ["1-shot", "Retrieval mAP", "Linear probe"]
    assert {row["status"] for row in rows} == {"measured"}
    assert [float(row["percent"]) for row in rows] == pytest.approx([100, 100, 100])
    assert {row["clips"] for row in rows} == {"18"}


def test_a_second_run_takes_embeddings_from_the_cache(bench: Bench, folder: Path) -> None:
    first = bench(*asked(folder, "Bands"))

    second = bench(*asked(folder, "Bands"))

    assert second.out == first.out
    assert "loading bands" not in second.err


def test_settings_reach_the_encoder_and_count_in_the_cache(bench: Bench, folder: Path) -> None:
    bench(*asked(folder, "Bands"))

    done = bench(*asked(folder, "Bands"), "encoders.bands.gain=0.0")

    assert "33.3" in done.out
    assert "loading bands" in done.err


def test_a_picture_an_encoder_is_drawn(bench: Bench, folder: Path) -> None:
    done = bench(*asked(folder, "Bands"), "--shots", "1", "--picture", "-o", "out")

    assert done.code == 0
    assert Path("out/bands.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_by_umap_needs_its_own_extra(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = probing.importlib.util.find_spec
    monkeypatch.setattr(
        probing.importlib.util, "find_spec", lambda name: None if name == "umap" else there(name)
    )

    done = bench(*asked(folder, "Bands"), "--picture", "--projection", "umap", "-o", "out")

    assert done.code == 2
    assert "pip install 'sepbench[umap]'" in done.err


def test_encoders_that_fail_cost_their_row_and_the_exit_code(bench: Bench, folder: Path) -> None:
    done = bench(*asked(folder, "Broken", "Weightless", "Bands"), "--shots", "1")

    rows = [line.split() for line in done.out.splitlines()[3:6]]
    assert done.code == 1
    assert "Error: broken: Encoder 'broken' failed on" in done.err
    assert "out of luck" in done.err
    assert "Error: weightless: There is no checkpoint." in done.err
    assert [row[0] for row in rows] == ["broken", "weightless", "bands"]
    assert rows[0][2:5] == ["–", "–", "–"]
    assert rows[2][2] == "100.0"


def test_a_file_that_is_no_audio_is_named_and_left_out(bench: Bench, folder: Path) -> None:
    (folder / "low-0.wav").write_bytes(b"nothing")

    done = bench(*asked(folder, "Bands"), "--shots", "1", "-o", "out")

    text = Path("out/probe.csv").read_text("utf-8")
    assert done.code == 1
    assert "Error: bands: low-0.wav" in done.err
    assert ",17,0,1," in text


def test_too_many_shots_leave_a_reason_instead_of_a_number(bench: Bench, folder: Path) -> None:
    done = bench(*asked(folder, "Bands"), "--shots", "6")

    assert done.code == 0
    assert "– bands, 6-shot: 6 shots need 7 recordings a class" in done.out


def test_detectors_are_probed_for_what_they_say(bench: Bench, folder: Path) -> None:
    done = bench(*asked(folder, "Detector"), "--sed")

    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[3].split() == ["detector", "3", "100.0", "[100.0,", "100.0]", "0"]
    assert "detector has no class for, and is not asked for: high." in lines


def test_a_class_map_says_what_a_label_means(bench: Bench, folder: Path) -> None:
    Path("map.csv").write_text("label,class\nhigh,Siren\n", "utf-8")

    done = bench(*asked(folder, "Detector"), "--sed", "--class-map", "map.csv")

    assert done.code == 0
    assert "average precision of 3 classes: high 100.0, low 100.0, mid 100.0." in done.out
    assert "has no class for" not in done.out


def test_a_clip_of_the_corpus_is_searched_for_its_own_labels(bench: Bench, folder: Path) -> None:
    done = bench(*asked(folder, "Detector"), "--sed", "--locate", "mid-1.wav")

    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[3].startswith("detector")  # the table of the corpus comes first
    assert lines[-4] == "mid-1.wav · 1.00 s (probabilities of a class)"
    assert lines[-1].split() == ["detector", "mid", "0.25", "0.75", "0.998", "0.750"]


def test_any_file_is_searched_without_a_corpus(bench: Bench, folder: Path) -> None:
    sound = folder / "mid-1.wav"

    asked_for = ("--class", "siren", "--class", "low", "-o", "out", "--picture")
    done = bench("probe", "-e", "d=probe_encoders:Detector", "--locate", sound, *asked_for)

    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0] == f"{sound} · 1.00 s (probabilities of a class)"
    assert [line.split()[1] for line in lines[3:]] == ["Siren", "Low"]
    assert Path("out/mid-1.png").read_bytes().startswith(b"\x89PNG")
    assert Path("out/locations.csv").read_text("utf-8").count("\n") == 3
    assert not Path("out/probe.csv").exists()


def test_a_file_without_labels_is_searched_for_the_likeliest(bench: Bench, folder: Path) -> None:
    done = bench("probe", "-e", "d=probe_encoders:Detector", "--locate", folder / "mid-1.wav")

    assert [line.split()[1] for line in done.out.splitlines()[3:]] == ["mid", "Siren", "Low"]


def test_a_label_without_a_class_is_named_below_the_table(bench: Bench, folder: Path) -> None:
    done = bench(*asked(folder, "Detector"), "--locate", "high-1.wav")

    assert done.out.splitlines()[-1] == "detector has no class for high."


def test_a_detector_that_refuses_the_clip_costs_its_row_and_the_exit_code(
    bench: Bench, folder: Path
) -> None:
    done = bench(*asked(folder, "Picky", "Detector"), "--locate", "mid-1.wav")

    assert done.code == 1
    assert "Error: picky: The clip is too short for picky." in done.err
    assert [line.split()[0] for line in done.out.splitlines()[3:]] == ["detector"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--locate", "none.wav"), "Unknown clip or file 'none.wav'"),
        (("--locate", "mid-1.wav", "--class", "Sirene"), "of detector. Did you mean 'Siren'"),
        (("--sed", "--class-map", "none.csv"), "none.csv is missing"),
        (("--class-map", "none.csv"), "--class-map goes with --sed or --locate"),
        (("--class", "Siren"), "--class goes with --locate"),
        (("--sed", "--picture", "-o", "out"), "--sed alone has none"),
        (("--sed", "--class-map", "wrong.csv"), "'mid' is given the class 'Medium'"),
    ],
)
def test_a_search_that_cannot_be_is_refused(
    bench: Bench, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    Path("wrong.csv").write_text("label,class\nmid,Medium\n", "utf-8")

    done = bench(*asked(folder, "Detector"), *arguments)

    assert done.code in (1, 2)
    assert words in done.err
    assert done.out == ""


def test_a_detector_that_cannot_locate_is_refused(bench: Bench, folder: Path) -> None:
    done = bench(*asked(folder, "Hears"), "--locate", "mid-1.wav")

    assert done.code == 2
    assert "'hears' tells no such events: it lacks locate." in done.err


def test_an_encoder_that_tells_no_events_is_refused(bench: Bench, folder: Path) -> None:
    done = bench(*asked(folder, "Bands"), "--sed")

    assert done.code == 2
    assert "'bands' tells no such events: it lacks class_names, clipwise" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-e", "logmel-stat", "-d", "demo"), "Unknown query encoder 'logmel-stat'"),
        (("-e", "clap-text", "-d", "demo"), "'clap-text' lacks one of card, load, encode_audio"),
        (("-e", "logmel-stats", "-d", "dmeo"), "Unknown corpus 'dmeo'. Did you mean 'demo'"),
        (("-e", "logmel-stats"), "Name one corpus"),
        (("-e", "logmel-stats", "-d", "demo", "--clips", "a.csv"), "Name one corpus"),
        (("-e", "logmel-stats", "-d", "demo", "--picture"), "--picture needs a folder"),
        (("-e", "logmel-stats", "-d", "demo", "--shots", "0"), "--shots 0: expected whole"),
        (("-e", "logmel-stats", "-d", "demo", "--locate", "a"), "Unknown clip or file 'a'"),
        (("-e", "logmel-stats", "--sed"), "Name one corpus"),
        (("-e", "logmel-stats,logmel-stats", "-d", "demo"), "Two encoders are called"),
        (("-e", "logmel-stats", "-d", "demo", "gain=1"), "expected encoders.NAME.SETTING=VALUE"),
        (
            ("-e", "logmel-stats", "-d", "demo", "encoders.cnn14.checkpoint=a"),
            "encoders.cnn14… sets an encoder that is not probed",
        ),
        (
            ("-e", "logmel-stats", "-d", "demo", "encoders.logmel-stats.gain=1"),
            "Encoder 'logmel-stats' has no setting 'gain'",
        ),
        (("-e", "logmel-stats", "-d", "demo", "--root", "esc50=."), "only demo is probed"),
        (("-e", "logmel-stats", "-d", "esc10"), "needs the folder of its files"),
    ],
)
def test_a_request_that_cannot_be_is_refused_before_any_work(
    bench: Bench, arguments: tuple[str, ...], words: str
) -> None:
    done = bench("probe", *arguments)

    assert done.code == 2
    assert words in done.err
    assert done.out == ""


def test_without_the_extra_the_message_says_how_to_get_it(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing.importlib.util, "find_spec", lambda name: None)

    done = bench(*asked(folder, "Bands"))

    assert done.code == 2
    assert "pip install 'sepbench[probe]'" in done.err


def test_esc10_is_the_ten_classes_of_esc50(bench: Bench, folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "esc50" / "audio"
    root.mkdir(parents=True)
    for name in ("1-100032-A-0", "1-100038-A-14", "1-17367-A-10"):  # dog, chirping birds, rain
        soundfile.write(root / f"{name}.wav", np.ones(RATE), RATE)

    corpus = probing.open_corpus("esc10", None, {"esc50": str(tmp_path / "esc50")})

    assert corpus.classes == ("dog", "rain")


def test_the_demo_is_a_corpus_without_a_folder(bench: Bench) -> None:
    corpus = probing.open_corpus("demo", None)

    assert len(corpus.clips) == 110
    assert len(corpus.classes) == 10


def test_statistics_of_a_spectrogram_recognise_the_demo_better_than_chance(bench: Bench) -> None:
    done = bench("probe", "-e", "logmel-stats", "-d", "demo", "--shots", "1", "-o", "out")

    with Path("out/probe.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert done.code == 0
    assert [row["probe"] for row in rows] == ["1-shot", "Retrieval mAP", "Linear probe"]
    assert all(float(row["low"]) > 20 for row in rows)  # chance is 10 %


def test_a_corpus_too_small_for_a_picture_keeps_its_numbers(bench: Bench, folder: Path) -> None:
    lines = (folder / "clips.csv").read_text("utf-8").splitlines()
    chosen = [line for line in lines[1:] if ",0," in line or ",1," in line][::3][:4]
    (folder / "clips.csv").write_text("\n".join([lines[0], *chosen]), "utf-8")

    done = bench(*asked(folder, "Bands"), "--shots", "1", "-o", "made", "--picture")

    assert done.code == 0
    assert "bands: A picture needs 5 clips; there are 4." in done.out
    assert "Linear probe" in done.out
    assert not list(Path("made").glob("*.png"))
