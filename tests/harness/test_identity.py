from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sepbench_testkit.data import Kit

from sepbench.harness.api import BaselineCard, Example, Query, QueryRule, ScoringProtocol
from sepbench.harness.identity import (
    baseline_identity,
    canonical,
    digest,
    file_sha256,
    query_key,
    seed_of,
    source_digest,
    task_identity,
)
from sepbench.harness.plan import plan_cells
from sepbench.harness.protocols import parse_own
from sepbench.harness.run.models import ModelRequest, plan_model
from sepbench.harness.settings import resolve

CARD = BaselineCard(name="net", version="3", sample_rate=16000)
PROTOCOL = ScoringProtocol(name="p", dataset="d", list_name="l", sample_rate=8000, metrics=("sdr",))
Write = Callable[[dict[str, str]], str]


# --- text and digests -----------------------------------------------------------------------


def test_canonical_text_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": [1, "ä"], "a": None}) == '{"a":null,"b":[1,"ä"]}'
    assert canonical({"a": None, "b": [1, "ä"]}) == canonical({"b": [1, "ä"], "a": None})


def test_digest_is_the_same_today_as_when_workspaces_were_written() -> None:
    expected = "43258cff783fe7036d8a43033f830adfc60ec037382473548ac742b888292777"

    assert digest({"b": 2, "a": 1}) == expected


def test_file_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")

    assert file_sha256(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_seeds_depend_on_the_parts_alone() -> None:
    assert seed_of("demo", "scene", 3) == seed_of("demo", "scene", 3)
    assert seed_of("demo", "scene", 3) != seed_of("demo", "scene", 4)
    assert seed_of("ab", "c") != seed_of("a", "bc")
    assert 0 <= seed_of("x") < 2**63


def test_query_key_tells_questions_apart() -> None:
    def asked(path: str) -> Query:
        return Query(examples=(Example(clip_id="a", path=Path(path)),))

    keys = {
        query_key(query)
        for query in (Query(text="dog"), Query(label="dog"), asked("/1/a.wav"), asked("/2/a.wav"))
    }

    assert len(keys) == 4
    assert query_key(Query(text="dog")) == query_key(Query(text="dog"))


# --- source ---------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the files of a package `sourcepack` that is never imported; gives its digest."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(files: dict[str, str]) -> str:
        for name, text in files.items():
            path = tmp_path / "sourcepack" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        # Finders remember folders by their time, which is coarser than this test is fast.
        sys.path_importer_cache.clear()
        return source_digest("sourcepack.model")

    return put


BASE = {"__init__.py": "", "model.py": "from .net import gain\ndef f(x):\n    return x * gain\n"}


def test_comments_docstrings_and_formatting_do_not_count(write: Write) -> None:
    before = write({**BASE, "net.py": "gain = 2\n"})

    tidied = '"""Says more."""\n\nfrom .net import (\n    gain,  # why\n)\n'
    tidied += 'def f(x):\n    """Does."""\n    return (x\n        * gain)\n'
    after = write({"model.py": tidied})

    assert after == before


def test_a_body_of_a_docstring_alone_equals_pass(write: Write) -> None:
    before = write({"__init__.py": "", "model.py": "class A:\n    pass\n"})

    assert write({"model.py": 'class A:\n    """Doc."""\n'}) == before


def test_changed_code_counts(write: Write) -> None:
    before = write({**BASE, "net.py": "gain = 2\n"})

    assert write({"model.py": BASE["model.py"].replace("*", "+")}) != before


@pytest.mark.parametrize(
    "line",
    [
        "from .net import gain",
        "from . import net",
        "from sourcepack import net",
        "import sourcepack.net",
        "from sourcepack.net import gain",
        "def f():\n    from .net import gain",
    ],
)
def test_changed_code_of_an_imported_neighbour_counts(write: Write, line: str) -> None:
    before = write({"__init__.py": "", "model.py": line + "\n", "net.py": "gain = 2\n"})

    assert write({"net.py": "gain = 3\n"}) != before


def test_code_behind_two_imports_counts(write: Write) -> None:
    files = {"__init__.py": "", "model.py": "from .sub import a", "sub/__init__.py": ""}
    before = write({**files, "sub/a.py": "from ..deep import x", "deep.py": "x = 1"})

    assert write({"deep.py": "x = 2"}) != before


def test_a_neighbour_that_is_not_imported_does_not_count(write: Write) -> None:
    before = write({**BASE, "net.py": "gain = 2\n", "training.py": "lr = 1"})

    assert write({"training.py": "lr = 2"}) == before


def test_reading_the_source_imports_nothing(write: Write) -> None:
    write(
        {
            "__init__.py": "raise SystemExit('imported')",
            "model.py": "def f():\n    from .optional.gpu import kernel\n",
            "optional/__init__.py": "raise RuntimeError('imported')",
            "optional/gpu.py": "kernel = 1",
        }
    )

    assert not any(name.startswith("sourcepack") for name in sys.modules)


def test_a_neighbour_for_another_python_counts_as_it_stands(write: Write) -> None:
    files = {"__init__.py": "", "model.py": "from . import old\n"}
    before = write({**files, "old.py": "print 'python 2'\n"})

    assert write({"old.py": "print 'python two'\n"}) != before


def test_where_weights_come_from_is_not_the_models_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adapter.py").write_text("from sepbench.baselines.weights import find_weights\n")
    (tmp_path / "weights.py").write_text("")
    (tmp_path / "encoder.py").write_text("")
    places = {
        f"sepbench.baselines.{name}": tmp_path / f"{name}.py"
        for name in ("adapter", "weights", "encoder")
    }
    monkeypatch.setattr("sepbench.harness.identity.source_file", places.get)
    before = source_digest("sepbench.baselines.adapter")

    (tmp_path / "weights.py").write_text("table = 2")
    same = source_digest("sepbench.baselines.adapter")
    (tmp_path / "adapter.py").write_text("from sepbench.baselines import encoder, weights\n")

    assert same == before
    assert source_digest("sepbench.baselines.adapter") != before


def test_a_module_without_source_counts_by_its_name() -> None:
    assert source_digest("sys") == source_digest("sys")
    assert source_digest("sys") != source_digest("no_such_module_anywhere")


# --- the model's side -----------------------------------------------------------------------


def model_identity(**changes: Any) -> dict[str, Any]:
    card = dataclasses.replace(CARD, **changes.pop("card", {}))
    given: dict[str, Any] = {
        "source": "s",
        "settings": {"rank": 8},
        "precision": "float32",
        "chunk_seconds": 60.0,
        "overlap_seconds": 2.0,
    }
    return baseline_identity("net", card, **(given | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"card": {"version": "4"}},
        {"card": {"sample_rate": 32000}},
        {"card": {"chunking": "own"}},
        {"source": "t"},
        {"settings": {"rank": 9}},
        {"settings": {"rank": 8, "more": None}},
        {"precision": "bf16"},
        {"chunk_seconds": 30.0},
        {"overlap_seconds": 1.0},
    ],
    ids=str,
)
def test_what_can_change_an_estimate_changes_the_identity(changes: dict[str, Any]) -> None:
    assert digest(model_identity(**changes)) != digest(model_identity())


