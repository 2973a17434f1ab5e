from __future__ import annotations

from typing import Any

import pytest

from sepbench.harness.api import Aggregation
from sepbench.harness.errors import SettingError, UnknownNameError
from sepbench.harness.protocols import KINDS, load_protocol, parse_own, protocol_names
from sepbench.harness.run.catalogs import DATASETS, METRICS

FIELDS: dict[str, Any] = {
    "dataset": "kit",
    "list": "noises",
    "sample_rate": 8000,
    "metrics": ["sdr"],
}


def parse(**fields: Any) -> Any:
    return parse_own("mine", {**FIELDS, **fields})


@pytest.mark.parametrize("name", protocol_names())
def test_every_packaged_protocol_names_things_that_exist(name: str) -> None:
    protocol = load_protocol(name)

    dataset = DATASETS.load(protocol.dataset)
    assert protocol.name == name
    assert protocol.list_name in [card.name for card in dataset.card.lists]
    assert protocol.name in dataset.card.protocols
    assert set(protocol.metrics) <= set(METRICS.entries)
    assert protocol.query.pool in ("", *dataset.card.pools)
    assert protocol.summary


@pytest.mark.parametrize("name", protocol_names())
def test_every_packaged_protocol_says_what_is_published_and_what_is_ours(name: str) -> None:
    protocol = load_protocol(name)

    assert protocol.choices
    assert all(isinstance(line, str) and line for line in protocol.choices + protocol.published)


def test_protocols_that_cards_name_are_packaged() -> None:
    named = {
        protocol
        for name, entry in DATASETS.entries.items()
        if entry.package == "sepbench"
        for protocol in DATASETS.load(name).card.protocols
    }

    assert named == set(protocol_names())


def test_the_least_that_a_protocol_needs() -> None:
    protocol = parse()

    assert protocol.name == "mine"
    assert protocol.metrics == ("sdr",)
    assert protocol.query.kinds == KINDS
    assert (protocol.channels, protocol.model_channels) == ("mono", "per-channel")
    assert protocol.aggregate == Aggregation(items="mean")
    assert protocol.expected_items is None


def test_every_field_is_carried_over() -> None:
    protocol = parse(
        channels="native",
        model_channels="downmix",
        query={"kinds": ["audio"], "shots": 3, "pool": "p", "template": "sound of {label}"},
        aggregate="median",
        expected_items=5,
        summary="words",
        published=["a"],
        choices=["b"],
    )

    assert (protocol.channels, protocol.model_channels) == ("native", "downmix")
    assert protocol.query.kinds == ("audio",)
    assert (protocol.query.shots, protocol.query.pool) == (3, "p")
    assert protocol.query.template == "sound of {label}"
    assert (protocol.aggregate.items, protocol.expected_items) == ("median", 5)
    assert (protocol.summary, protocol.published, protocol.choices) == ("words", ("a",), ("b",))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"metric": ["sdr"]}, "unknown field 'metric'. Did you mean 'metrics'"),
        ({"query": {"shot": 1}}, "query: unknown field 'shot'. Did you mean 'shots'"),
        ({1: 2}, "unknown field '1'"),
        ({"sample_rate": "8000"}, "'sample_rate' is '8000'; expected a whole number"),
        ({"sample_rate": True}, "'sample_rate' is True; expected a whole number"),
        ({"sample_rate": 0}, "'sample_rate' is 0; expected at least 1"),
        ({"sample_rate": None}, "'sample_rate' is None; expected a whole number"),
        ({"sample_rate": 8000.0}, "'sample_rate' is 8000.0; expected a whole number"),
        ({"dataset": ""}, "the field 'dataset' is missing or empty"),
        ({"list": 3}, "'list' is 3; expected text"),
        ({"metrics": []}, "the field 'metrics' is missing or empty"),
        ({"metrics": "sdr"}, "'metrics' is 'sdr'; expected a list"),
        ({"metrics": None}, "'metrics' is None; expected a list"),
        ({"metrics": [1]}, "'metrics' is .1.; expected a list of names"),
        ({"channels": "stereo"}, "'channels' is 'stereo'; one of mono, native"),
        ({"model_channels": "left"}, "one of per-channel, downmix"),
        ({"aggregate": "max"}, "'aggregate' is 'max'; one of mean, median"),
        ({"aggregate": {"items": "max"}}, "'aggregate, items' is 'max'; one of mean, median"),
        ({"aggregate": {"over": "label"}}, "aggregate: unknown field 'over'"),
        ({"aggregate": {"groups": "median"}}, "'aggregate, groups' without 'within'"),
        ({"aggregate": ["mean"]}, "expected mean, median or a mapping"),
        ({"expected_items": -1}, "'expected_items' is -1; expected at least 1"),
        ({"query": ["text"]}, "'query' is .'text'.; expected a mapping"),
        ({"query": {"kinds": ["smell"]}}, "query kind 'smell'; one of text, label, audio"),
        ({"query": {"kinds": []}}, "no query kind"),
        ({"query": {"kinds": None}}, "'kinds' is None; expected a list"),
        ({"query": {"shots": 0}}, "'shots' is 0; expected at least 1"),
        ({"query": {"template": "a sound"}}, "template has no {label} in it"),
    ],
    ids=str,
)
def test_wrong_fields_are_refused_by_words(fields: dict[Any, Any], words: str) -> None:
    with pytest.raises(SettingError, match=f"protocol 'mine'.*{words}"):
        parse_own("mine", {**FIELDS, **fields})


@pytest.mark.parametrize("field", ["dataset", "list", "sample_rate", "metrics"])
def test_a_missing_field_is_named(field: str) -> None:
    fields = {key: value for key, value in FIELDS.items() if key != field}

    with pytest.raises(SettingError, match=f"'{field}' is missing"):
        parse_own("mine", fields)


def test_a_protocol_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(SettingError, match="protocol 'mine' is 'text'; expected its fields"):
        parse_own("mine", "text")


def test_a_plugin_brings_its_own_protocols_beside_the_packaged_ones() -> None:
    own = {"mine": FIELDS}

    assert load_protocol("mine", own).dataset == "kit"
    assert load_protocol("demo", own).dataset == "demo"


def test_an_unknown_protocol_gets_near_matches_from_both() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown protocol 'mnie'. Did you mean 'mine'"):
        load_protocol("mnie", {"mine": FIELDS})


def test_the_steps_of_an_aggregation_are_data() -> None:
    steps = {"frames": "median", "items": "median", "within": "label", "groups": "mean"}

    protocol = parse(aggregate=steps)

    assert protocol.aggregate == Aggregation(
        frames="median", items="median", within="label", groups="mean"
    )
