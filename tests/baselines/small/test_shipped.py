"""The weights in the package: small as promised, from clips under free licences, at work.

That they separate is told on a few of the demo's mixtures, whose recordings they never met.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

import sepbench.harness as sb
from sepbench.baselines.small.files import read_sized
from sepbench.baselines.small.places import FOLDER, shipped
from sepbench.harness.api import Example, Query
from sepbench.harness.audio import read_audio, resample
from sepbench.harness.metrics.clap import clap_score_family
from sepbench.harness.metrics.contract import ScoredItem, ScoredScene
from sepbench.harness.run.clapscore import InstalledClap
from sepbench.harness.training.settings import resolve_training

MODELS = {
    "lassnet-small": "lassnet",
    "unet-tag-small": "unet_tag",
    "audiosep-small": "audiosep",
    "stsed-small": "stsed",
}
RECIPES = (*MODELS, "contrastive-small", "stsed-sed-small")
RUNNING = ("running_mean", "running_var", "num_batches_tracked")
MOST_BYTES = 4 * 2**20
ROOT = Path(__file__).parents[3]
DEMO = ROOT / "datasets" / "demo"
RATE = 16_000
CLASSES = (
    *("chainsaw", "clock_tick", "crackling_fire", "crying_baby", "dog"),
    *("helicopter", "rain", "rooster", "sea_waves", "sneezing"),
)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def sound(file: str) -> np.ndarray:
    """A demo clip, mono at 16 kHz."""
    audio = read_audio(DEMO / file)
    return resample(audio.samples, audio.sample_rate, RATE)[0]


@pytest.fixture(scope="module")
def clips() -> Mapping[str, Mapping[str, list[str]]]:
    """Role -> class -> files of the demo."""
    found: dict[str, dict[str, list[str]]] = {"query": {}, "mixture": {}}
    for row in table(DEMO / "manifest.csv"):
        found[row["role"]].setdefault(row["label"], []).append(row["file"])
    return found


@pytest.mark.parametrize("name", MODELS.values())
def test_a_file_is_small_and_says_how_it_was_made(name: str) -> None:
    path = Path(shipped(name))

    held = read_sized(path, name.replace("_", "-"))

    assert path.stat().st_size <= MOST_BYTES
    kinds = {value.dtype for value in held.state.values() if value.is_floating_point()}
    assert kinds == {torch.float16}
    assert all(value.isfinite().all() for value in held.state.values())
    assert {"recipe", "seed", "steps", "hours", "device", "best"} <= held.facts.keys()
    assert held.facts["datasets"] == ["esc50"]
    assert held.facts["train_clips"] == 158


@pytest.mark.parametrize(("model", "name"), MODELS.items())
def test_a_card_tells_the_size_of_its_file(model: str, name: str) -> None:
    with safe_open(shipped(name), framework="np") as opened:
        parameters = [key for key in opened.keys() if not key.endswith(RUNNING)]
        count = sum(np.prod(opened.get_slice(key).get_shape()) for key in parameters)

    card = sb.load_baseline(model).card

    (told,) = re.findall(r"of (\d\.\d) M parameters", card.summary)
    assert float(told) == pytest.approx(count / 1e6, abs=0.06)


def test_every_clip_that_was_used_has_an_author_and_a_free_licence() -> None:
    rows = table(FOLDER / "attribution.csv")

    assert Counter(row["use"] for row in rows) == {"training": 158, "choice": 80}
    assert {(row["use"], row["fold"]) for row in rows} == {
        ("training", "1"),
        ("training", "2"),
        ("choice", "3"),
    }
    assert {row["licence"] for row in rows} == {"CC0", "CC-BY"}
    assert all(row["author"] and row["source_page"].startswith("http") for row in rows)
    assert {row["class"] for row in rows} == set(CLASSES)


def test_no_clip_that_was_used_is_in_the_demo() -> None:
    used = {row["clip"].split("-")[1] for row in table(FOLDER / "attribution.csv")}
    demo = {row["src_file"] for row in table(DEMO / "manifest.csv")}

    assert not used & demo


def record(recipe: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / "curves" / f"{recipe}.json").read_text())
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_was_made_by_the_recipe_as_it_is(recipe: str) -> None:
    def without_files(settings: dict[str, Any]) -> dict[str, Any]:
        network = {k: v for k, v in settings["network"].items() if not k.endswith("_checkpoint")}
        return {**settings, "network": network}

    settings = resolve_training(recipe, overrides=["datasets.esc50.root=anywhere"])

    made = record(recipe)

    asked = json.loads(json.dumps(settings.identity))
    assert without_files(made["settings"]) == without_files(asked)
    assert (made["recipe"], made["seed"], made["steps"]) == (
        recipe,
        settings.seed,
        settings.max_steps,
    )


@pytest.mark.parametrize(
    "recipes",
    [
        ("lassnet-small",),
        ("unet-tag-small",),
        ("audiosep-small", "contrastive-small"),
        ("stsed-small", "stsed-sed-small"),
    ],
)
def test_a_model_took_eighty_minutes_of_one_core_at_most_with_what_it_needs(
    recipes: tuple[str, ...],
) -> None:
    facts = read_sized(shipped(MODELS[recipes[0]]), MODELS[recipes[0]].replace("_", "-")).facts
    trained = [record(recipe) for recipe in recipes]

    assert {key: trained[0][key] for key in facts} == facts
    assert {made["device"] for made in trained} == {"cpu"}
    assert sum(made["hours"] for made in trained) * 60 <= 80


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_docs_hold_the_curve_of_a_training(recipe: str) -> None:
    rows = table(ROOT / "docs" / "curves" / f"{recipe}.csv")

    parts = {row["part"] for row in rows}
    last = max(int(row["step"]) for row in rows)

    assert parts == {"train", "validation"}
    assert last == resolve_training(recipe).max_steps


def queries(model: str, label: str, examples: list[str]) -> list[Query]:
    """What a model may be asked with for a class."""
    words = {"lassnet-small": "text", "audiosep-small": "text", "unet-tag-small": "label"}
    if model == "stsed-small":
        clips = [
            Example(
                clip_id=file,
                path=DEMO / file,
                waveform=torch.from_numpy(sound(file)),
                sample_rate=RATE,
            )
            for file in examples
        ]
        return [Query(examples=tuple(clips))]
    return [Query(**{words[model]: label.replace("_", " ") if words[model] == "text" else label})]


def improvement(estimate: np.ndarray, target: np.ndarray, mixture: np.ndarray) -> float:
    """SDR improvement in dB, from its definition."""
    return float(10 * np.log10(np.sum((mixture - target) ** 2) / np.sum((estimate - target) ** 2)))


@pytest.mark.parametrize("model", MODELS)
def test_a_model_hears_what_it_is_asked_for(model: str, clips: Any) -> None:
    """Five mixtures of two classes each: the right query gains, and gains more than the wrong."""
    separator = sb.load_baseline(model)
    separator.load("cpu")
    asked = {
        label: separator.condition(queries(model, label, clips["query"][label]))[0]
        for label in CLASSES
    }
    right, wrong = [], []
    for one, other in (
        ("dog", "rain"),
        ("crying_baby", "sea_waves"),
        ("rooster", "chainsaw"),
        ("clock_tick", "helicopter"),
        ("sneezing", "crackling_fire"),
    ):
        sounds = {label: sound(clips["mixture"][label][0]) for label in (one, other)}
        levelled = {label: s / np.sqrt(np.mean(s**2)) * 0.05 for label, s in sounds.items()}
        mixture = levelled[one] + levelled[other]
        batch = torch.from_numpy(mixture)[None, None]
        for label in (one, other):
            estimate = separator.separate(batch, asked[label][None])[0, 0].numpy()
            absent = levelled[other if label == one else one]
            right.append(improvement(estimate, levelled[label], mixture))
            wrong.append(improvement(estimate, absent, mixture))

    assert np.mean(right) > 2
    assert np.mean(right) > np.mean(wrong) + 3


def test_clapscore_over_the_small_pair(clips: Any) -> None:
    """The way of CLAPScore from files to scores, with weights that ship."""
    family = clap_score_family(
        InstalledClap(Path(shipped("audiosep")), text="contrastive-text", audio="contrastive-audio")
    )
    sounds = {label: sound(clips["mixture"][label][0]) for label in CLASSES}
    scene = ScoredScene(
        sample_rate=RATE,
        mixture=sounds["dog"][None],
        references={},
        items=tuple(
            ScoredItem(
                target=heard,
                reference=sounds[heard][None],
                estimate=sounds[heard][None],
                text=asked.replace("_", " "),
            )
            for heard in CLASSES
            for asked in CLASSES
        ),
    )

    rows = family.score(scene, frozenset({"clapscore", "clapscore_audio"}))

    scores = np.array([row["clapscore"] for row in rows]).reshape(len(CLASSES), len(CLASSES))
    assert [row["clapscore_audio"] for row in rows] == pytest.approx([1.0] * len(rows), abs=1e-5)
    assert "sha256:" in family.cards[0].parameters["encoder"]
    own = np.diag(scores)
    others = (scores.sum(1) - own) / (len(CLASSES) - 1)
    assert np.mean(own - others) > 0.3
    assert np.mean(scores.argmax(1) == np.arange(len(CLASSES))) >= 0.5