@pytest.mark.parametrize(
    "changes",
    [
        {"card": {"summary": "prose"}},
        {"card": {"licence": "MIT", "paper": "x", "training_data": ("y",)}},
        {"card": {"chunking": "harness"}, "settings": {"rank": 8}},
    ],
    ids=str,
)
def test_prose_stays_outside_the_identity(changes: dict[str, Any]) -> None:
    assert digest(model_identity(**changes)) == digest(model_identity())


def test_chunk_length_does_not_count_where_the_harness_does_not_cut() -> None:
    own = {"card": {"chunking": "own"}}

    assert model_identity(**own, chunk_seconds=5.0) == model_identity(**own)


@pytest.mark.parametrize("key", ["checkpoint", "sed_checkpoint"])
def test_a_checkpoint_counts_by_its_contents_not_by_its_path(tmp_path: Path, key: str) -> None:
    for name, contents in (("a", b"weights"), ("b", b"weights"), ("c", b"others")):
        (tmp_path / name).write_bytes(contents)

    a, b, c = (
        digest(model_identity(settings={key: str(tmp_path / name)})) for name in ("a", "b", "c")
    )

    assert a == b
    assert a != c


def test_a_checkpoint_that_is_no_file_counts_by_its_name() -> None:
    identity = model_identity(settings={"checkpoint": "hub:name"})

    assert identity["settings"] == {"checkpoint": "hub:name"}
    assert identity["checkpoints"] == {}


def tokenizer(folder: Path, **files: str) -> str:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return digest(model_identity(settings={"tokenizer": str(folder)}))


def test_a_tokenizer_folder_counts_by_the_contents_of_its_files(tmp_path: Path) -> None:
    first = tokenizer(tmp_path / "a", vocab_txt="dog", tokenizer_json="{}")

    assert tokenizer(tmp_path / "b", vocab_txt="dog", tokenizer_json="{}") == first
    assert tokenizer(tmp_path / "c", vocab_txt="cat", tokenizer_json="{}") != first
    assert tokenizer(tmp_path / "d", vocab_txt="dog", merges_txt="{}") != first


