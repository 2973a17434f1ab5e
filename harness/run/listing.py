"""`bench list` and `bench describe`: facts from cards, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from sepbench.harness.api import ScoringProtocol
from sepbench.harness.errors import BenchError, UnknownNameError
from sepbench.harness.protocols import load_protocol, parse_protocol, protocol_names
from sepbench.harness.registry import Entry, Registry
from sepbench.harness.run.catalogs import DATASETS, METRICS, MODELS, REPORTS
from sepbench.harness.run.probe import facts_of

REGISTRIES: dict[str, Registry] = {
    "models": MODELS,
    "datasets": DATASETS,
    "metrics": METRICS,
    "reports": REPORTS,
}
KINDS = ("models", "datasets", "protocols", "metrics", "reports")


def list_kind(kind: str) -> list[dict[str, str]]:
    """One row a name: name, facts, package, and `broken` where a plugin is."""
    if kind == "protocols":
        return [_protocol_row(protocol) for protocol in all_protocols()]
    registry = REGISTRIES[kind]
    entries = list(registry.entries.values())
    facts = facts_of(entries)
    rows = [_row(kind, entry, facts[entry.name]) for entry in entries]
    for hidden in registry.shadowed:
        rows.append(
            {
                "name": hidden.name,
                "facts": "not used: a built-in has this name",
                "package": hidden.package,
            }
        )
    return rows


def describe(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Everything known under a name: (kind, facts), one for each kind that has it.

    Raises:
        UnknownNameError: nothing has this name.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    for kind, registry in REGISTRIES.items():
        entry = registry.entries.get(name)
        if entry is not None:
            facts = {**facts_of([entry])[name], "from": _package(entry), "target": entry.target}
            if "cards" in facts:  # a metric family: only the card that was asked for
                own = next(c for c in facts.pop("cards") if c["metric_id"] == name)
                facts = {**own, **facts}
            found.append((kind.removesuffix("s"), facts))
    for protocol in all_protocols():
        if protocol.name == name:
            found.append(("protocol", asdict(protocol)))
    if not found:
        known = {n for registry in REGISTRIES.values() for n in registry.entries}
        raise UnknownNameError("name", name, known | {p.name for p in all_protocols()})
    return found


def all_protocols() -> list[ScoringProtocol]:
    """Packaged protocols, then those that dataset plugins bring."""
    protocols = [load_protocol(name) for name in protocol_names()]
    for entry in DATASETS.entries.values():
        if entry.package == "sepbench" or entry.clash:
            continue
        try:
            own: Mapping[str, Mapping[str, Any]] = getattr(
                DATASETS.load(entry.name), "protocols", {}
            )
            protocols += [
                parse_protocol({"name": name, **fields}, f"protocol '{name}'")
                for name, fields in own.items()
            ]
        except BenchError:
            continue  # shown as broken by `bench list datasets`
    return protocols


def _row(kind: str, entry: Entry, facts: Mapping[str, Any]) -> dict[str, str]:
    row = {"name": entry.name, "facts": "", "package": _package(entry)}
    if "broken" in facts:
        return row | {"facts": f"BROKEN: {facts['broken']}", "broken": str(facts["broken"])}
    if kind == "metrics" and "cards" in facts:
        own = [card for card in facts["cards"] if card["metric_id"] == entry.name]
        if not own:
            return row | {"facts": "BROKEN: no card of this name", "broken": "no card"}
        facts = own[0]
    return row | {"facts": _WORDS[kind](facts)}


def _package(entry: Entry) -> str:
    return f"{entry.package} {entry.package_version}".strip()


def _model_words(facts: Mapping[str, Any]) -> str:
    queries = "/".join(facts["query_kinds"]) or "no query"
    rate = f"{facts['sample_rate']} Hz" if facts["sample_rate"] else "any rate"
    return f"{queries}; {rate}; {facts['summary']}"


def _metric_words(facts: Mapping[str, Any]) -> str:
    better = "higher is better" if facts["higher_is_better"] else "lower is better"
    return f"{facts['title']} [{facts['unit']}], version {facts['version']}, {better}"


def _dataset_words(facts: Mapping[str, Any]) -> str:
    lists = ", ".join(card["name"] for card in facts["lists"])
    return f"{facts['summary']} Lists: {lists}. Licence: {facts['licence']}"


def _protocol_row(protocol: ScoringProtocol) -> dict[str, str]:
    rate = f"{protocol.sample_rate} Hz {protocol.channels}"
    items = f"{protocol.expected_items or '?'} items"
    return {
        "name": protocol.name,
        "facts": f"{protocol.dataset}:{protocol.list_name}; {rate}; {items}; {protocol.summary}",
        "package": "sepbench" if protocol.name in protocol_names() else "plugin",
    }


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "models": _model_words,
    "datasets": _dataset_words,
    "metrics": _metric_words,
    "reports": lambda facts: str(facts.get("summary", "")),
}
