"""Names to metrics: cards, families, plugins, and one scene's scores."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from sepbench.harness.api import MetricCard, Undefined
from sepbench.harness.errors import PluginError, UndefinedScoreError, UnknownNameError
from sepbench.harness.metrics import (
    ItemMetric,
    MetricFamily,
    ScoredItem,
    ScoredScene,
    card_of,
    catalog,
    family_of,
    score_scene,
)
from sepbench.harness.registry import Registry

ALL = ("sdr", "si_sdr", "bss_sdr", "bss_sir", "bss_sar")


def small_scene(num_items: int = 1, samples: int = 600) -> ScoredScene:
    rng = np.random.default_rng(0)
    dog, rain = rng.standard_normal((2, 1, samples)).astype(np.float32)
    estimates = (dog + gain * rain for gain in np.linspace(0.1, 0.5, num_items, dtype=np.float32))
    return ScoredScene(
        sample_rate=16000,
        mixture=dog + rain,
        references={"dog": dog, "rain": rain},
        items=tuple(ScoredItem(target="dog", reference=dog, estimate=e) for e in estimates),
    )


# --- cards --------------------------------------------------------------------------------


@pytest.mark.parametrize("metric_id", catalog.CATALOG)
def test_every_card_says_what_its_number_is(metric_id):
    card = card_of(metric_id)

    assert card.metric_id == metric_id
    assert card.identity == f"{metric_id}@{card.version}"
    assert card.parameters["precision"] in ("float32", "float64")
    assert all((card.title, card.range, card.silence, card.formula, card.source))


def test_no_two_cards_share_a_title_or_an_improvement():
    cards = [card_of(metric_id) for metric_id in catalog.CATALOG]
    improvements = [card.improvement for card in cards if card.improvement]

    assert len({card.title for card in cards}) == len(cards)
    assert len(set(improvements)) == len(improvements)
    assert not {*improvements} & {*catalog.CATALOG}


def test_improvements_and_noise_floors_are_those_of_the_design():
    improvements = {name: card_of(name).improvement for name in ALL}
    floors = {name: card_of(name).noise_floor for name in ALL}

    assert improvements == {
        "sdr": "sdri",
        "si_sdr": "si_sdri",
        "bss_sdr": "bss_sdri",
        "bss_sir": "bss_siri",
        "bss_sar": None,
    }
    assert floors == {"sdr": None, "si_sdr": None, "bss_sdr": None, "bss_sir": 60, "bss_sar": 60}


def test_only_sar_is_not_defined_for_the_mixture():
    assert [name for name in ALL if not card_of(name).defined_for_mixture] == ["bss_sar"]


def test_the_three_of_bss_eval_are_one_family():
    families = [family_of(name) for name in ("bss_sdr", "bss_sir", "bss_sar")]

    assert all(family is families[0] for family in families)
    assert isinstance(families[0], MetricFamily)


def test_importing_the_package_loads_neither_numpy_nor_torch():
    code = (
        "import sys, sepbench.harness.metrics as metrics\n"
        "metrics.METRICS.entries\n"
        "assert not {'numpy', 'torch'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_reading_cards_loads_no_torch():
    code = (
        "import sys\n"
        "from sepbench.harness.metrics import METRICS, card_of\n"
        f"[card_of(name) for name in {tuple(catalog.CATALOG)}]\n"
        "assert not {'torch', 'scipy', 'fast_bss_eval'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_functions_are_not_hidden_by_modules():
    import sepbench.harness.metrics as metrics

    assert all(not isinstance(getattr(metrics, name), type(sys)) for name in metrics.__all__)
    assert metrics.__dir__() == sorted(metrics.__all__)
    with pytest.raises(AttributeError, match="no attribute 'sdri'"):
        _ = metrics.sdri


# --- scoring ------------------------------------------------------------------------------


def test_a_scene_gets_every_asked_id_in_the_order_asked_for():
    rows = score_scene(small_scene(num_items=3), ["bss_sir", "sdr", "bss_sdr", "sdr"])

    assert [list(row) for row in rows] == [["bss_sir", "sdr", "bss_sdr"]] * 3
    assert [row["sdr"] for row in rows] == sorted((row["sdr"] for row in rows), reverse=True)


def test_a_family_is_asked_once(monkeypatch):
    calls = []
    family = type(family_of("bss_sdr"))
    monkeypatch.setattr(
        family,
        "score",
        lambda self, scene, wanted: calls.append(wanted) or [dict.fromkeys(wanted, 1.0)],
    )

    score_scene(small_scene(), ALL)

    assert calls == [{"bss_sdr", "bss_sir", "bss_sar"}]


def test_a_scene_without_items_has_no_scores():
    assert score_scene(small_scene(num_items=0), ALL) == []


def test_a_mute_estimate_is_zero_db_sdr_and_no_si_sdr():
    dog = np.ones((1, 50), np.float32)
    item = ScoredItem(target="dog", reference=dog, estimate=np.zeros_like(dog))
    scene = ScoredScene(sample_rate=8000, mixture=dog, references={"dog": dog}, items=(item,))

    (row,) = score_scene(scene, ["sdr", "si_sdr"])

    assert row["sdr"] == 0.0
    assert row["si_sdr"].cause == "estimate"
    assert "mute" in row["si_sdr"].reason


def test_a_typo_gets_near_matches():
    with pytest.raises(UnknownNameError, match=r"Unknown metric 'sisdr'.*Did you mean 'si_sdr'"):
        score_scene(small_scene(), ["sisdr"])


# --- plain functions and plugins ----------------------------------------------------------


def loudness(reference, estimate):
    """A plugin as a stranger writes it."""
    return 20 * math.log10(float(np.abs(estimate).max()) / float(np.abs(reference).max()))


loudness.card = MetricCard(metric_id="loudness", version=3, title="Peak ratio", min_samples=100)


def nan_metric(reference, estimate):
    return np.float32("nan")


nan_metric.card = MetricCard(metric_id="nan_metric", version=1, title="NaN")


def broken(reference, estimate):
    raise ZeroDivisionError("a stranger's bug")


broken.card = MetricCard(metric_id="broken", version=1, title="Broken")


class Forgetful:
    """A family that leaves out its items."""

    cards = (MetricCard(metric_id="forgetful", version=1, title="Forgetful"),)

    def score(self, scene, wanted):
        return []


class NanFamily:
    """A family that hands back NaN."""

    cards = (MetricCard(metric_id="nan_family", version=1, title="NaN"),)

    def score(self, scene, wanted):
        return [{"nan_family": np.float32("nan")} for _ in scene.items]


forgetful, nan_family = Forgetful(), NanFamily()


@pytest.fixture
def plugins(monkeypatch):
    """A registry that knows the objects of this module by name."""
    here = sys.modules[__name__]
    monkeypatch.setitem(sys.modules, "strange_metrics", here)
    names = {
        "loudness": "loudness",
        "renamed": "loudness",
        "nan_metric": "nan_metric",
        "nan_family": "nan_family",
        "broken": "broken",
        "forgetful": "forgetful",
        "cardless": "small_scene",
        "family_class": "Forgetful",
    }
    table = {name: f"strange_metrics:{attribute}" for name, attribute in names.items()}
    monkeypatch.setattr(catalog, "METRICS", Registry("metric", table, "sepbench.metrics.none"))


@pytest.mark.usefixtures("plugins")
class TestPlugins:
    def test_a_function_with_a_card_is_a_metric(self):
        (row,) = score_scene(small_scene(), ["loudness"])

        assert isinstance(family_of("loudness"), ItemMetric)
        assert card_of("loudness").identity == "loudness@3"
        assert isinstance(row["loudness"], float)

    def test_its_minimum_length_is_checked_before_it_is_called(self):
        (row,) = score_scene(small_scene(samples=99), ["loudness"])

        assert row["loudness"] == Undefined(
            cause="reference", reason="too short: 99 samples, loudness needs 100"
        )

    @pytest.mark.parametrize("name", ["nan_metric", "nan_family"])
    def test_its_nan_becomes_undefined(self, name):
        (row,) = score_scene(small_scene(), [name])

        assert row[name] == Undefined(cause="estimate", reason="the metric gave NaN")

    def test_its_own_exceptions_pass(self):
        with pytest.raises(ZeroDivisionError, match="a stranger's bug"):
            score_scene(small_scene(), ["broken"])

    def test_an_item_left_out_is_refused(self):
        with pytest.raises(PluginError, match="family of forgetful gave no value for some of the"):
            score_scene(small_scene(), ["forgetful"])

    def test_another_name_than_the_cards_is_refused(self):
        with pytest.raises(PluginError, match="'renamed' computes loudness: the id on its card"):
            family_of("renamed")

    @pytest.mark.parametrize("name", ["cardless", "family_class"])
    def test_what_is_no_metric_is_refused(self, name):
        with pytest.raises(PluginError, match="neither a MetricFamily nor a function with a Metr"):
            family_of(name)


def test_an_item_metric_hands_on_cause_and_reason():
    def never(reference, estimate):
        raise UndefinedScoreError("estimate", "because")

    metric = ItemMetric(
        card=MetricCard(metric_id="never", version=1, title="Never"), function=never
    )

    assert metric.score(small_scene(), frozenset({"never"})) == [
        {"never": Undefined(cause="estimate", reason="because")}
    ]
    assert metric.score(small_scene(), frozenset({"other"})) == [{}]
