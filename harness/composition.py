"""One configuration out of packaged defaults, a file and overrides: Hydra's compose API.

Values are data only: nothing is instantiated from a configuration, and unknown keys are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from sepbench.harness.errors import SettingError, UsageError, near_matches

OPEN_SECTIONS = ("models", "datasets")  # keyed by names that only registries know
MOST_VALUES, MOST_LEVELS = 10_000, 40  # of a settings file
MOST_CHARACTERS = 30_000  # of one setting; Hydra takes minutes over long ones
_CONFIGS = "sepbench.harness.configs"


def read_file(file: Path) -> dict[str, Any]:
    """The keys of a settings file.

    Raises:
        SettingError: it cannot be read, or holds no keys.
    """
    import yaml

    try:
        data = yaml.safe_load(file.read_text("utf-8")) or {}
    except RecursionError:
        raise SettingError(f"{file} is nested too deeply to be settings.") from None
    # ValueError: not UTF-8, a date that does not exist, a number of thousands of digits.
    except (yaml.YAMLError, ValueError) as error:
        raise SettingError(f"{file} is not valid YAML: {error}") from error
    except OSError as error:
        raise SettingError(f"{file} cannot be read: {error.strerror}.") from error
    if not isinstance(data, dict):
        raise SettingError(f"{file} must hold KEY: VALUE pairs at its top.")
    _refuse_monsters(data, file)
    return data


def _refuse_monsters(data: object, file: Path) -> None:
    """Refuse what a few lines of aliases blow up to, or make endless, before anything walks it."""
    values, left = [(data, 0)], MOST_VALUES
    while values:
        value, depth = values.pop()
        left -= 1
        if left < 0 or depth > MOST_LEVELS:
            raise SettingError(
                f"{file} holds more than {MOST_VALUES:,} values or {MOST_LEVELS} levels. Write "
                "the settings out, without aliases that repeat or hold themselves."
            )
        if isinstance(value, dict):
            values += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list | tuple | set):
            values += [(inner, depth + 1) for inner in value]


def compose(
    from_file: dict[str, Any],
    file: str,
    overrides: Sequence[str],
    *,
    config: str = "config",
    choices: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The whole configuration.

    Args:
        from_file: keys of a settings file, stronger than the packaged defaults.
        file: its name, for messages.
        overrides: `key=value` in Hydra's grammar, strongest.
        config: name of the packaged defaults.
        choices: `group=name`: packaged files that belong to the defaults.

    Raises:
        SettingError: an unknown key (near matches in the message), or what cannot be composed.
        UsageError: an override without a key.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    # Hydra has no layer between packaged defaults and the command line, so the file's keys go in
    # as the first, hence weakest, overrides.
    weakest = [f"{key}={_as_override(value)}" for key, value in _flatten(from_file)]
    prepared = [_open_sections(text) for text in [*weakest, *overrides]]
    for text in prepared:
        if len(text) > MOST_CHARACTERS:
            raise SettingError(
                f"{text[:60]}… is {len(text):,} characters long; at most {MOST_CHARACTERS:,}."
            )
    try:
        with _own_hydra():
            known = _defaults(config, choices)
            _refuse_unknown(from_file, known, file)
            for text in prepared:
                _refuse_unknown_override(text, known)
            composed = hydra.compose(config, overrides=[*choices, *prepared])
            return _plain(OmegaConf.to_container(composed, resolve=True))
    # The last three: brackets without end, names too long for a file, digits too many for a number.
    except (
        *(HydraException, OmegaConfBaseException),
        *(RecursionError, OSError, ValueError),
    ) as error:
        reason = next(iter(str(error.__cause__ or error).splitlines()), type(error).__name__)
        raise SettingError(
            f"The settings cannot be composed: {reason} (given: {' '.join(overrides) or file})"
        ) from error


@cache
def _defaults(config: str, choices: tuple[str, ...]) -> dict[str, Any]:
    """The packaged defaults, whose keys are all there are; to be called inside Hydra."""
    import hydra
    from omegaconf import OmegaConf

    composed = hydra.compose(config, overrides=list(choices))
    return _plain(OmegaConf.to_container(composed, resolve=True))


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Hydra on our configuration; a caller who is inside Hydra finds its own as it was."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.version import VersionBase

    state, version = GlobalHydra.instance(), VersionBase.instance()
    callers, base = state.hydra, version.version_base
    state.clear()
    try:
        with initialize_config_module(_CONFIGS, version_base="1.3"):
            yield
    finally:
        GlobalHydra.set_instance(state)
        state.hydra, version.version_base = callers, base


def _plain(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value)


def _open_sections(text: str) -> str:
    """`models.x.y=1` becomes `++models.x.y=1`: these sections take names of the registries.

    `engine=inline` is short for `engine.name=inline`; `device=cuda:0,1` is one name.
    """
    if text in ("engine=local", "engine=inline", "engine=ray"):
        return text.replace("=", ".name=", 1)
    if re.fullmatch(r"device=[\w:,]+,[\w:,]+", text):
        return f"device={quoted(text.partition('=')[2])}"  # to Hydra a bare comma is a sweep
    if text.startswith(tuple(f"{section}." for section in OPEN_SECTIONS)):
        # Dashes and dots in names: Hydra's keys take dashes; a dot always separates.
        return f"++{text}"
    return text


def _flatten(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat += _flatten(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def _as_override(value: object) -> str:
    """A YAML value in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(_as_override(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{_as_override(v)}" for k, v in value.items()) + "}"
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    """Text in Hydra's quotes: blanks, commas, brackets and quotes are then only text."""
    # Backslashes count for Hydra only where a quote follows, the closing one included.
    return "'" + re.sub(r"(\\*)('|\Z)", _escape_quote, text) + "'"


def literal(text: str) -> str:
    """As `quoted`, and `${…}` is text too."""
    return quoted(re.sub(r"(\\*)\$\{", r"\1\1\\${", text))


def _escape_quote(found: re.Match[str]) -> str:
    return found[1] * 2 + ("\\'" if found[2] else "")


def _refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key, _ in _flatten(given):
        _refuse_key(key, known, where)


def _refuse_unknown_override(text: str, known: Mapping[str, Any]) -> None:
    key, separator, _ = text.partition("=")
    if not separator and not text.startswith("~"):
        raise UsageError(
            f"'{text}' is not a setting. Settings are written KEY=VALUE, for example batch_size=4."
        )
    opened = key.startswith(tuple(f"++{section}." for section in OPEN_SECTIONS))
    if key.startswith(("+", "~")) and not opened:
        raise SettingError(f"'{text}': settings can be changed (KEY=VALUE), not added or removed.")
    _refuse_key(key.lstrip("+"), known, "on the command line or in the environment")
    if key == "query":
        kind = text.partition("=")[2].strip(" '\"")
        groups = [f.name[:-5] for f in files(f"{_CONFIGS}.query").iterdir() if ".yaml" in f.name]
        if kind not in groups:
            raise SettingError(f"query={kind}: no such choice.{near_matches(kind, groups)}")


def _refuse_key(key: str, known: Mapping[str, Any], where: str) -> None:
    if key.partition(".")[0] in OPEN_SECTIONS or key == "query":
        return
    names = {name for name, _ in _flatten(known)}
    if key not in names:
        raise SettingError(f"Unknown setting '{key}' ({where}).{near_matches(key, names)}")
