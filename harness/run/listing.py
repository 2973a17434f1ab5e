"""`bench list` and `bench describe`: facts from cards, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sepbench.harness.api import ScoringProtocol
from sepbench.harness.contamination import overlaps_of
from sepbench.harness.errors import BenchError, UnknownNameError
from sepbench.harness.protocols import FAMILIES, load_protocol, parse_own, protocol_names
from sepbench.harness.published import PublishedRow, read_published
from sepbench.harness.registry import BUILT_IN, Entry, Registry
from sepbench.harness.run.catalogs import (
    DATASETS,
    ENCODERS,
    METRICS,
    MODELS,
    POSTPROCESSES,
    REPORTS,
)
from sepbench.harness.run.probe import facts_of
from sepbench.harness.run.protocol_facts import protocol_facts

REGISTRIES: dict[str, Registry] = {
    "models": MODELS,
    "datasets": DATASETS,
    "metrics": METRICS,
    "encoders": ENCODERS,
    "postprocesses": POSTPROCESSES,
    "reports": REPORTS,
}


def list_kind(kind: str) -> list[dict[str, str]]:
    """One row a name: name, facts, package, and `broken` where a plugin is."""
    if kind == "protocols":
        return [_protocol_row(protocol, package) for protocol, package in all_protocols()]
    if kind == "published":
        return [_published_row(row) for row in read_published()]
    registry = REGISTRIES[kind]
    entries = list(registry.entries.values())
    facts = facts_of(entries)
    rows = [_row(kind, entry, facts[entry.name]) for entry in entries]
    for hidden in registry.shadowed:
        rows.append(
            {
                "name": hidden.name,
                "facts": "not used: a built-in has this name",
                "package": _package(hidden),
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
            facts = {**_own(name, facts_of([entry])[name]), "from": _package(entry)}
            hidden = {"installed", "protocol_fields"}
            shown = {key: value for key, value in facts.items() if key not in hidden}
            if kind == "models":
                shown |= _training(name, shown)
            found.append((_one(kind), shown | {"target": entry.target}))
    protocols = all_protocols()
    found += [
        ("protocol", protocol_facts(protocol) | {"from": package})
        for protocol, package in protocols
        if protocol.name == name
    ]
    if name in FAMILIES:
        members = [f"{dataset}:{name} is {each}" for dataset, each in FAMILIES[name].items()]
        found.append(("protocols", {"members": members, "from": BUILT_IN}))
    if not found:
        known = {n for registry in REGISTRIES.values() for n in registry.entries} | set(FAMILIES)
        raise UnknownNameError("name", name, known | {p.name for p, _ in protocols})
    return found


def _one(kind: str) -> str:
    return "postprocess" if kind == "postprocesses" else kind.removesuffix("s")


def _training(name: str, facts: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the model may have heard in training; nothing for a broken plugin's lack of facts."""
    rows = overlaps_of(name, facts.get("training_data", ()))
    return {"training_overlap": [f"{row.place}: {row.words}" for row in rows if row.overlap != 0]}


def all_protocols() -> list[tuple[ScoringProtocol, str]]:
    """Packaged protocols, then those that dataset plugins bring, each with its package."""
    protocols = [(load_protocol(name), BUILT_IN) for name in protocol_names()]
    plugins = [e for e in DATASETS.entries.values() if e.package != BUILT_IN and not e.clash]
    facts = facts_of(plugins)
    for entry in plugins:
        for name, fields in facts[entry.name].get("protocol_fields", {}).items():
            try:
                protocols.append((parse_own(name, fields), _package(entry)))
            except BenchError:
                continue  # `bench check` of the dataset says what is wrong with it
    return protocols


def _own(name: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a family of metrics, only the card that was asked for."""
    if "cards" not in facts:
        return facts
    own: Sequence[Mapping[str, Any]] = [c for c in facts["cards"] if c.get("metric_id") == name]
    return own[0] if own else {"broken": "no card of this name"}


def _row(kind: str, entry: Entry, facts: Mapping[str, Any]) -> dict[str, str]:
    row = {"name": entry.name, "facts": "", "package": _package(entry)}
    facts = _own(entry.name, facts)
    try:
        broken = facts.get("broken") or ""
        words = "" if broken else _WORDS[kind](facts)
    except (KeyError, TypeError) as error:  # a dataclass, but not the card of this kind
        broken = f"its card is not that of {kind}: {error} is missing"
    return row | ({"facts": f"BROKEN: {broken}", "broken": broken} if broken else {"facts": words})


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


def _encoder_words(facts: Mapping[str, Any]) -> str:
    rate = f" at {facts['sample_rate']} Hz" if facts["sample_rate"] else ""
    return f"{facts['kind']}{rate} to {facts['dimension']} numbers; {facts['summary']}"


def _protocol_row(protocol: ScoringProtocol, package: str) -> dict[str, str]:
    rate = f"{protocol.sample_rate} Hz {protocol.channels}"
    items = f"{protocol.expected_items or '?'} items"
    return {
        "name": protocol.name,
        "facts": f"{protocol.dataset}:{protocol.list_name}; {rate}; {items}; {protocol.summary}",
        "package": package,
    }


def _published_row(row: PublishedRow) -> dict[str, str]:
    where = "not comparable here"
    if row.comparable:
        group = f" of {row.group}" if row.group else ""
        where = f"{row.protocol}, {row.metric_id}{group} of {row.baseline} ± {row.tolerance:g}"
    mark = "; second hand" if row.second_hand else ""
    number = f"{row.metric} {row.value:g} {row.unit} on {row.dataset} ({row.split}; {row.query})"
    facts = f"{row.variant}: {number}; {where}{mark}; {row.source}"
    return {"name": row.system, "facts": facts, "package": BUILT_IN}


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "models": _model_words,
    "datasets": _dataset_words,
    "metrics": _metric_words,
    "encoders": _encoder_words,
    "postprocesses": lambda facts: str(facts.get("summary", "")),
    "reports": lambda facts: str(facts.get("summary", "")),
}
