"""Facts of plugins: asked in a process of their own, remembered, and never in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sepbench.harness.registry import Entry
from sepbench.harness.run import probe
from sepbench.harness.run.probe import facts_of

CARD = "from sepbench.harness.api import BaselineCard\n"
NET = CARD + "class Net:\n    card = BaselineCard(name='net', summary='{0}')\n"
Plugin = Callable[..., Entry]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Writes a module `plug_NAME` that nothing has imported; gives its entry."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")

    def write(name: str, source: str, *, version: str = "1", **fields: str) -> Entry:
        path = tmp_path / "site" / f"plug_{name}.py"
        path.write_text(source)
        sys.path_importer_cache.clear()
        target = fields.pop("target", f"plug_{name}:Net")
        return Entry(name=name, target=target, package="acme", package_version=version, **fields)

    return write


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The targets of every question to a child process."""
    questions: list[list[str]] = []
    ask = probe._ask

    def count(targets: list[str]) -> Any:
        questions.append(targets)
        return ask(targets)

    monkeypatch.setattr(probe, "_ask", count)
    return questions


def cache_file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "sepbench" / "plugins.json"


def test_facts_are_the_fields_of_the_card(plugin: Plugin) -> None:
    entry = plugin("good", NET.format("halves"))

    facts = facts_of([entry])["good"]

    assert (facts["name"], facts["summary"], facts["sample_rate"]) == ("net", "halves", None)
    assert "plug_good" not in sys.modules


def test_a_card_that_depends_on_the_settings_is_that_of_the_defaults(plugin: Plugin) -> None:
    source = CARD + "class Net:\n    def __init__(self, *, rate=8000):\n"
    source += "        self.card = BaselineCard(name='net', sample_rate=rate)\n"

    assert facts_of([plugin("made", source)])["made"]["sample_rate"] == 8000


def test_protocols_of_a_dataset_come_with_its_facts(plugin: Plugin) -> None:
    source = NET.format("") + "    protocols = {'p': {'dataset': 'x'}}\n"

    assert facts_of([plugin("data", source)])["data"]["protocol_fields"] == {"p": {"dataset": "x"}}


def test_a_card_may_hold_what_json_cannot(plugin: Plugin) -> None:
    source = "from types import MappingProxyType\nfrom pathlib import Path\nfrom sepbench.harness"
    source += ".api import MetricCard\ndef Net(reference, estimate): ...\nNet.card = MetricCard("
    source += "metric_id='x', version=1, title='X', source=Path('p'), "
    source += "parameters=MappingProxyType({'taps': 512}))\n"

    facts = facts_of([plugin("odd", source)])["odd"]

    assert (facts["parameters"], facts["source"]) == ({"taps": 512}, "p")


def test_a_report_is_described_by_its_summary(plugin: Plugin) -> None:
    entry = plugin("report", "class Net:\n    summary = 'a page'\nNet = Net()\n")

    assert facts_of([entry])["report"] == {"summary": "a page"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import os; os._exit(0)", "importing it ends the process"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "importing it ends the pr"),
        ("class Net:\n    pass", "no card without an instance, and none: AttributeError"),
        ("class Net:\n    def __init__(self, x): pass", "TypeError"),
        ("Net = 5", "it has no card"),
        ("", "AttributeError"),
    ],
    ids=[
        *("missing dependency", "raises", "exits", "vanishes", "killed"),
        *("no card", "needs arguments", "a number", "no such attribute"),
    ],
)
def test_a_broken_plugin_is_said_and_harms_no_other(
    plugin: Plugin, source: str, words: str
) -> None:
    entries = [plugin("bad", source), plugin("good", NET.format("fine"))]

    facts = facts_of(entries)

    assert words in facts["bad"]["broken"]
    assert facts["good"]["summary"] == "fine"


def test_a_plugin_that_hangs_is_said(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 1)
    entry = plugin("slow", "import time\ntime.sleep(60)\n")

    assert "takes too long" in facts_of([entry])["slow"]["broken"]


