from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sepbench.harness.cli import bench
from sepbench.harness.errors import BenchError, CheckpointError, SettingError, UsageError
from sepbench.harness.run.smoke import run_smoke, smoke_settings
from sepbench.harness.run.training import open_recipe, read_vectors, run_training
from sepbench.harness.training.settings import recipe_names, with_changes


@pytest.mark.parametrize("recipe", [name for name in recipe_names() if "-small" not in name])
def test_every_recipe_runs_from_data_to_weights_in_a_few_steps(recipe: str, tmp_path: Path) -> None:
    report = run_smoke(recipe, folder=tmp_path)

    record = json.loads((tmp_path / recipe / "training.json").read_text("utf-8"))
    assert report.trained.steps == record["steps"] == 4
    assert [path.is_file() for path in report.files] == [True]
    assert record["recipe"] == recipe
    assert record["made_with"]["packages"]["torch"]


def test_the_command_prints_what_was_reached(tmp_path: Path) -> None:
    found = CliRunner().invoke(bench, ["train", "unet-tag-small", "--smoke"])

    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("4 steps in ")
    assert "sdr_improvement" in found.stdout
    assert "Written" not in found.stdout  # it is gone again


def test_the_command_without_a_recipe_lists_them() -> None:
    found = CliRunner().invoke(bench, ["train"])

    assert [line.split()[0] for line in found.stdout.splitlines()] == list(recipe_names())


@pytest.mark.parametrize("option", [("--smoke",), ("-d", "demo"), ("-o", "here")])
def test_options_without_a_recipe_are_not_ignored(option: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="Name a recipe: bench train RECIPE"):
        CliRunner().invoke(bench, ["train", *option], catch_exceptions=False)


def test_the_settings_can_be_seen_before() -> None:
    found = CliRunner().invoke(
        bench, ["train", "audiosep", "--show-config", "-d", "folder", "--root", "folder=/x y"]
    )

    shown = json.loads(found.stdout)
    assert shown["dataset"] == ["folder"]
    assert shown["datasets"]["folder"]["root"] == "/x y"


@pytest.mark.parametrize("given", [("-d", "esc50"), ("--config", "mine.yaml")])
def test_a_smoke_run_takes_no_other_data(given: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("max_steps: 1\n")
    name, value = given
    value = str(tmp_path / value) if name == "--config" else value

    with pytest.raises(UsageError, match="--smoke brings its own data"):
        CliRunner().invoke(
            bench, ["train", "lassnet", "--smoke", name, value], catch_exceptions=False
        )


def test_audiosep_is_asked_with_sounds_and_with_vectors_from_a_file(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    from sepbench.datasets.demo_set import Demo

    pair = run_smoke("contrastive", folder=tmp_path).files[0]
    clips = Demo().clips("queries")
    vectors = {clip.clip_id: np.ones(16, np.float32) for clip in clips}
    save_file(vectors, tmp_path / "vectors.safetensors")
    settings = with_changes(
        smoke_settings("audiosep"),
        {
            "network.encoder_checkpoint": str(pair),
            "network.text_ratio": 0.3,
            "network.vector_ratio": 0.5,
            "data.vectors": str(tmp_path / "vectors.safetensors"),
        },
    )

    report = run_training(settings, tmp_path / "out")

    assert report.trained.steps == 4
    with pytest.raises(SettingError, match=r"needs data\.vectors with embeddings of 16 numbers"):
        run_training(with_changes(settings, {"data.vectors": None}), tmp_path / "other")


@pytest.mark.parametrize(
    ("recipe", "changes", "error", "words"),
    [
        ("lassnet", {"network.depth": 3}, SettingError, "no setting network.depth"),
        ("lassnet", {"network.text": "gpt"}, SettingError, "one of bert-mini, words"),
        ("audiosep", {"network.encoder": "bert"}, SettingError, "one of clap, clip, contrastive"),
        ("audiosep", {}, SettingError, "train one with bench train contrastive"),
        (
            "audiosep",
            {"network.vector_ratio": 0.5, "network.text_ratio": 1},
            SettingError,
            "leaves none",
        ),
        ("stsed", {"network.detector": "vgg"}, SettingError, "one of htsat, cnn14"),
        (
            "lassnet",
            {"network.text": "bert-mini", "network.word_dropout": 0.1},
            SettingError,
            "is for network.text=words",
        ),
    ],
)
def test_settings_of_a_recipe_that_cannot_be_are_refused(
    recipe: str, changes: dict[str, object], error: type[BenchError], words: str
) -> None:
    with pytest.raises(error, match=words):
        open_recipe(with_changes(smoke_settings(recipe), changes))


def test_a_smoke_run_takes_what_the_user_says_to_both_stages(tmp_path: Path) -> None:
    report = run_smoke("stsed", overrides=["network.detector=cnn14"], folder=tmp_path)

    assert report.trained.steps == 4
    held = json.loads((tmp_path / "stsed-sed" / "stsed-sed" / "settings.json").read_text())
    assert held["settings"]["network"]["detector"] == "cnn14"


def test_a_smoke_run_takes_the_users_file_and_trains_none(tmp_path: Path) -> None:
    pair = run_smoke("contrastive", folder=tmp_path / "pair").files[0]

    run_smoke(
        "audiosep", overrides=[f"network.encoder_checkpoint={pair}"], folder=tmp_path / "made"
    )

    assert [path.name for path in (tmp_path / "made").iterdir()] == ["audiosep"]
    held = json.loads((tmp_path / "made" / "audiosep" / "settings.json").read_text())
    assert held["settings"]["network"]["encoder_checkpoint"] == str(pair)


def test_vectors_of_any_precision_are_read(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.tensor([0.5, -2.0], dtype=torch.bfloat16)}, tmp_path / "v")

    (vector,) = read_vectors(str(tmp_path / "v")).values()

    assert (vector.tolist(), vector.dtype) == ([0.5, -2.0], "float32")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_vectors_that_are_not_finite_are_refused_by_their_clip(
    value: float, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2), "b": torch.tensor([1.0, value])}, tmp_path / "v")

    with pytest.raises(CheckpointError, match=r"data\.vectors=.*the vector of b holds NaN or inf"):
        read_vectors(str(tmp_path / "v"))


def test_vectors_have_to_be_one_for_each_clip_and_of_one_length(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)}, tmp_path / "v")
    (tmp_path / "w").write_text("no")

    with pytest.raises(CheckpointError, match="one vector for each clip, all of one length"):
        read_vectors(str(tmp_path / "v"))
    with pytest.raises(CheckpointError, match="is no safetensors file"):
        read_vectors(str(tmp_path / "w"))
