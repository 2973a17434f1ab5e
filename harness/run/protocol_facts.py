"""What `bench describe PROTOCOL` says: everything that a score under it depends on.

What the protocol's file leaves to others is fetched from them: how the list is mixed, from the
dataset's card; which references a metric looks at and what it does with silence, from the metric's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sepbench.harness.api import ScoringProtocol
from sepbench.harness.run.catalogs import DATASETS, METRICS
from sepbench.harness.run.probe import facts_of

Facts = Mapping[str, Any]

_KNOWN = "all known sources of the scene"
_ALONE = "the target alone"


def protocol_facts(protocol: ScoringProtocol) -> dict[str, Any]:
    """Facts by name, texts and lists of texts; empty is what the protocol's kind does not have.

    Args:
        protocol: packaged, or of a plugin.
    """
    entry = _list_facts(protocol)
    cards = _metric_facts(protocol.metrics)
    known = [card for card in cards if not card.get("broken")]
    return {
        "summary": protocol.summary,
        "dataset": protocol.dataset,
        "list": protocol.list_name + (f", revision {entry['revision']}" if entry else ""),
        "mixtures": entry.get("mixing", ""),
        "expected_items": _items(protocol),
        "rate": f"{protocol.sample_rate} Hz",
        "channels": _channels(protocol),
        "query": " before ".join(protocol.query.kinds),
        "text": _text(protocol),
        "examples": _examples(protocol),
        "metrics": [_metric_words(card) for card in cards],
        "references": _by_words((card["metric_id"], _references(card)) for card in known),
        "silent_items": _by_words(
            (card["metric_id"], card["silence"] or "as the formula says") for card in known
        ),
        "aggregate": protocol.aggregate.words,
        "published": list(protocol.published) or ["nothing: list and rules are ours"],
        "our_choices": list(protocol.choices),
    }


def _list_facts(protocol: ScoringProtocol) -> Facts:
    """Of the dataset's card; nothing where the dataset is broken, which `bench list` says."""
    entry = DATASETS.entries.get(protocol.dataset)
    facts = facts_of([entry])[entry.name] if entry else {}
    lists: Sequence[Facts] = facts.get("lists", ())
    return next((card for card in lists if card["name"] == protocol.list_name), {})


def _metric_facts(names: Sequence[str]) -> list[Facts]:
    """A card each, in order; `broken` says why there is none."""
    found = facts_of([METRICS.entries[name] for name in names if name in METRICS.entries])
    cards: list[Facts] = []
    for name in names:
        facts = found.get(name, {"broken": "no such metric is installed"})
        family = facts.get("cards", (facts,))  # of one metric alone, the card itself
        own = (card for card in family if card.get("metric_id") == name)
        broken = {"metric_id": name, "broken": facts.get("broken") or "no card of this name"}
        cards.append(next(own, broken))
    return cards


def _metric_words(card: Facts) -> str:
    if card.get("broken"):
        return f"{card['metric_id']}: BROKEN: {card['broken']}"
    return f"{card['metric_id']}@{card['version']}: {card['title']}"


def _items(protocol: ScoringProtocol) -> str:
    if protocol.expected_items is None:
        return "as many as the user's own list has"
    return f"{protocol.expected_items:,}"


def _channels(protocol: ScoringProtocol) -> str:
    if protocol.channels == "mono":
        return "mono, the mean over channels"
    mono = {
        "per-channel": "a mono model hears each by itself",
        "downmix": "a mono model hears their mean",
    }
    return f"as recorded; {mono[protocol.model_channels]}"


def _text(protocol: ScoringProtocol) -> str:
    """How the words of a query come about."""
    rule = protocol.query
    prompts = [f'"{text}" for {label}' for label, text in rule.prompts.items()]
    own = "the dataset's texts"
    if rule.template:
        own += f", or the label in '{rule.template}'"
    return ", ".join([*prompts, own if not prompts else f"else {own}"])


def _examples(protocol: ScoringProtocol) -> str:
    rule = protocol.query
    if "audio" not in rule.kinds:
        return ""
    how = {
        "seeded": "drawn by a seed for each item from other recordings",
        "first": "the first of their label, the same for all items",
        "own": "the target itself",
    }
    return f"{rule.shots} of the pool {rule.pool}, {how[rule.draw]}"


def _references(card: Facts) -> str:
    named = card["parameters"].get("references")
    if named:
        return str(named)
    return _KNOWN if card["needs_all_references"] else _ALONE


def _by_words(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """One line for all metrics that have the same words: "sdr, si_sdr: the target alone"."""
    grouped: dict[str, list[str]] = {}
    for name, words in pairs:
        grouped.setdefault(words, []).append(name)
    return [f"{', '.join(names)}: {words}" for words, names in grouped.items()]
