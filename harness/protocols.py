"""Protocols as data: `configs/protocol/*.yaml`, or a `protocols` table on a plugin dataset."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from sepbench.harness.api import AVERAGES, Aggregation, QueryRule, ScoringProtocol
from sepbench.harness.errors import SettingError, UnknownNameError, near_matches

# One paper's rules over several corpora: a name for all of them -> the protocol of each corpus.
FAMILIES: Mapping[str, Mapping[str, str]] = {
    "audiosep-32k": {
        "audiocaps": "audiocaps-audiosep",
        "audioset": "audioset-audiosep",
        "clotho": "clotho-audiosep",
        "esc50": "esc50-premixed",
        "music": "music-audiosep",
        "vggsound": "vggsound-audiosep",
    },
}
_FIELDS = {
    "name": str,
    "dataset": str,
    "list": str,
    "sample_rate": int,
    "channels": str,
    "model_channels": str,
    "query": Mapping,
    "metrics": list,
    "aggregate": (str, Mapping),
    "expected_items": int,
    "summary": str,
    "published": list,
    "choices": list,
}
_QUERY_FIELDS = {
    "kinds": list,
    "shots": int,
    "pool": str,
    "draw": str,
    "template": str,
    "prompts": Mapping,
}
_DRAWS = ("seeded", "first", "own")
_CHOICES = {
    "channels": ("mono", "native"),
    "model_channels": ("per-channel", "downmix"),
}
_AGGREGATE_FIELDS = {"frames": str, "items": str, "within": str, "groups": str}
KINDS = ("text", "label", "audio")
_OPTIONAL = ("expected_items", "query")
_WORDS = {
    str: "text",
    int: "a whole number",
    list: "a list",
    Mapping: "a mapping",
    (str, Mapping): "mean, median or a mapping",
}


def protocol_names() -> tuple[str, ...]:
    """Names of the protocols that ship with the package."""
    folder = files("sepbench.harness.configs.protocol")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml")))


def family_member(family: str, dataset: str) -> str:
    """The protocol of a dataset in a family.

    Raises:
        SettingError: the family has no rules for that dataset.
    """
    members = FAMILIES[family]
    if dataset not in members:
        raise SettingError(
            f"{family} has no rules for the dataset '{dataset}'; it has them for "
            f"{', '.join(members)}."
        )
    return members[dataset]


def load_protocol(
    name: str, extra: Mapping[str, Mapping[str, Any]] | None = None
) -> ScoringProtocol:
    """One protocol by name.

    Args:
        name: of a packaged protocol or of one in `extra`.
        extra: a dataset plugin's own protocols, name -> the fields of the YAML form.

    Raises:
        UnknownNameError: no such protocol.
        SettingError: unknown or ill-typed fields.
    """
    own = dict(extra or {})
    if name in own:
        return parse_own(name, own[name])
    names = protocol_names()
    if name not in names:
        raise UnknownNameError("protocol", name, [*names, *own])
    import yaml

    text = files("sepbench.harness.configs.protocol").joinpath(f"{name}.yaml").read_text("utf-8")
    return parse_protocol({"name": name, **yaml.safe_load(text)}, f"protocol/{name}.yaml")


def parse_own(name: str, fields: object) -> ScoringProtocol:
    """A protocol that a plugin dataset brings; raises as `parse_protocol`."""
    where = f"protocol '{name}'"
    if not isinstance(fields, Mapping):
        raise SettingError(f"{where} is {fields!r}; expected its fields by name.")
    return parse_protocol({"name": name, **fields}, where)


def parse_protocol(fields: Mapping[str, Any], where: str) -> ScoringProtocol:
    """Check the fields of a protocol and make the dataclass.

    Raises:
        SettingError: names the field, what it holds and what is expected.
    """
    _check_fields(fields, _FIELDS, where)
    for key, choices in _CHOICES.items():
        if key in fields and fields[key] not in choices:
            raise SettingError(f"{where}: '{key}' is {fields[key]!r}; one of {', '.join(choices)}.")
    for key in ("dataset", "list", "sample_rate", "metrics"):
        if not fields.get(key):
            raise SettingError(f"{where}: the field '{key}' is missing or empty.")
    query = dict(fields.get("query") or {})
    _check_fields(query, _QUERY_FIELDS, f"{where}, query")
    kinds = tuple(query.get("kinds", KINDS))
    if not kinds:
        raise SettingError(f"{where}: no query kind; one or more of {', '.join(KINDS)}.")
    for kind in kinds:
        if kind not in KINDS:
            raise SettingError(f"{where}: query kind {kind!r}; one of {', '.join(KINDS)}.")
    if query.get("template") and "{label}" not in query["template"]:
        raise SettingError(f"{where}: the query template has no {{label}} in it.")
    if query.get("draw", "seeded") not in _DRAWS:
        raise SettingError(f"{where}: query draw {query['draw']!r}; one of {', '.join(_DRAWS)}.")
    for label, text in (query.get("prompts") or {}).items():
        if not (isinstance(label, str) and isinstance(text, str) and text):
            raise SettingError(f"{where}: query prompt {label!r}: {text!r}; expected label: text.")
    rest = {k: v for k, v in fields.items() if k not in ("list", "query")}
    if "aggregate" in rest:
        rest["aggregate"] = parse_aggregation(rest["aggregate"], where)
    for key in ("metrics", "published", "choices"):
        if key in rest:
            rest[key] = tuple(rest[key])
    return ScoringProtocol(
        list_name=fields["list"], query=QueryRule(**{**query, "kinds": kinds}), **rest
    )


def parse_aggregation(given: str | Mapping[str, Any], where: str) -> Aggregation:
    """From `mean`, `median`, or the steps by name.

    Raises:
        SettingError: an unknown step or average.
    """
    steps = {"items": given} if isinstance(given, str) else dict(given)
    named = "aggregate" if isinstance(given, str) else "aggregate, {key}"
    if not isinstance(given, str):
        steps = {key: value for key, value in steps.items() if value is not None}
        _check_fields(steps, _AGGREGATE_FIELDS, f"{where}, aggregate")
    for key, value in steps.items():
        if key != "within" and value not in AVERAGES:
            raise SettingError(
                f"{where}: '{named.format(key=key)}' is {value!r}; one of {', '.join(AVERAGES)}."
            )
    if "groups" in steps and not steps.get("within"):
        raise SettingError(
            f"{where}: 'aggregate, groups' without 'within': say what makes a group, for example "
            "within: label."
        )
    return Aggregation(**steps)


def _check_fields(fields: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key, value in fields.items():
        if key not in known:
            raise SettingError(f"{where}: unknown field '{key}'.{near_matches(str(key), known)}")
        if value is None and key in _OPTIONAL:
            continue
        kind = known[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise SettingError(f"{where}: '{key}' is {value!r}; expected {_WORDS[kind]}.")
        if kind is int and value < 1:
            raise SettingError(f"{where}: '{key}' is {value}; expected at least 1.")
        if kind is list and not all(isinstance(entry, str) for entry in value):
            raise SettingError(f"{where}: '{key}' is {value!r}; expected a list of names.")
