"""Weights of a planned model: filled in where they are installed, named where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from sepbench_testkit.weights import (
    NET,
    PUBLISHED,
    TOKENS,
    Weighted,
    own_weights,
    tokenizer_folder,
)

from sepbench.baselines.weights import install
from sepbench.harness import identity
from sepbench.harness.api import QueryKind
from sepbench.harness.errors import PluginError, UnknownNameError
from sepbench.harness.plan import PlannedModel
from sepbench.harness.run import models
from sepbench.harness.run.grid import run_grid
from sepbench.harness.run.models import find_open_weights, plan_models
from sepbench.harness.settings import resolve

WEIGHTED = "w=sepbench_testkit.weights:Weighted"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_weights(monkeypatch, tmp_path / "weights")


def put(path: Path, contents: bytes = PUBLISHED) -> Path:
    path.write_bytes(contents)
    return path


def planned(*overrides: str) -> PlannedModel:
    settings = resolve(
        workspace=Path("absent"),
        models=[WEIGHTED],
        overrides=["bounds=[]", *overrides],
        environment={},
    )
    (model,) = plan_models(settings)
    return model


def test_installed_weights_fill_open_settings_and_count_by_their_sums(
    folder: Path, tmp_path: Path
) -> None:
    net = install(NET, put(tmp_path / "net"), origin="here").path
    tokens = install(TOKENS, tokenizer_folder(tmp_path / "tokens"), origin="here").path

    model = planned()

    assert model.settings == {"checkpoint": str(net), "tokenizer": str(tokens)}
    assert model.identity["checkpoints"]["checkpoint"] == NET.files[0].sha256
    assert len(model.identity["checkpoints"]["tokenizer"]) == 64
    assert "checkpoint" not in model.identity["settings"]


def test_the_same_weights_elsewhere_are_the_same_model(folder: Path, tmp_path: Path) -> None:
    install(NET, put(tmp_path / "net"), origin="here")
    filled = planned()

    given = planned(f"models.w.checkpoint={tmp_path / 'net'}")
    other = planned(f"models.w.checkpoint={put(tmp_path / 'other', b'net: other')}")

    assert given.settings["checkpoint"] == str(tmp_path / "net")
    assert given.identity == filled.identity
    assert other.identity != filled.identity


def test_what_is_not_installed_stays_open(folder: Path) -> None:
    model = planned()

    assert model.settings == {}
    assert model.identity["settings"] == {"checkpoint": None, "tokenizer": None}


def test_recorded_sums_are_not_read_again_and_others_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(NET, put(tmp_path / "net"), origin="here")
    tokens = tokenizer_folder(tmp_path / "tokens")
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return identity.file_sha256(path)

    monkeypatch.setattr(models, "file_sha256", counted)
    for _ in range(2):
        planned(f"models.w.tokenizer={tokens}")

    assert sorted(read) == ["tokenizer.json", "vocab.txt"]


def test_an_installed_file_that_changed_is_read(folder: Path, tmp_path: Path) -> None:
    path = install(NET, put(tmp_path / "net"), origin="here").path
    before = planned().identity

    put(path, b"net: WEIGHTS")

    assert planned().identity != before


def test_a_plugins_own_attribute_of_that_name_is_left_alone() -> None:
    class Own:
        weights = (1.0, 2.0)

    assert find_open_weights(Own, {"checkpoint": None}) == {}


def test_weights_that_one_kind_of_query_needs_make_no_other_cell_of_the_others(
    folder: Path, tmp_path: Path
) -> None:
    def cell(kind: QueryKind) -> dict[str, object]:
        settings = resolve(
            workspace=Path("absent"),
            models=["audiosep-clip"],
            overrides=["bounds=[]"],
            environment={},
        )
        (model,) = plan_models(settings)
        return model.identity_with(kind)

    kinds: tuple[QueryKind, ...] = ("text", "label", "audio", "text+audio")
    before = {kind: cell(kind) for kind in kinds}
    folder.mkdir()
    put(folder / "Wav2CLIP.pt")
    with_sounds = {kind: cell(kind) for kind in kinds}
    put(folder / "audiosep_clip.ckpt")
    with_separator = {kind: cell(kind) for kind in kinds}

    assert [kind for kind in kinds if with_sounds[kind] != before[kind]] == ["audio", "text+audio"]
    assert all(with_separator[kind] != with_sounds[kind] for kind in kinds)
    assert before["text"]["source"] == before["audio"]["source"]


@pytest.mark.parametrize("said", [{"checkpoint": "audio"}, {"checkpoint": ("sound",)}, "audio"])
def test_kinds_of_weights_that_are_none_are_a_mistake_of_the_class(
    said: object, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Weighted, "weights_of_kinds", said, raising=False)

    with pytest.raises(PluginError, match="weights_of_kinds is"):
        planned()


def test_a_name_that_nobody_knows_is_a_mistake_of_the_class() -> None:
    class Odd:
        weights = {"checkpoint": "nett"}  # noqa: RUF012 - read, never written

    with pytest.raises(UnknownNameError, match="Unknown weights 'nett'"):
        find_open_weights(Odd, {"checkpoint": None})


def test_a_run_without_weights_fails_with_the_way_to_them_and_goes_on_once_they_are_there(
    folder: Path, tmp_path: Path
) -> None:
    settings = resolve(
        workspace=tmp_path / "work",
        models=[WEIGHTED],
        datasets=["kit"],
        overrides=["engine.name=inline", "datasets.kit.scenes=1", "metrics=[sdr]", "bounds=[]"],
        environment={},
    )

    without = run_grid(settings)
    install(NET, put(tmp_path / "net"), origin="here")
    after = run_grid(settings)

    ((label, reason),) = without.failed_cells
    assert (without.done, label) == (0, "w")
    assert "net (a small net) is not installed" in reason
    assert "bench weights pull net" in reason
    assert after.ok
    assert after.done > 0
