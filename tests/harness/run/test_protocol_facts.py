"""What `bench describe PROTOCOL` states, for every protocol that ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sepbench_testkit.corpora.audiosep import write_audiocaps

from sepbench.harness.errors import SettingError
from sepbench.harness.protocols import FAMILIES, load_protocol, parse_own, protocol_names
from sepbench.harness.run.catalogs import DATASETS
from sepbench.harness.run.corpora import open_grid
from sepbench.harness.run.listing import describe
from sepbench.harness.run.protocol_facts import protocol_facts
from sepbench.harness.settings import resolve

# What a score under any protocol depends on; the rest may be empty where it does not apply.
STATED = (
    *("summary", "dataset", "list", "mixtures", "expected_items", "rate", "channels"),
    *("query", "text", "metrics", "references", "silent_items", "aggregate"),
    *("published", "our_choices"),
)


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_states_all_that_its_scores_depend_on(name: str) -> None:
    protocol = load_protocol(name)

    facts = protocol_facts(protocol)

    assert [key for key in STATED if not facts[key]] == []
    assert facts["rate"] == f"{protocol.sample_rate} Hz"
    assert "revision " in facts["list"]
    versions = [line.partition(":")[0] for line in facts["metrics"]]
    assert [text.partition("@")[0] for text in versions] == list(protocol.metrics)
    assert all(text.partition("@")[2].isdecimal() for text in versions)
    for key in ("references", "silent_items"):
        named = [name for line in facts[key] for name in line.partition(":")[0].split(", ")]
        assert sorted(named) == sorted(protocol.metrics)
    assert bool(facts["examples"]) == ("audio" in protocol.query.kinds)


@pytest.mark.parametrize("name", protocol_names())
def test_a_number_of_items_is_stated_where_the_list_has_a_fixed_one(name: str) -> None:
    protocol = load_protocol(name)

    lists = {card.name: card for card in DATASETS.load(protocol.dataset).card.lists}

    fixed = lists[protocol.list_name].expected_scenes is not None
    assert fixed == (protocol.expected_items is not None)


# The column that the four ratios asked for have under each corpus's default protocol.
DEFAULTS = {
    "sdr": ("sdr", "bss_sdr", "bss_v4_sdr"),
    "sir": ("bss_sir", "bss_v4_sir"),
    "sar": ("bss_sar", "bss_v4_sar"),
    "si_sdr": ("si_sdr",),
}


@pytest.mark.parametrize(
    "name",
    [
        *("audiocaps-audiosep", "audiocaps-default", "audiocaps-default-v2"),
        *("audioset-audiosep", "clotho-audiosep", "dcase24t9-16k", "demo", "folder"),
        *("esc50-premixed", "esc50-rebuilt", "esc10-rebuilt", "sisec18", "sisec18-hq"),
        *("music-audiosep", "vggsound-audiosep", "voicebank-demand"),
    ],
)
def test_what_a_dataset_takes_by_default_gives_the_four_ratios_with_improvements(
    name: str,
) -> None:
    metrics = load_protocol(name).metrics

    found = {ratio: [m for m in ids if m in metrics] for ratio, ids in DEFAULTS.items()}

    assert all(found.values()), found
    for ratio in ("sdr", "sir", "si_sdr"):  # SAR has none: a mixture has no artefacts
        cards = [describe(metric)[0][1] for metric in found[ratio]]
        assert all(card["improvement"] for card in cards)


def test_prompts_examples_and_channels_are_said_in_words() -> None:
    facts = protocol_facts(load_protocol("sisec18"))

    assert facts["text"] == '"other instruments" for other, else the dataset\'s texts'
    assert facts["examples"].startswith("3 of the pool train-stems, drawn by a seed")
    assert facts["channels"] == "as recorded; a mono model hears each by itself"
    assert facts["list"] == "test, revision stems/1"
    assert facts["mixtures"] == "the corpus's own mixture stream"
    assert facts["aggregate"].startswith("median over windows, then median")


def test_the_first_clips_of_a_label_are_told_from_drawn_ones() -> None:
    facts = protocol_facts(load_protocol("stsed-musdb"))

    assert facts["examples"].endswith("the first of their label, the same for all items")


def test_a_protocol_of_a_dataset_or_metric_that_is_not_there_is_described_all_the_same() -> None:
    fields = {"dataset": "gone", "list": "l", "sample_rate": 8000, "metrics": ["sdr", "absent"]}
    protocol = replace(parse_own("mine", fields), published=("a paper's rule",))

    facts = protocol_facts(protocol)

    assert facts["list"] == "l"
    assert facts["metrics"][0].startswith("sdr@1: ")
    assert facts["metrics"][1] == "absent: BROKEN: no such metric is installed"
    assert facts["references"] == ["sdr: the target alone"]
    assert facts["published"] == ["a paper's rule"]


# --- one name for a paper's rules over several corpora --------------------------------------


def test_members_of_a_family_are_protocols_of_their_dataset() -> None:
    for family, members in FAMILIES.items():
        assert family not in protocol_names()
        for dataset, name in members.items():
            protocol = load_protocol(name)
            assert protocol.dataset == dataset
            assert (protocol.sample_rate, protocol.channels) == (32000, "mono")
            assert protocol.metrics[:2] == ("audiosep_sdr", "audiosep_si_sdr")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("audiocaps:audiosep-32k", "audiocaps-audiosep"),
        ("audiocaps:default", "audiocaps-audiosep"),
        ("audiocaps", "audiocaps-audiosep"),
        ("audiocaps:audiocaps-default", "audiocaps-default"),
    ],
)
def test_a_family_and_the_default_stand_for_a_protocol(
    tmp_path: Path, asked: str, expected: str
) -> None:
    root = write_audiocaps(tmp_path)
    settings = resolve(
        workspace=tmp_path / "ws",
        datasets=[asked],
        overrides=[f"datasets.audiocaps.root={root}"],
        environment={},
    )

    ((protocol, _),) = open_grid(settings)

    assert protocol.name == expected


def test_a_family_without_rules_for_a_dataset_says_for_which_it_has_them(tmp_path: Path) -> None:
    settings = resolve(workspace=tmp_path, datasets=["demo:audiosep-32k"], environment={})

    with pytest.raises(SettingError, match="no rules for the dataset 'demo'; it has them for aud"):
        open_grid(settings)


def test_a_family_is_described_by_its_members() -> None:
    ((kind, facts),) = describe("audiosep-32k")

    assert kind == "protocols"
    assert "music:audiosep-32k is music-audiosep" in facts["members"]
