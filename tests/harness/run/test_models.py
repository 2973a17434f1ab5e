from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sepbench.harness.api import BaselineCard
from sepbench.harness.errors import BenchError, PluginError, SettingError, UnknownNameError
from sepbench.harness.run.corpora import find_root, open_dataset, open_grid, root_variable
from sepbench.harness.run.models import (
    ModelRequest,
    complete_settings,
    find_postprocess,
    make_model,
    plan_models,
)
from sepbench.harness.settings import RunSettings, resolve


def settings(*overrides: str, models: Any = (), datasets: Any = ()) -> RunSettings:
    return resolve(
        workspace=Path("absent"),
        models=models,
        datasets=datasets,
        overrides=overrides,
        environment={},
    )


# --- models ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "label", "name"),
    [
        ("nmf", "nmf", "nmf"),
        ("mine=nmf", "mine", "nmf"),
        ("mine=pkg.mod:Net", "mine", "pkg.mod:Net"),
        ("pkg.mod:Net", "pkg.mod:Net", "pkg.mod:Net"),
    ],
)
def test_models_are_named_or_labelled(text: str, label: str, name: str) -> None:
    assert ModelRequest.parse(text) == ModelRequest(label=label, name=name)


def test_bounds_come_without_asking_and_only_once() -> None:
    labels = [model.label for model in plan_models(settings(models=["mixture", "kit-half"]))]

    assert labels == ["oracle-irm", "mixture", "kit-half"]


def test_the_same_model_twice_is_planned_once() -> None:
    planned = plan_models(settings("bounds=[]", models=["kit-half", "kit-half"]))

    assert [model.label for model in planned] == ["kit-half"]


def test_defaults_are_completed_and_part_of_the_identity() -> None:
    (model,) = plan_models(settings("bounds=[]", "models.soft.gain=0.1", models=["soft=kit-half"]))

    assert model.settings == {"gain": 0.1}
    assert {"gain": 0.1, "seconds": 0.0}.items() <= model.identity["settings"].items()
    assert model.identity["baseline"] == "kit-half"


def with_step(name: str) -> Any:
    given = settings("bounds=[]", f"models.kit-half.postprocess={name}", models=["kit-half"])
    (model,) = plan_models(given)
    return model


def test_a_postprocess_is_a_setting_of_any_model_and_part_of_its_identity() -> None:
    (plain,) = plan_models(settings("bounds=[]", models=["kit-half"]))

    model, none = with_step("joint-wiener"), with_step("null")

    assert none.identity == plain.identity
    assert (none.card.joint, model.card.joint) == (False, True)
    assert model.card.summary == "half the mixture; then joint-wiener"
    assert model.settings == plain.settings
    assert model.postprocess == "sepbench.baselines.stsed.wiener:JointWiener"
    assert model.identity["postprocess"]["name"] == "joint-wiener"
    assert {k: v for k, v in model.identity.items() if k != "postprocess"} == plain.identity


def test_a_postprocess_of_another_version_or_code_is_another_model() -> None:
    one, other = (
        with_step(f"sepbench_testkit.postprocesses:{name}") for name in ("Shares", "Later")
    )

    assert [m.identity["postprocess"]["version"] for m in (one, other)] == ["1", "2"]
    assert len(one.identity["postprocess"]["source"]) == 64


def test_a_model_and_its_variant_with_a_postprocess_stand_in_one_grid() -> None:
    given = settings(
        *("bounds=[]", "models.shared.postprocess=joint-wiener"),
        models=["kit-half", "shared=kit-half"],
    )

    assert [model.label for model in plan_models(given)] == ["kit-half", "shared"]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("joint-winer", UnknownNameError, "Unknown postprocess 'joint-winer'.*'joint-wiener'"),
        ("3", SettingError, r"models\.kit-half\.postprocess=3: expected a name"),
        ("sepbench_testkit.postprocesses:Cardless", PluginError, "not a PostprocessCard"),
    ],
)
def test_what_is_no_postprocess_is_refused(name: str, error: type[BenchError], words: str) -> None:
    with pytest.raises(error, match=words):
        with_step(name)


