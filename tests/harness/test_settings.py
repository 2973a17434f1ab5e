from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepbench.harness.composition import literal
from sepbench.harness.errors import SettingError, UsageError
from sepbench.harness.settings import RunSettings, resolve

PUNCTUATION = "\\'\"${}a ,=[]():#é~"


def settings(
    *overrides: str,
    file: str = "",
    folder: Path = Path("absent"),
    environment: dict[str, str] | None = None,
    **names: list[str],
) -> RunSettings:
    if file:
        (folder / "settings.yaml").write_text(file)
    return resolve(workspace=folder, overrides=overrides, environment=environment or {}, **names)


# --- order ----------------------------------------------------------------------------------


def test_packaged_defaults_come_first() -> None:
    found = settings()

    assert found.models == ("nmf",)
    assert found.datasets == ("demo",)
    assert found.bounds == ("mixture", "oracle-irm")
    assert found.batch_size == 8
    assert (found.chunk_seconds, found.overlap_seconds) == (60.0, 2.0)
    assert found.metrics is None
    assert found.query_kinds == ()
    assert found.shots == ()


def test_the_workspace_file_beats_the_defaults(tmp_path: Path) -> None:
    found = settings(file="batch_size: 2\nengine:\n  name: inline\n", folder=tmp_path)

    assert (found.batch_size, found.engine.name) == (2, "inline")
    assert found.engine.loaders == 2


def test_the_environment_beats_the_workspace_file(tmp_path: Path) -> None:
    variables = {"SEPBENCH__BATCH_SIZE": "3", "SEPBENCH__ENGINE__NAME": "local", "OTHER": "x"}

    found = settings(
        file="batch_size: 2\nengine: {name: inline}\n", folder=tmp_path, environment=variables
    )

    assert (found.batch_size, found.engine.name) == (3, "local")


def test_the_command_line_beats_the_environment(tmp_path: Path) -> None:
    found = settings(
        "batch_size=4",
        file="batch_size: 2",
        folder=tmp_path,
        environment={"SEPBENCH__BATCH_SIZE": "3"},
    )

    assert found.batch_size == 4


def test_the_last_of_two_equal_settings_counts() -> None:
    assert settings("batch_size=4", "batch_size=5").batch_size == 5


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPBENCH__BATCH_SIZE", "6")

    assert resolve(workspace=Path("absent")).batch_size == 6


def test_names_given_apart_replace_those_of_every_layer(tmp_path: Path) -> None:
    found = settings(
        "model=[a]", file="dataset: [x, y]", folder=tmp_path, models=["b", "c"], datasets=["z:p"]
    )

    assert found.models == ("b", "c")
    assert found.datasets == ("z:p",)
    assert found.resolved["model"] == ["b", "c"]


def test_what_was_resolved_is_kept_with_every_key() -> None:
    resolved = settings("models.nmf.rank=24", "batch_size=4").resolved

    assert resolved["batch_size"] == 4
    assert resolved["models"] == {"nmf": {"rank": 24}}
    assert resolved["engine"]["item_timeout"] == 900
    assert resolved["chunk"] == {"seconds": 60.0, "overlap_seconds": 2.0}


# --- values ---------------------------------------------------------------------------------


def test_lists_follow_hydra() -> None:
    found = settings("query.shots=[1,3,3,5]", "metrics=[sdr,si_sdr]", "bounds=[]")

    assert found.shots == (1, 3, 5)
    assert found.metrics == ("sdr", "si_sdr")
    assert found.bounds == ()


def test_one_name_does_for_a_list() -> None:
    found = settings("metrics=sdr", "query.shots=2")

    assert (found.metrics, found.shots) == (("sdr",), (2,))


def test_a_query_kind_is_chosen_as_a_group_or_by_key() -> None:
    assert settings("query=audio").query_kinds == ("audio",)
    assert settings("query=audio", "query.kind=label").query_kinds == ("label",)
    assert settings("query=auto").query_kinds == ()
    assert settings("query=both").query_kinds == ("text+audio",)
    assert settings("query.kind=text+audio").query_kinds == ("text+audio",)
    assert settings("query=each").query_kinds == ("each",)
    assert settings("query.kind=[text,audio,text]").query_kinds == ("text", "audio")