@pytest.mark.parametrize(
    "noise",
    [
        "print('hello', end='')",
        "import sys\nsys.stdout.buffer.write(b'\\xff\\xfe')",
        "input_ = __import__('sys').stdin.read()",
        "import atexit\natexit.register(print, 'bye')",
        "print('sepbench-facts:{}')",
    ],
    ids=["prints", "bytes", "reads stdin", "prints at exit", "pretends"],
)
def test_a_noisy_plugin_is_understood(
    plugin: Plugin, capfd: pytest.CaptureFixture[str], noise: str
) -> None:
    entry = plugin("noisy", noise + "\n" + NET.format("heard"))

    assert facts_of([entry])["noisy"]["summary"] == "heard"
    assert capfd.readouterr().out == ""


def test_a_clash_is_said_without_importing_either(plugin: Plugin, asked: list[Any]) -> None:
    entry = plugin("twice", "raise RuntimeError", clash="both 'a' and 'b' bring it")

    assert facts_of([entry])["twice"] == {"broken": "both 'a' and 'b' bring it"}
    assert asked == []


def test_what_is_known_is_not_asked_again(plugin: Plugin, asked: list[Any]) -> None:
    entries = [plugin("good", NET.format("")), plugin("bad", "raise RuntimeError")]

    first = facts_of(entries)
    again = facts_of(entries)

    assert again["good"] == first["good"]
    assert again["bad"]["broken"] == first["bad"]["broken"]
    assert asked == [["plug_good:Net", "plug_bad:Net"]]


def test_a_new_version_is_asked_again(plugin: Plugin, asked: list[Any]) -> None:
    facts_of([plugin("good", NET.format("same"), version="1")])
    facts_of([plugin("good", NET.format("same"), version="2")])

    assert len(asked) == 2


def test_an_edited_file_is_asked_again(plugin: Plugin) -> None:
    facts_of([plugin("good", NET.format("old"))])

    edited = facts_of([plugin("good", NET.format("newer"))])

    assert edited["good"]["summary"] == "newer"


def test_a_touched_file_is_asked_again(plugin: Plugin, asked: list[Any], tmp_path: Path) -> None:
    entry = plugin("good", NET.format("same"))
    facts_of([entry])

    os.utime(tmp_path / "site" / "plug_good.py", ns=(1, 1))
    facts_of([entry])

    assert len(asked) == 2


def test_a_broken_plugin_is_asked_again_when_something_was_installed(
    plugin: Plugin, tmp_path: Path
) -> None:
    entry = plugin("bad", "import plug_dependency\n" + NET.format("whole"))
    assert "plug_dependency" in facts_of([entry])["bad"]["broken"]

    plugin("dependency", "")

    assert facts_of([entry])["bad"]["summary"] == "whole"


@pytest.mark.parametrize("contents", ["", "{", "[1]", '{"key": 5}', "null", "\x00"])
def test_a_spoilt_cache_is_ignored_and_written_again(
    plugin: Plugin, tmp_path: Path, contents: str
) -> None:
    entry = plugin("good", NET.format("fine"))
    cache_file(tmp_path).parent.mkdir(parents=True)
    cache_file(tmp_path).write_text(contents)

    assert facts_of([entry])["good"]["summary"] == "fine"
    assert len(json.loads(cache_file(tmp_path).read_text())) == 1


def test_a_cache_that_cannot_be_written_costs_only_time(plugin: Plugin, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")

    assert facts_of([plugin("good", NET.format("fine"))])["good"]["summary"] == "fine"


def test_the_working_folder_is_not_searched_for_modules(
    plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "json.py").write_text("raise RuntimeError('a file of the user')")
    monkeypatch.chdir(tmp_path / "here")

    assert facts_of([plugin("good", NET.format("fine"))])["good"]["summary"] == "fine"


def test_listing_a_plugin_that_imports_torch_does_not_import_it_here(
    plugin: Plugin, tmp_path: Path
) -> None:
    entry = plugin("heavy", "import torch\n" + NET.format("heavy"))
    code = f"""
import sys
from sepbench.harness.registry import Entry
from sepbench.harness.run.probe import facts_of
entry = Entry(name="heavy", target={entry.target!r}, package="acme", package_version="1")
print(facts_of([entry])["heavy"]["summary"], "torch" in sys.modules)
"""
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])

    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "heavy False\n"
