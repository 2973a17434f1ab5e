"""Settings of one training, resolved by Hydra from `configs/train.yaml` and a recipe.

The dataclasses own the meaning of each key, the YAML files its default.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from sepbench.harness.composition import compose, read_file
from sepbench.harness.errors import SettingError, UnknownNameError
from sepbench.harness.identity import file_sha256
from sepbench.harness.training.refusals import refuse_senseless

Order = Literal["shuffled", "balanced"]
Rule = Literal["energy", "peak", "match", "none"]
_RECIPES = "sepbench.harness.configs.recipe"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSettings:
    """Which clips are trained on, and how an example is cut.

    Attributes:
        pool: of the datasets; "" for the first one of each.
        labels: only clips with one of these; empty for all.
        without: ids of clips that are left out, for their licence or their contents.
        train_folds: names of folds, or of splits; empty for all that are not held out.
        validation_folds: held out; empty draws `validation_share` of the recordings.
        validation_share: of the original recordings, where no folds are named.
        captions: CSV with label,caption; or the name of a table that ships ("esc10").
        own_captions: use the clips' own captions where they have some.
        label_text: the label's words are one of the texts.
        vectors: safetensors file, clip id -> (D,): an embedding of each clip, such as that of a
            frame of its video.
        sample_rate: Hz.
        seconds: of an example.
        short: what becomes of a shorter clip.
        min_seconds: a shorter clip is passed over.
        speed: a cut of training sounds up to so many times faster or slower; 1 for never.
        audible_db: power below which a cut is drawn anew, in dB of full scale.
        sound: what an audio query hears: "own", the target before any gain, or "class", another
            recording of its class.
        order: clips in a shuffled order, or classes in a shuffled order and a clip of each.
        cache_mb: decoded audio that each process keeps.
    """

    pool: str
    labels: tuple[str, ...]
    without: tuple[str, ...]
    train_folds: tuple[str, ...]
    validation_folds: tuple[str, ...]
    validation_share: float
    captions: str | None
    own_captions: bool
    label_text: bool
    vectors: str | None
    sample_rate: int
    seconds: float
    short: Literal["pad", "loop"]
    min_seconds: float
    speed: float
    audible_db: float
    sound: Literal["own", "class"]
    order: Order
    cache_mb: int

    @property
    def segment(self) -> int:
        """N."""
        return round(self.seconds * self.sample_rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class MixingSettings:
    """How a mixture comes about.

    Attributes:
        rule: "energy" scales the others to the target's energy and by a ratio in whole dB
            (AudioSep); "peak" scales both to a peak of 1 (LASS-Net); "match" scales the other to
            the target's energy (ST-SED); "none" mixes nothing.
        sources: most sounds in a mixture; 2 or more are drawn.
        low_db: smallest level of the others against the target.
        high_db: largest.
        level_db: the whole mixture is moved by up to so many dB.
        disjoint: the others share no class with the target.
        both: each mixture is shown twice, asked for its first and for its second sound.
    """

    rule: Rule
    sources: int
    low_db: int
    high_db: int
    level_db: float
    disjoint: bool
    both: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimiserSettings:
    """Steps down the slope.

    Attributes:
        name: adam or adamw.
        rate: learning rate.
        steps: [first step, factor] pairs: the rate's factor from that step on.
        decay: "cosine" lets the factor fall to 0 at the last step, from the last of `steps` on.
        clip_norm: longest gradient; 0 for any.
    """

    name: Literal["adam", "adamw"]
    rate: float
    betas: tuple[float, float]
    weight_decay: float
    amsgrad: bool
    steps: tuple[tuple[int, float], ...]
    decay: Literal["none", "cosine"]
    clip_norm: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Smoke:
    """How a recipe is tried out in seconds.

    Attributes:
        first: recipe that has to run before; "" for none.
        gives: key of this recipe that takes the file of the one before.
        changes: keys that differ.
    """

    first: str
    gives: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """One training, complete.

    Attributes:
        recipe: its name.
        summary: in one line.
        trainee: what is trained, in the table of recipes.
        datasets: names.
        max_steps: of the optimiser.
        batch_size: examples of a step on one device.
        accumulate: batches of a step.
        validate_every: steps.
        validation_items: held-out examples.
        checkpoint_every: steps between those that a training can go on from.
        average: share of the old weights in a running mean of them, which is then what is
            validated and written; 0 for none.
        workers: processes that read and mix; results do not depend on it.
        smoke: what a smoke run changes.
        resolved: the whole configuration as plain data, without that.
    """

    recipe: str
    summary: str
    trainee: str
    datasets: tuple[str, ...]
    dataset_settings: Mapping[str, Mapping[str, Any]]
    data: DataSettings
    mixing: MixingSettings
    network: Mapping[str, Any]
    optimiser: OptimiserSettings
    seed: int
    max_steps: int
    batch_size: int
    accumulate: int
    validate_every: int
    validation_items: int
    checkpoint_every: int
    average: float
    device: str
    devices: int | None
    precision: str
    workers: int
    log_every: int
    smoke: Smoke
    resolved: Mapping[str, Any]

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a training that goes on must have in common with what is there already.

        Not where it runs and where the data lie. How long it is counts where the rate falls to
        its end.
        """
        free = {"device", "devices", "workers", "log_every", "checkpoint_every", "summary"}
        if self.optimiser.decay == "none":
            free.add("max_steps")
        kept = {key: value for key, value in self.resolved.items() if key not in free}
        kept["data"] = {k: v for k, v in kept["data"].items() if k != "cache_mb"}
        kept["datasets"] = {
            name: {key: value for key, value in given.items() if key != "root"}
            for name, given in kept["datasets"].items()
        }
        return kept

    @property
    def file_digests(self) -> Mapping[str, str]:
        """SHA-256 of each file that the settings name, such as a frozen encoder's, by setting."""
        named = {f"network.{key}": value for key, value in self.network.items()}
        named |= {"data.vectors": self.data.vectors, "data.captions": self.data.captions}
        return {
            key: file_sha256(Path(value))
            for key, value in named.items()
            if isinstance(value, str) and Path(value).is_file()
        }


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that ship; what several of them share begins with a dash below."""
    found = (entry.name for entry in files(_RECIPES).iterdir())
    names = (name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def resolve_training(
    recipe: str,
    *,
    datasets: Sequence[str] = (),
    file: Path | None = None,
    overrides: Sequence[str] = (),
) -> TrainSettings:
    """Compose the settings of one training: defaults < recipe < file < overrides.

    Args:
        recipe: name of a file in `configs/recipe`.
        datasets: replaces the recipe's where not empty.
        file: YAML with keys of the configuration.
        overrides: `key=value` in Hydra's grammar.

    Raises:
        UnknownNameError: no such recipe.
        SettingError: an unknown key, or a value that cannot be.
    """
    known = recipe_names()
    if recipe not in known:
        raise UnknownNameError("recipe", recipe, known)
    from_file = read_file(file) if file is not None else {}
    config = compose(
        from_file, str(file or ""), overrides, config="train", choices=(f"recipe={recipe}",)
    )
    if datasets:
        config["dataset"] = list(datasets)
    return _typed(recipe, config)


def with_changes(settings: TrainSettings, changes: Mapping[str, Any]) -> TrainSettings:
    """The same training with some keys set: top-level ones, or `section.key`."""
    config = {key: _copied(value) for key, value in settings.resolved.items()}
    config["smoke"] = {"first": settings.smoke.first, "gives": settings.smoke.gives, "set": {}}
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        (config[section] if section else config)[name] = value
    return _typed(settings.recipe, config)


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _typed(recipe: str, config: dict[str, Any]) -> TrainSettings:
    smoke = config["smoke"]
    config = {key: value for key, value in config.items() if key not in ("recipe", "smoke")}
    settings = TrainSettings(
        recipe=recipe,
        summary=str(config["summary"]),
        trainee=_text(config["trainee"], "trainee"),
        datasets=_as_kind(config["dataset"], "tuple[str, ...]", "dataset"),
        dataset_settings=_by_name(config["datasets"]),
        data=_section(DataSettings, config["data"], "data"),
        mixing=_section(MixingSettings, config["mixing"], "mixing"),
        network=dict(config["network"]),
        optimiser=_section(OptimiserSettings, config["optimiser"], "optimiser"),
        seed=_whole(config, "seed", low=0),
        max_steps=_whole(config, "max_steps"),
        batch_size=_whole(config, "batch_size"),
        accumulate=_whole(config, "accumulate"),
        validate_every=_whole(config, "validate_every"),
        validation_items=_whole(config, "validation_items"),
        checkpoint_every=_whole(config, "checkpoint_every"),
        average=float(_kept(config["average"], int | float, "average", "a number")),
        device=_text(config["device"], "device"),
        devices=None if config["devices"] is None else _whole(config, "devices"),
        precision=_text(config["precision"], "precision"),
        workers=_whole(config, "workers", low=0),
        log_every=_whole(config, "log_every"),
        smoke=Smoke(first=smoke["first"], gives=smoke["gives"], changes=dict(smoke["set"])),
        resolved=config,
    )
    refuse_senseless(settings)
    return settings


def _by_name(given: Any) -> dict[str, dict[str, Any]]:
    """The settings of each dataset."""
    if not isinstance(given, Mapping):
        raise SettingError(f"datasets={given}: give datasets.NAME.root=FOLDER.")
    for name, settings in given.items():
        if not isinstance(settings, Mapping):
            raise SettingError(
                f"datasets.{name}={settings}: a dataset has several settings. Give "
                f"datasets.{name}.root=FOLDER, or --root {name}=FOLDER."
            )
    return {str(name): dict(settings) for name, settings in given.items()}


Section = TypeVar("Section")


def _section(made: type[Section], given: Mapping[str, Any], name: str) -> Section:
    """A section as its dataclass, each value of the kind that its field has."""
    values: dict[str, Any] = {}
    for field in fields(made):  # type: ignore[arg-type]  # a dataclass, by its callers
        values[field.name] = _as_kind(given[field.name], str(field.type), f"{name}.{field.name}")
    return made(**values)


def _as_kind(value: Any, kind: str, key: str) -> Any:
    """A value of the YAML as a field of that annotation has it."""
    choices = {"Order": get_args(Order), "Rule": get_args(Rule)}.get(kind, ())
    if kind.startswith("Literal["):
        choices = tuple(word.strip(" \"'") for word in kind[8:-1].split(","))
    if choices:
        if value not in choices:
            raise SettingError(f"{key}={value}; one of {', '.join(choices)}.")
        return value
    if kind == "bool":
        return _kept(value, bool, key, "true or false")
    if kind == "int":
        return _kept(value, int, key, "a whole number")
    if kind == "float":
        return float(_kept(value, int | float, key, "a number"))
    if kind.startswith("tuple["):
        pairs, numbers = "tuple[int" in kind, "float" in kind
        try:
            entries: list[Any] = [value] if isinstance(value, str | int) else list(value or ())
            if pairs:
                return tuple((operator.index(step), float(factor)) for step, factor in entries)
            return tuple(float(entry) if numbers else str(entry) for entry in entries)
        except (TypeError, ValueError) as error:
            others = "numbers" if numbers else "names"
            expected = "pairs of a whole step and a factor" if pairs else others
            raise SettingError(f"{key}={value}: expected a list of {expected}.") from error
    if value is None and kind.endswith("| None"):
        return None
    return str(value)


def _kept(value: Any, kind: Any, key: str, expected: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise SettingError(f"{key}={value}: expected {expected}.")
    return value


def _whole(config: Mapping[str, Any], key: str, low: int = 1) -> int:
    value = _kept(config[key], int, key, f"a whole number of at least {low}")
    if value < low:
        raise SettingError(f"{key}={value}: expected a whole number of at least {low}.")
    return int(value)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise SettingError(f"{key}={value}: expected a name.")
    return value