def test_settings_of_models_and_datasets_are_grouped_by_name() -> None:
    found = settings(
        "models.mine.rank=24",
        "models.mine.deep={a:[1,2]}",
        "datasets.voicebank-demand.root='/a b'",
        "models.other.on=true",
    )

    assert found.model_settings == {
        "mine": {"rank": 24, "deep": {"a": [1, 2]}},
        "other": {"on": True},
    }
    assert found.dataset_settings == {"voicebank-demand": {"root": "/a b"}}


def test_the_workspace_file_may_hold_every_kind_of_value(tmp_path: Path) -> None:
    file = """
model: [nmf, "mine=nmf"]
limit: null
keep_audio: true
query: audio
chunk: {seconds: 1.5e+1, overlap_seconds: 0}
models:
  mine: {name: "it's, a \\\\ (test)", sizes: [1, 2], nested: {deep: false}, none: null}
"""

    found = settings(file=file, folder=tmp_path)

    assert found.models == ("nmf", "mine=nmf")
    assert found.limit is None
    assert found.keep_audio is True
    assert found.query_kinds == ("audio",)
    assert (found.chunk_seconds, found.overlap_seconds) == (15.0, 0.0)
    assert found.model_settings["mine"] == {
        "name": "it's, a \\ (test)",
        "sizes": [1, 2],
        "nested": {"deep": False},
        "none": None,
    }


def test_interpolation_of_other_settings_and_variables_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_FOLDER", "/data")

    found = settings("limit=${batch_size}", "datasets.kit.root='${oc.env:SOME_FOLDER}/x'")

    assert found.limit == 8
    assert found.dataset_settings["kit"]["root"] == "/data/x"


@pytest.mark.parametrize(
    "folder", ["/my data/ä, b", "it's", 'say "hi"', "a\\b\\", "${HOME}/x", "[1,2]", "{a:b}=c", "1"]
)
def test_any_folder_survives_the_root_option(folder: str) -> None:
    found = settings(f"datasets.kit.root={literal(folder)}")

    assert found.dataset_settings == {"kit": {"root": folder}}