def test_what_lies_beside_a_tokenizer_does_not_count(tmp_path: Path) -> None:
    first = tokenizer(tmp_path / "a", vocab_txt="dog")

    beside = {"record_json": "{}", "README_md": "prose", "model_safetensors": "large"}

    assert tokenizer(tmp_path / "b", vocab_txt="dog", **beside) == first


@pytest.mark.parametrize("name", ["hub:name", "empty"])
def test_a_tokenizer_without_files_counts_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    value = name.replace("empty", str(tmp_path / "empty"))

    identity = model_identity(settings={"tokenizer": value})

    assert identity["settings"] == {"tokenizer": value}
    assert identity["checkpoints"] == {}


def test_sums_that_are_on_record_need_no_reading(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")

    identity = model_identity(
        settings={"checkpoint": str(tmp_path / "a")}, sha256=lambda _: "known"
    )

    assert identity["checkpoints"] == {"checkpoint": "known"}


def test_defaults_that_json_cannot_hold_count_by_their_kind() -> None:
    settings = {"folder": Path("a/b"), "sizes": (1, 2), "odd": object(), "map": {1: {2}}}

    identity = model_identity(settings=settings)

    assert identity["settings"] == {
        "folder": "a/b",
        "sizes": [1, 2],
        "odd": "builtins.object",
        "map": {"1": "builtins.set"},
    }
    assert digest(identity) == digest(model_identity(settings=settings))


# --- the task's side ------------------------------------------------------------------------


def task(protocol: ScoringProtocol = PROTOCOL, **changes: Any) -> str:
    given = {"revision": "1", "mixing": "sum", "kind": "text", "shots": None} | changes
    return digest(task_identity(protocol, **given))


@pytest.mark.parametrize(
    "changes",
    [
        {"revision": "2"},
        {"mixing": "0 dB"},
        {"kind": "label"},
        {"protocol": dataclasses.replace(PROTOCOL, sample_rate=16000)},
        {"protocol": dataclasses.replace(PROTOCOL, channels="native")},
        {"protocol": dataclasses.replace(PROTOCOL, model_channels="downmix")},
        {"protocol": dataclasses.replace(PROTOCOL, query=QueryRule(template="sound of {label}"))},
    ],
    ids=["revision", "mixing", "kind", "rate", "channels", "model channels", "template"],
)
def test_what_can_change_a_reference_or_a_query_changes_the_task(changes: dict[str, Any]) -> None:
    assert task(**changes) != task()


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": ("si_sdr", "bss_sdr")},
        {"aggregate": "median"},
        {"expected_items": 5},
        {"summary": "prose", "published": ("x",), "choices": ("y",)},
        {"query": QueryRule(shots=5, pool="other")},
    ],
    ids=["metrics", "aggregate", "expected", "prose", "shots of a text query"],
)
def test_scoring_and_prose_stay_outside_the_task(changes: dict[str, Any]) -> None:
    assert task(dataclasses.replace(PROTOCOL, **changes)) == task()


def test_shots_and_pool_count_for_audio_queries() -> None:
    other_pool = dataclasses.replace(PROTOCOL, query=QueryRule(pool="other"))
    keys = {
        task(kind="audio", shots=1),
        task(kind="audio", shots=3),
        task(other_pool, kind="audio", shots=1),
    }

    assert len(keys) == 3


# --- the cell -------------------------------------------------------------------------------


def cell_key(*overrides: str) -> str:
    settings = resolve(workspace=Path("absent"), overrides=overrides, environment={})
    name = "sepbench_testkit.models:Half"
    model = plan_model(ModelRequest(label="half", name=name), settings)
    grid = [(parse_own("kit", Kit.protocols["kit"]), Kit())]
    (cell,) = plan_cells([model], grid, kinds=settings.query_kinds, shots=settings.shots)
    return cell.key


@pytest.mark.parametrize(
    "override",
    [
        "batch_size=1",
        "limit=2",
        "metrics=[sdr]",
        "engine.workers=1",
        "engine.name=inline",
        "engine.order=shuffled",
        "keep_audio=true",
        "max_failures=3",
        "device=cpu",
        "bounds=[]",
        "models.half.gain=0.5",  # the default, said aloud
        "query.shots=[2]",  # of a text query
    ],
)
def test_what_cannot_change_a_number_stays_outside_the_cell(override: str) -> None:
    assert cell_key(override) == cell_key()


@pytest.mark.parametrize(
    "override",
    ["precision=bf16", "chunk.seconds=5", "models.half.gain=0.25", "query.kind=label"],
)
def test_what_can_change_a_number_makes_another_cell(override: str) -> None:
    assert cell_key(override) != cell_key()