def test_a_models_own_setting_of_that_name_is_its_own() -> None:
    class Own:
        def __init__(self, postprocess: str = "none") -> None: ...

    given = {"postprocess": "gentle"}

    assert find_postprocess(Own, given, "own") == ("", {})
    assert given == {"postprocess": "gentle"}


class Net:
    """A separator whose card and constructor the tests choose."""

    def __init__(self, card: Any = None) -> None:
        self.card = card

    def load(self, device: str) -> None: ...

    def condition(self, queries: Any) -> Any: ...

    def separate(self, mixture: Any, condition: Any) -> Any: ...


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "name is ''; expected a word"),
        ({"version": 1}, "version is 1; expected text"),
        ({"query_kinds": ("txt",)}, r"query_kinds is \('txt',\); expected a tuple of text, lab"),
        ({"query_kinds": "text"}, "query_kinds is 'text'; expected a tuple"),
        ({"sample_rate": "16000"}, "sample_rate is '16000'; expected a whole number"),
        ({"sample_rate": 0}, "sample_rate is 0; expected a whole number"),
        ({"channels": 1.5}, "channels is 1.5; expected a whole number"),
        ({"min_samples": None}, "min_samples is None; expected a whole number"),
        ({"chunking": "yes"}, "chunking is 'yes'; expected one of harn"),
        ({"role": "best"}, "role is 'best'; expected one of model, lower, upper"),
    ],
    ids=str,
)
def test_a_card_with_a_wrong_field_is_refused_by_its_name(
    fields: dict[str, Any], words: str
) -> None:
    card = BaselineCard(**({"name": "net"} | fields))

    with pytest.raises(PluginError, match=rf"Model 'net', card: {words}"):
        make_model(Net, {"card": card}, "net")


def test_a_card_of_another_type_is_refused() -> None:
    with pytest.raises(PluginError, match="its card is not a BaselineCard"):
        make_model(Net, {"card": {"name": "net"}}, "net")


def test_a_constructor_that_raises_is_named() -> None:
    def broken() -> None:
        raise OSError("no disk")

    with pytest.raises(PluginError, match="Model 'net' cannot be made: OSError: no disk"):
        make_model(broken, {}, "net")


def test_a_setting_without_default_is_asked_for() -> None:
    def needs(*, checkpoint: str) -> None: ...

    with pytest.raises(SettingError, match=r"needs checkpoint; give models\.net\.checkpoint=VA"):
        complete_settings(needs, {}, "net")


# --- datasets -------------------------------------------------------------------------------


def test_a_root_is_given_or_in_a_variable_or_below_the_common_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "voicebank-demand").mkdir()
    monkeypatch.delenv("SEPBENCH_VOICEBANK_DEMAND", raising=False)
    monkeypatch.setenv("SEPBENCH_DATA", str(tmp_path))

    below = find_root("voicebank-demand", None)
    absent = find_root("esc50", None)
    monkeypatch.setenv(root_variable("voicebank-demand"), "/own")
    own = find_root("voicebank-demand", None)
    given = find_root("voicebank-demand", "/given")

    assert below == tmp_path / "voicebank-demand"
    assert absent is None
    assert own == Path("/own")
    assert given == Path("/given")


def test_each_dataset_is_opened_once_and_each_protocol_planned_once() -> None:
    grid = open_grid(settings(datasets=["kit", "kit:kit-16k", "kit:kit"]))

    assert [protocol.name for protocol, _ in grid] == ["kit", "kit-16k"]
    assert grid[0][1] is grid[1][1]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (5, "Dataset 'kit' names 5; expected a class"),
        (lambda root: 1 / 0, "Dataset 'kit' cannot be made: ZeroDivisionError"),
        (lambda root: object(), "lacks one of card, default_protocol, scenes, load, clips"),
    ],
    ids=["a number", "raises", "another thing"],
)
def test_a_plugin_that_is_no_dataset_is_refused(
    monkeypatch: pytest.MonkeyPatch, made: Any, words: str
) -> None:
    monkeypatch.setattr("sepbench.harness.run.corpora.DATASETS.load", lambda name: made)

    with pytest.raises(PluginError, match=words):
        open_dataset("kit")