@given(text=st.text(alphabet=PUNCTUATION, max_size=8))
def test_any_text_survives_quoting(text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    parsed = OverridesParser.create().parse_override(f"a={literal(text)}").value()

    assert OmegaConf.to_container(OmegaConf.create({"a": parsed}), resolve=True) == {"a": text}


def test_automatic_values_are_at_least_one() -> None:
    engine = settings().engine

    assert engine.workers >= 1
    assert engine.cores >= 1
    assert engine.threads is None
    assert 256 << 20 <= engine.memory_bytes <= 4096 << 20


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("batch=4", r"Unknown setting 'batch' .*Did you mean 'batch_size'"),
        ("engine.worker=4", r"Unknown setting 'engine.worker' .*'engine.workers'"),
        ("engine={name:inline}", r"Unknown setting 'engine'"),
        ("hydra.run.dir=x", r"Unknown setting 'hydra.run.dir'"),
        ("query@other=audio", r"Unknown setting 'query@other'"),
        ("=3", r"Unknown setting ''"),
        ("+extra=1", "can be changed .KEY=VALUE., not added or removed"),
        ("++batch_size=1", "not added or removed"),
        ("~batch_size", "not added or removed"),
        ("query=adio", r"query=adio: no such choice. Did you mean 'audio'"),
        ("query=null", "query=null: no such choice"),
        ("batch_size=[", r"cannot be composed: .* \(given: batch_size=\[\)"),
        ("batch_size=1,2", "Ambiguous value"),
        ("datasets.kit.root='${nothing}'", "Interpolation key 'nothing' not found"),
        ("batch_size=0", "batch_size=0: expected a whole number of at least 1"),
        ("batch_size=", "batch_size=: expected a whole number"),
        ("batch_size=1.5", "batch_size=1.5: expected a whole number"),
        ("batch_size=true", "batch_size=True: expected a whole number"),
        ("batch_size=many", "batch_size=many: expected a whole number"),
        ("limit=0", "limit=0: expected a whole number"),
        ("max_failures=-1", "max_failures=-1: expected a whole number"),
        ("query.shots=[1,0]", "query.shots=0: expected a whole number"),
        ("query.kind=smell", "query.kind=smell; one of text, label, audio"),
        ("query.kind=none", "query.kind=none; one of"),
        ("chunk.seconds=0", "chunk.seconds=0: expected a finite number above 0"),
        ("chunk.seconds=nan", "chunk.seconds=nan: expected a finite number"),
        ("chunk.seconds=long", "chunk.seconds=long: expected a finite number"),
        ("chunk.overlap_seconds=-1", "chunk.overlap_seconds=-1: expected .* at least 0"),
        ("chunk.overlap_seconds=31", "must lie between 0 and half of chunk.seconds=60"),
        ("engine.item_timeout=0", "engine.item_timeout=0: expected a finite number above 0"),
        ("engine.load_timeout=inf", "engine.load_timeout=inf: expected a finite number"),
        ("engine.name=cloud", "engine.name=cloud; one of local, inline, ray"),
        ("engine.order=random", "engine.order=random; list or shuffled"),
        ("engine.workers=none", "engine.workers=none: expected a whole number"),
        ("engine.memory_mb=-1", "engine.memory_mb=-1: expected a whole number"),
        ("engine.crash_limit=0", "engine.crash_limit=0: expected a whole number"),
        ("precision=float64", "precision=float64; one of float32, tf32, bf16, fp16"),
        ("keep_audio=no", "keep_audio=no: expected true or false"),
        ("device=null", "device=None: expected a name"),
        ("device=[cpu]", r"device=\['cpu'\]: expected a name"),
        ("model=null", "model=None: expected names"),
        ("model=[{a:1}]", "expected names"),
        ("dataset=['']", "dataset holds an empty name"),
        ("dataset=[]", "nothing to run"),
        ("metrics=[]", "metrics=.. names none"),
        ("models.nmf=3", "models takes settings by name, for example models.NAME.SETTING"),
        ("datasets=3", "datasets takes settings by name"),
    ],
)
def test_wrong_settings_are_refused_by_words(override: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        settings(override)


def test_a_grid_without_any_model_is_refused() -> None:
    with pytest.raises(SettingError, match="nothing to run: name a model"):
        settings("model=[]", "bounds=[]")


def test_a_word_that_is_no_setting_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'nmf' is not a setting. Settings are written KEY=VALUE"):
        settings("nmf")


def test_unknown_variables_are_refused_like_settings() -> None:
    with pytest.raises(SettingError, match=r"Unknown setting 'engine.worker' .*environment"):
        settings(environment={"SEPBENCH__ENGINE__WORKER": "2"})


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("batch: 2", r"Unknown setting 'batch' \(.*settings.yaml\).*'batch_size'"),
        ("engine: inline", "Unknown setting 'engine'"),
        ("batch_size: [", "settings.yaml is not valid YAML"),
        ("- batch_size", "must hold KEY: VALUE pairs at its top"),
        ("batch_size: many", "batch_size=many: expected a whole number"),
        ("x: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("query: adio", "query=adio: no such choice"),
        ("1: 2", "Unknown setting '1'"),
    ],
)
def test_a_wrong_workspace_file_is_refused(tmp_path: Path, file: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        settings(file=file, folder=tmp_path)


def test_a_workspace_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_bytes(b"\xff\xfe\x00batch")

    with pytest.raises(SettingError, match=r"settings.yaml is not valid YAML"):
        settings(folder=tmp_path)


# --- a caller inside Hydra ------------------------------------------------------------------


def test_a_caller_inside_hydra_finds_its_own_state_again() -> None:
    from hydra import compose, initialize_config_module, version
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_module("sepbench.harness.configs", version_base="1.2"):
        state, own, base = GlobalHydra.instance(), GlobalHydra.instance().hydra, version.getbase()

        inside = settings("batch_size=2").batch_size
        with pytest.raises(SettingError, match="cannot be composed"):
            settings("batch_size=[")

        after: Any = (GlobalHydra.instance(), GlobalHydra.instance().hydra, version.getbase())
        composed = compose("config").batch_size

    assert inside == 2
    assert after == (state, own, base)
    assert composed == 8


def test_a_caller_outside_hydra_stays_outside() -> None:
    from hydra.core.global_hydra import GlobalHydra

    settings("batch_size=2")

    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize("key", ["engine.workers", "engine.threads", "engine.loaders"])
def test_more_workers_than_any_machine_has_cores_are_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=rf"{key}=99999: at most 256"):
        resolve(workspace=tmp_path, overrides=[f"{key}=99999"], environment={})
