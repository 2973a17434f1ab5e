"""A training that was stopped and goes on is the one that was never stopped, to the bit."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sepbench.harness.errors import CheckpointError, SettingError, UsageError
from sepbench.harness.run.smoke import smoke_settings
from sepbench.harness.run.training import TrainingReport, run_training
from sepbench.harness.training.curve import read_curve, validations
from sepbench.harness.training.settings import with_changes

CHANGES = {"validate_every": 4, "checkpoint_every": 2, "average": 0.9, "network.dropout": 0.3}


def go(folder: Path, steps: int, recipe: str = "lassnet", **changes: Any) -> TrainingReport:
    named = {key.replace("__", "."): value for key, value in changes.items()}
    settings = smoke_settings(recipe)
    return run_training(with_changes(settings, {**CHANGES, "max_steps": steps, **named}), folder)


def held(folder: Path, name: str = "last") -> dict[str, Any]:
    file = folder / "checkpoints" / f"{name}.ckpt"
    found: dict[str, Any] = torch.load(file, weights_only=True)
    return found


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}.{number}")
    else:
        yield path, value


def differences(first: Any, second: Any) -> list[str]:
    pairs = zip(leaves(first), leaves(second), strict=True)
    return [
        a
        for (a, x), (b, y) in pairs
        if a != b or not (torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y)
    ]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    go(folder, 8)
    return folder


def test_four_and_four_steps_are_eight(unbroken: Path, tmp_path: Path) -> None:
    go(tmp_path, 4)
    go(tmp_path, 8)

    assert differences(held(unbroken), held(tmp_path)) == []
    assert differences(held(unbroken, "best"), held(tmp_path, "best")) == []
    assert (unbroken / "curve.csv").read_text() == (tmp_path / "curve.csv").read_text()
    weights = [load_file(folder / "lassnet.safetensors") for folder in (unbroken, tmp_path)]
    assert differences(*weights) == []


def test_a_training_killed_between_two_checkpoints_goes_on_from_the_last(
    unbroken: Path, tmp_path: Path
) -> None:
    settings = with_changes(smoke_settings("lassnet"), {**CHANGES, "max_steps": 8})

    def die(step: int, loss: float) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(settings, tmp_path, progress=die)
    assert held(tmp_path)["global_step"] == 6
    run_training(settings, tmp_path)

    assert differences(held(unbroken), held(tmp_path)) == []
    assert (unbroken / "curve.csv").read_text() == (tmp_path / "curve.csv").read_text()


def test_the_optimiser_and_the_rate_go_on_too(unbroken: Path) -> None:
    found = held(unbroken)

    assert {float(each["step"]) for each in found["optimizer_states"][0]["state"].values()} == {8.0}
    assert found["lr_schedulers"][0]["last_epoch"] == 8


def test_dropout_is_drawn_anew_at_each_step(tmp_path: Path) -> None:
    go(tmp_path / "a", 2, network__dropout=0.0)
    go(tmp_path / "b", 2, network__dropout=0.5)

    first, second = held(tmp_path / "a"), held(tmp_path / "b")
    assert differences(first["state_dict"], second["state_dict"])


def test_validating_in_between_changes_nothing(unbroken: Path, tmp_path: Path) -> None:
    go(tmp_path, 8, validate_every=8)

    assert differences(held(unbroken)["state_dict"], held(tmp_path)["state_dict"]) == []


def test_reading_in_other_processes_changes_nothing(unbroken: Path, tmp_path: Path) -> None:
    go(tmp_path, 8, workers=2)

    assert differences(held(unbroken)["state_dict"], held(tmp_path)["state_dict"]) == []


def test_the_best_weights_are_those_of_the_highest_score(unbroken: Path) -> None:
    scores = validations(unbroken / "curve.csv", "sdr_improvement")

    assert sorted(scores) == [4, 8]
    assert held(unbroken, "best")["global_step"] == max(scores, key=lambda step: scores[step])


def test_losses_and_scores_are_written_down(unbroken: Path) -> None:
    rows = read_curve(unbroken / "curve.csv")

    losses = [int(step) for step, part, name, _ in rows if (part, name) == ("train", "loss")]
    names = {name for _, part, name, _ in rows if part == "validation"}
    assert losses == list(range(1, 9))
    assert names == {"sdr", "si_sdr", "sdr_improvement", "si_sdr_improvement"}
    assert list((unbroken / "tensorboard").glob("events.out.tfevents.*"))


def test_a_folder_is_gone_on_with_under_its_own_settings_only(tmp_path: Path) -> None:
    go(tmp_path, 2)

    with pytest.raises(UsageError, match=r"other settings \(optimiser\)"):
        go(tmp_path, 4, optimiser__rate=0.01)


def test_a_rate_that_falls_to_its_end_keeps_its_end(tmp_path: Path) -> None:
    go(tmp_path, 2, optimiser__decay="cosine")

    with pytest.raises(UsageError, match=r"other settings \(max_steps\)"):
        go(tmp_path, 4, optimiser__decay="cosine")


def test_a_training_stopped_before_its_first_checkpoint_begins_anew(
    unbroken: Path, tmp_path: Path
) -> None:
    settings = with_changes(smoke_settings("lassnet"), {**CHANGES, "max_steps": 8})
    rare = with_changes(settings, {"checkpoint_every": 8})

    def die(step: int, loss: float) -> None:
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(rare, tmp_path, progress=die)
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["best.ckpt"]
    run_training(rare, tmp_path)

    assert differences(held(unbroken)["state_dict"], held(tmp_path)["state_dict"]) == []


def test_checkpoints_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()

    with pytest.raises(UsageError, match="holds checkpoints of something else"):
        go(tmp_path, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_end_and_keeps_it(
    unbroken: Path, tmp_path: Path, number: signal.Signals
) -> None:
    settings = with_changes(smoke_settings("lassnet"), {**CHANGES, "max_steps": 8})
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    def ask(step: int, loss: float) -> None:
        if step == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        run_training(settings, tmp_path, progress=ask)

    assert held(tmp_path)["global_step"] == 3  # between two that are due
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    run_training(settings, tmp_path)
    assert differences(held(unbroken), held(tmp_path)) == []
    assert (unbroken / "curve.csv").read_text() == (tmp_path / "curve.csv").read_text()


def test_losses_between_two_rows_are_part_of_a_checkpoint(tmp_path: Path) -> None:
    go(tmp_path / "a", 4, log_every=3)
    for steps in (2, 4):
        go(tmp_path / "b", steps, log_every=3)

    rows = [row for row in read_curve(tmp_path / "a/curve.csv") if row[1] == "train"]
    assert [int(row[0]) for row in rows] == [3, 4]
    again = [row for row in read_curve(tmp_path / "b/curve.csv") if row[1] == "train"]
    assert [row for row in again if row[0] != "2"][-1] == rows[-1]


def test_a_cut_checkpoint_is_named(tmp_path: Path) -> None:
    go(tmp_path, 2)
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])

    with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be read: .*begin anew"):
        go(tmp_path, 4)


def test_a_finished_training_that_is_asked_again_tells_the_same(tmp_path: Path) -> None:
    first = go(tmp_path, 4)
    record = (tmp_path / "training.json").read_bytes()
    again = go(tmp_path, 4)

    assert (tmp_path / "training.json").read_bytes() == record
    assert json.loads(record)["threads"] == torch.get_num_threads()
    assert again.trained.seconds == pytest.approx(first.trained.seconds, abs=5.0)
    assert again.trained.seconds > 0
    assert again.trained.scores == pytest.approx(first.trained.scores, abs=1e-4)


def test_the_mean_of_the_weights_is_written_without_a_validation_too(tmp_path: Path) -> None:
    go(tmp_path, 3, validate_every=100)

    means, written = held(tmp_path)["averages"], load_file(tmp_path / "lassnet.safetensors")
    name = next(name for name in written if name.endswith("conv1.weight"))
    (mean,) = (value for key, value in means.items() if key.endswith(name))
    torch.testing.assert_close(written[name], mean.half())


def test_batches_may_be_gathered_into_one_step(tmp_path: Path) -> None:
    go(tmp_path / "a", 4, accumulate=2, batch_size=2, validate_every=2)
    go(tmp_path / "b", 2, accumulate=2, batch_size=2, validate_every=2)
    go(tmp_path / "b", 4, accumulate=2, batch_size=2, validate_every=2)

    assert differences(held(tmp_path / "a"), held(tmp_path / "b")) == []
    assert (tmp_path / "a/curve.csv").read_text() == (tmp_path / "b/curve.csv").read_text()
    assert sorted(validations(tmp_path / "a" / "curve.csv", "sdr")) == [2, 4]
    rows = read_curve(tmp_path / "a" / "curve.csv")
    assert [int(step) for step, part, *_ in rows if part == "train"] == [1, 2, 3, 4]


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"The loss is .* at step \d+. Lower optimiser.rate"):
        go(
            tmp_path,
            8,
            optimiser__rate=10.0,
            optimiser__clip_norm=0.0,
            network__dropout=0.0,
            optimiser__steps=[[0, 1e30]],
        )


def test_no_checkpoint_is_written_in_the_middle_of_gathered_batches(tmp_path: Path) -> None:
    """Stopped twice, the second time at a step after which no validation follows."""
    gathered = {"accumulate": 2, "batch_size": 2, "validate_every": 4, "checkpoint_every": 2}
    go(tmp_path / "a", 6, **gathered)
    for steps in (2, 4, 6):
        go(tmp_path / "b", steps, **gathered)

    assert differences(held(tmp_path / "a"), held(tmp_path / "b")) == []


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("audiosep", {}),
        ("stsed", {}),
        ("stsed-sed", {}),
        ("contrastive", {"network.word_dropout": 0.3}),
        ("unet-tag", {}),
        ("lassnet", {"precision": "bf16"}),
    ],
)
def test_two_and_two_steps_of_every_recipe_are_four(
    recipe: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    settings = with_changes(smoke_settings(recipe), {"average": 0.9, **changes})
    if settings.smoke.first:
        first = run_training(smoke_settings(settings.smoke.first), tmp_path / "first")
        settings = with_changes(settings, {settings.smoke.gives: str(first.files[0])})

    run_training(with_changes(settings, {"max_steps": 4}), tmp_path / "a")
    for steps in (2, 4):
        run_training(with_changes(settings, {"max_steps": steps}), tmp_path / "b")

    assert differences(held(tmp_path / "a"), held(tmp_path / "b")) == []
    assert (tmp_path / "a/curve.csv").read_text() == (tmp_path / "b/curve.csv").read_text()


def test_another_encoder_under_the_same_name_is_noticed(tmp_path: Path) -> None:
    pair = tmp_path / "pair"
    (file,) = run_training(smoke_settings("contrastive"), pair).files
    settings = with_changes(
        smoke_settings("audiosep"), {"network.encoder_checkpoint": str(file), "max_steps": 2}
    )
    run_training(settings, tmp_path / "made")
    other = run_training(with_changes(smoke_settings("contrastive"), {"seed": 2}), tmp_path / "o")
    file.write_bytes(other.files[0].read_bytes())

    with pytest.raises(UsageError, match=r"the file of network\.encoder_checkpoint has changed"):
        run_training(with_changes(settings, {"max_steps": 4}), tmp_path / "made")
