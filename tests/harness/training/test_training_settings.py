from __future__ import annotations

from pathlib import Path

import pytest

from sepbench.harness.errors import SettingError, UnknownNameError
from sepbench.harness.training.module import rate_factor
from sepbench.harness.training.settings import recipe_names, resolve_training, with_changes


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_composes_and_says_what_it_is(recipe: str) -> None:
    settings = resolve_training(recipe)

    assert settings.summary
    assert settings.trainee in recipe
    assert settings.datasets


def test_audiosep_is_trained_as_published() -> None:
    settings = resolve_training("audiosep")

    optimiser, mixing = settings.optimiser, settings.mixing
    factors = [rate_factor(step, optimiser.steps, optimiser.decay, 10**6) for step in STEPS]
    assert (optimiser.name, optimiser.rate, optimiser.amsgrad) == ("adamw", 1e-3, True)
    assert factors == [0.001, 0.001, 0.01, 0.1, 1.0]
    assert (mixing.rule, mixing.sources, mixing.low_db, mixing.high_db) == ("energy", 2, -10, 10)
    assert (settings.data.seconds, settings.batch_size) == (5.0, 12)
    assert settings.network["text_ratio"] == 1.0


STEPS = (0, 9_999, 10_000, 20_000, 30_000)


def test_lassnet_is_trained_as_a_review_of_it_says() -> None:
    settings = resolve_training("lassnet")

    assert (settings.optimiser.name, settings.optimiser.rate) == ("adam", 3e-4)
    assert (settings.batch_size, settings.max_steps) == (16, 20_000)
    assert (settings.mixing.rule, settings.mixing.disjoint) == ("peak", True)


def test_stsed_is_trained_as_published() -> None:
    separator, detector = resolve_training("stsed"), resolve_training("stsed-sed")

    assert (separator.mixing.rule, separator.mixing.both) == ("match", True)
    assert (separator.data.order, separator.data.seconds) == ("balanced", 2.0)
    assert (separator.optimiser.amsgrad, separator.optimiser.clip_norm) == (True, 1.0)
    assert (detector.optimiser.name, detector.optimiser.weight_decay) == ("adamw", 0.05)
    assert detector.network["mixup"] == 0.5


def test_overrides_beat_a_file_beats_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("batch_size: 3\ndata:\n  seconds: 2.0\n", "utf-8")

    settings = resolve_training("lassnet", file=file, overrides=["data.seconds=1.5"])

    assert (settings.batch_size, settings.data.seconds) == (3, 1.5)
    assert settings.mixing.rule == "peak"


def test_a_training_is_told_from_others_by_what_changes_it() -> None:
    settings = resolve_training("lassnet")

    longer = with_changes(settings, {"max_steps": 5, "workers": 0})
    other = with_changes(settings, {"optimiser.rate": 0.1})

    assert longer.identity == settings.identity != other.identity


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.secs=3"], "Unknown setting 'data.secs'.*Did you mean 'data.seconds'"),
        (["data.order=random"], "data.order=random; one of shuffled, balanced"),
        (["mixing.both=1"], "mixing.both=1: expected true or false"),
        (["mixing.low_db=5", "mixing.high_db=1"], "low_db=5 exceeds high_db=1"),
        (["mixing.sources=3"], "only the rule energy"),
        (["optimiser.rate=11"], "optimiser.rate=11.0: expected a number from 0 to 10"),
        (["batch_size=0"], "batch_size=0: expected a whole number of at least 1"),
        (["average=1.0"], "average=1.0: expected a number"),
        (["datasets.esc50=/data/esc10"], r"datasets\.esc50=/data/esc10.*datasets\.esc50\.root=FOL"),
        (["datasets=5"], r"datasets=5: give datasets\.NAME\.root=FOLDER"),
        (["dataset=0.5"], "dataset=0.5: expected a list of names"),
        (["data.labels=0.5"], "data.labels=0.5: expected a list of names"),
        (["optimiser.betas=0.9"], "optimiser.betas=0.9: expected a list of numbers"),
        (["optimiser.betas=[0.9]"], r"betas=\[0\.9\]: expected two numbers from 0 to below 1"),
        (["optimiser.betas=[0.9,1.0]"], r"optimiser\.betas=\[0\.9, 1\.0\]: expected two numbers"),
        (["optimiser.weight_decay=-1"], "optimiser.weight_decay=-1.0: expected a number from 0"),
        (["optimiser.steps=[[9,1],[0,1]]"], r"optimiser\.steps=.*from 0 on in ascending order"),
        (["optimiser.steps=[[5,1],[5,2]]"], r"optimiser\.steps=.*from 0 on in ascending order"),
        (["optimiser.steps=[[-1,1]]"], r"optimiser\.steps=\[\[-1, 1\.0\]\]: expected steps from 0"),
        (["optimiser.steps=[[0,-1]]"], r"optimiser\.steps=.*a factor of 0 or more"),
        (["optimiser.steps=[[0.5,1]]"], "optimiser.steps=.*pairs of a whole step and a factor"),
    ],
)
def test_what_cannot_be_is_refused_by_name(overrides: list[str], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        resolve_training("lassnet", overrides=overrides)


def test_an_unknown_recipe_gets_near_matches() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown recipe 'lasnet'\. Did you mean 'lassnet'"):
        resolve_training("lasnet")


def test_a_cosine_falls_from_the_last_step_of_the_warm_up_to_nothing() -> None:
    steps = ((0, 0.1), (100, 1.0))

    factors = [rate_factor(step, steps, "cosine", 1100) for step in (0, 99, 100, 600, 1100)]

    assert factors == pytest.approx([0.1, 0.1, 1.0, 0.5, 0.0])
