from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sepbench.harness.errors import UnknownNameError
from sepbench.harness.registry import Entry, Registry
from sepbench.harness.run import listing
from sepbench.harness.run.listing import all_protocols, describe, list_kind


class Table(Registry):
    """A registry of one plugin, and its facts."""

    def __init__(self, kind: str, facts: Mapping[str, Any], **hidden: Any) -> None:
        super().__init__(kind, {}, "sepbench.tests_only")
        self.facts = facts
        self.__dict__["entries"] = {
            "mine": Entry(name="mine", target="m:M", package="acme", package_version="1.2")
        }
        self.__dict__["shadowed"] = hidden.get("shadowed", ())


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The row of a plugin with these facts."""

    def rows(kind: str, facts: Mapping[str, Any], **hidden: Any) -> list[dict[str, str]]:
        monkeypatch.setitem(listing.REGISTRIES, kind, Table(kind, facts, **hidden))
        monkeypatch.setattr(listing, "facts_of", lambda entries: {e.name: facts for e in entries})
        return list_kind(kind)

    return rows


def test_a_model_is_shown_by_its_card(show: Any) -> None:
    facts = {"query_kinds": ["text", "audio"], "sample_rate": 16000, "summary": "a net"}

    (row,) = show("models", facts)

    assert row == {"name": "mine", "facts": "text/audio; 16000 Hz; a net", "package": "acme 1.2"}


@pytest.mark.parametrize(
    ("kind", "rate", "words"),
    [
        ("audio", 48000, "audio at 48000 Hz to 512 numbers; a net"),
        ("text", None, "text to 512 numbers; a net"),
    ],
)
def test_an_encoder_is_shown_by_its_card(
    show: Any, kind: str, rate: int | None, words: str
) -> None:
    facts = {"kind": kind, "sample_rate": rate, "dimension": 512, "summary": "a net"}

    (row,) = show("encoders", facts)

    assert row["facts"] == words


def test_describe_says_what_an_encoder_does_with_long_clips() -> None:
    ((kind, facts),) = describe("clap-audio")

    assert kind == "encoder"
    assert facts["sample_rate"] == 48_000
    assert facts["crop"].startswith("first 10 s")
    assert facts["target"] == "sepbench.baselines.encoders.clap:ClapAudio"


@pytest.mark.parametrize("kind", ["models", "datasets", "metrics", "encoders"])
def test_a_card_of_another_kind_is_shown_as_broken(show: Any, kind: str) -> None:
    (row,) = show(kind, {"color": "red"})

    assert row["facts"].startswith(f"BROKEN: its card is not that of {kind}")
    assert row["broken"]


def test_a_metric_family_is_shown_by_the_card_of_the_name(show: Any) -> None:
    def card(name: str) -> dict[str, Any]:
        return {
            "metric_id": name,
            "title": name.upper(),
            "unit": "dB",
            "version": 2,
            "higher_is_better": False,
        }

    (row,) = show("metrics", {"cards": [card("other"), card("mine")]})

    assert row["facts"] == "MINE [dB], version 2, lower is better"


def test_a_metric_family_without_the_name_is_broken(show: Any) -> None:
    (row,) = show("metrics", {"cards": [{"metric_id": "other"}]})

    assert row["facts"] == "BROKEN: no card of this name"


def test_a_shadowed_plugin_is_shown_as_not_used(show: Any) -> None:
    hidden = Entry(name="nmf", target="m:N", package="acme", package_version="1.2")

    rows = show("reports", {"summary": "a page"}, shadowed=(hidden,))

    assert rows[1] == {
        "name": "nmf",
        "facts": "not used: a built-in has this name",
        "package": "acme 1.2",
    }


def test_protocols_of_plugins_come_after_the_packaged_ones() -> None:
    found = {protocol.name: package for protocol, package in all_protocols()}

    assert found["demo"] == "sepbench"
    assert found["kit-16k"] == "sepbench-testkit 1.0"
    assert list(found).index("kit-16k") > list(found).index("voicebank-demand")


def test_a_plugins_wrong_protocol_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"protocol_fields": {"bad": {"dataset": 5}}}
    monkeypatch.setattr(listing, "facts_of", lambda entries: {e.name: facts for e in entries})

    assert "bad" not in [protocol.name for protocol, _ in all_protocols()]


def test_describe_says_where_a_name_comes_from() -> None:
    ((kind, facts),) = describe("kit-half")

    assert kind == "model"
    assert facts["from"] == "sepbench-testkit 1.0"
    assert facts["target"] == "sepbench_testkit.models:Half"
    assert facts["summary"] == "half the mixture"


def test_describe_says_what_is_broken() -> None:
    ((_, facts),) = describe("kit-broken")

    assert "No module named 'sepbench_testkit.absent'" in facts["broken"]


def test_describe_of_nothing_gets_near_matches() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown name 'dmeo'\. Did you mean 'demo'"):
        describe("dmeo")
