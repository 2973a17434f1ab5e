"""What a recipe refuses of the settings under `network`, and of examples that it cannot hear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sepbench.harness.api.training import RecipeFacts, TrainingBatch
from sepbench.harness.errors import SettingError
from sepbench.harness.run.smoke import smoke_settings
from sepbench.harness.run.training import open_recipe
from sepbench.harness.training.settings import with_changes

RATE = 16_000
PAIR = {"network.encoder": "contrastive", "network.encoder_checkpoint": "none"}
HTSAT = {"network.detector": "htsat"}
CNN14 = {"network.detector": "cnn14"}


def facts(seconds: float, texts: Sequence[str] = ("a dog", "rain")) -> RecipeFacts:
    return RecipeFacts(
        classes=("dog", "rain"),
        labelled=True,
        texts=tuple(texts),
        vector=0,
        sample_rate=RATE,
        segment=round(seconds * RATE),
    )


def recipe_of(name: str, changes: dict[str, Any]) -> Any:
    given = PAIR if name == "audiosep" else {}
    return open_recipe(with_changes(smoke_settings(name), {**given, **changes}))


@pytest.mark.parametrize(
    "name", ["lassnet", "unet-tag", "audiosep", "stsed", "stsed-sed", "contrastive"]
)
@pytest.mark.parametrize("widths", [8, None, "8", [], [8, 0], [8.0], [True, 8], [8] * 13, [9000]])
def test_widths_are_a_list_of_whole_numbers(name: str, widths: object) -> None:
    with pytest.raises(
        SettingError,
        match=rf"Recipe {name}: network\.widths=.* is not possible\. Give a list of \d to \d+ "
        r"whole numbers from 1 to 8192, such as network\.widths=\[8,8\]",
    ):
        recipe_of(name, {"network.widths": widths})


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("lassnet", {"n_fft": 1000}, r"n_fft=1000 does not fit 2 widths.*of 16,"),
        ("unet-tag", {"n_fft": 1000}, r"n_fft=1000 does not fit 2 widths.*of 16,"),
        ("audiosep", {"n_fft": 1001}, r"n_fft=1001 does not fit 2 widths.*of 8,"),
        ("stsed", {"n_fft": 1001}, r"n_fft=1001 does not fit 3 widths.*of 8,"),
        ("stsed", {"widths": [8]}, r"widths=\[8\].*a list of 2 to 12"),
        ("stsed", {"n_fft": "long"}, r"n_fft='long'.*from 16 to 65536"),
        ("stsed", {"hop": 65}, r"hop=65.*from 1 to 64"),
        ("audiosep", {"hop": 0}, r"hop=0.*from 1 to 64"),
        ("lassnet", {"condition": 0}, r"condition=0.*from 1 to 4096"),
        ("unet-tag", {"condition": 1.5}, r"condition=1\.5.*from 1 to 4096"),
        ("lassnet", {"text_width": 50}, r"text_width=50.*multiple of 16 from 16"),
        ("contrastive", {"text_width": 50}, r"text_width=50.*multiple of 16"),
        ("contrastive", {"dropout": 1}, r"dropout=1 is.*from 0 to 0\.9"),
        ("contrastive", {"widths": [8] * 8}, r"widths=.*a list of 1 to 7"),
        ("stsed-sed", {"mixup": 11}, r"mixup=11 is.*from 0 to 10"),
        ("stsed-sed", {"widths": [8] * 7}, r"widths=.*a list of 1 to 6"),
        ("stsed-sed", {"depths": 2}, r"depths=2.*a list of 4 whole"),
        ("stsed-sed", {"heads": [1, 2, 4]}, r"heads=\[1, 2, 4\].*a list of 4"),
        (
            "stsed-sed",
            {"detector": "htsat", "heads": [1, 3, 1, 1]},
            r"heads=\[1, 3, 1, 1\] does not fit network\.embed=8: stage 2 has 16 channels",
        ),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_their_keys(
    name: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingError, match=rf"Recipe {name}: network\.{words}"):
        recipe_of(name, {f"network.{key}": value for key, value in changes.items()})


def test_heads_of_a_detector_that_has_none_are_not_looked_at() -> None:
    recipe_of("stsed-sed", {**CNN14, "network.heads": [1, 3, 1, 1]})


@pytest.mark.parametrize(
    ("name", "changes", "seconds", "words"),
    [
        ("stsed-sed", {**CNN14, "network.widths": [4] * 6}, 0.2, "0.2 is too short.*Give 0.31 or"),
        ("stsed-sed", HTSAT, 0.01, "0.01 is too short for the network. Give 0.017 or more"),
        ("stsed-sed", HTSAT, 12.0, "12 is too long for the network. Give 10.239 or less"),
        ("contrastive", {}, 0.5, "0.5 is too short for the network. Give 1 or more"),
        ("lassnet", {"network.n_fft": 4096}, 0.1, "0.1 is too short for the network. Give 0.129"),
        ("unet-tag", {"network.n_fft": 4096}, 0.1, "0.1 is too short for the network. Give 0.129"),
    ],
)
def test_examples_that_a_network_cannot_hear_are_refused(
    name: str, changes: dict[str, Any], seconds: float, words: str
) -> None:
    opened = recipe_of(name, changes)

    with pytest.raises(SettingError, match=rf"Recipe {name}: data\.seconds={words}"):
        opened.network(facts(seconds))


def test_a_separator_takes_no_shorter_examples_than_its_detector_hears(tmp_path: Path) -> None:
    detector = recipe_of("stsed-sed", {**CNN14, "network.widths": [4] * 6})
    (file,) = detector.write(detector.network(facts(2.0)), tmp_path, {})
    separator = recipe_of("stsed", {**CNN14, "network.detector_checkpoint": str(file)})

    with pytest.raises(SettingError, match=r"Recipe stsed: data\.seconds=0\.2 is too short.*0\.31"):
        separator.network(facts(0.2))


@pytest.mark.parametrize("name", ["lassnet", "contrastive"])
def test_texts_without_a_word_are_refused(name: str) -> None:
    opened = recipe_of(name, {})

    with pytest.raises(SettingError, match="texts of the training hold no word, '🐶' for one"):
        opened.network(facts(1.0, texts=["🐶"]))


@pytest.mark.parametrize(
    ("name", "changes", "seconds"),
    [
        ("lassnet", {"network.widths": [4], "network.n_fft": 16}, 0.05),
        ("unet-tag", {"network.widths": [4] * 5, "network.n_fft": 128}, 0.05),
        ("contrastive", {"network.widths": [4] * 7}, 1.0),
        ("contrastive", {"network.widths": [4]}, 1.0),
        ("stsed-sed", {**CNN14, "network.widths": [4] * 6}, 0.31),
        ("stsed-sed", {**CNN14, "network.widths": [4]}, 0.05),
        ("stsed-sed", HTSAT, 0.05),
        ("stsed-sed", {**HTSAT, "network.embed": 5, "network.heads": [1, 5, 4, 8]}, 0.05),
    ],
)
def test_the_smallest_that_is_taken_can_be_trained(
    name: str, changes: dict[str, Any], seconds: float
) -> None:
    trainee = recipe_of(name, changes).network(facts(seconds))
    sounds = 0.1 * torch.randn(2, round(seconds * RATE), generator=torch.Generator().manual_seed(3))

    loss = trainee.loss(
        TrainingBatch(
            mixture=sounds + sounds.flip(0),
            target=sounds,
            sound=sounds,
            texts=["a dog", "rain"],
            tags=torch.eye(2),
            asked=torch.arange(2),
            vectors=torch.zeros(2, 0),
        )
    )

    assert loss.isfinite()
