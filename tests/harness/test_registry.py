from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sepbench.harness.errors import DuplicateNameError, PluginError, UnknownNameError
from sepbench.harness.registry import BUILT_IN, Registry, import_target

GROUP = "sepbench.tests_only"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package that brings entry points beside the installed ones."""

    def add(package: str, points: dict[str, str], *, modules: dict[str, str] | None = None) -> None:
        site = tmp_path / package
        info = site / f"{package}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = [f"{name} = {target}" for name, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
        for module, source in (modules or {}).items():
            (site / f"{module}.py").write_text(source)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(site)

    return add


def registry(**catalog: str) -> Registry:
    return Registry("model", catalog, GROUP)


def test_listing_imports_nothing() -> None:
    entries = registry(nmf="no.such.module:Nmf").entries

    assert entries["nmf"].target == "no.such.module:Nmf"
    assert entries["nmf"].module == "no.such.module"
    assert entries["nmf"].package == BUILT_IN


def test_loading_gives_the_attribute() -> None:
    assert registry(path="pathlib:Path").load("path") is Path


def test_dotted_attribute_is_followed() -> None:
    assert import_target("pathlib:Path.home", "x") == Path.home


@pytest.mark.parametrize("name", ["nfm", "NMF"])
def test_typo_gets_near_matches(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"Unknown model '{name}'.*Known: mixture, nmf"):
        registry(nmf="a:B", mixture="a:C").load(name)


def test_near_match_is_offered() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mixture'"):
        registry(nmf="a:B", mixture="a:C").entry("mixtrue")


def test_unknown_name_in_an_empty_table_says_that_there_is_none() -> None:
    with pytest.raises(UnknownNameError, match="Known: none"):
        registry().entry("nmf")


def test_plugin_is_listed_after_built_ins_with_its_package(install: Install) -> None:
    install("acme", {"acme-net": "acme_net:Net"}, modules={"acme_net": "class Net: pass"})
    table = registry(nmf="a:B")

    entry = table.entries["acme-net"]

    assert list(table.entries) == ["nmf", "acme-net"]
    assert (entry.package, entry.package_version) == ("acme", "1.2")
    assert table.load("acme-net").__name__ == "Net"


def test_built_in_wins_over_a_plugin_of_its_name_which_is_reported(install: Install) -> None:
    install("acme", {"nmf": "acme_nmf:Nmf"})
    table = registry(nmf="a:B")

    assert table.entry("nmf").target == "a:B"
    assert [(entry.name, entry.package) for entry in table.shadowed] == [("nmf", "acme")]


def test_name_of_two_packages_raises_only_when_it_is_used(install: Install) -> None:
    install("acme", {"net": "acme_net:Net", "other": "pathlib:Path"})
    install("bolt", {"net": "bolt_net:Net"})
    table = registry()

    assert set(table.entries) == {"net", "other"}
    assert table.load("other") is Path
    with pytest.raises(DuplicateNameError, match="taken twice: both 'acme' and 'bolt' bring it"):
        table.load("net")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_package_at_all", "ModuleNotFoundError"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("def f(:", "SyntaxError"),
        ("", "AttributeError"),
    ],
    ids=["missing dependency", "raises", "syntax", "no such attribute"],
)
def test_broken_plugin_is_named_and_harms_nothing_else(
    install: Install, source: str, words: str
) -> None:
    install("acme", {"broken": "acme_broken:Net"}, modules={"acme_broken": source})
    table = registry(path="pathlib:Path")

    with pytest.raises(PluginError, match=rf"model 'broken' of package 'acme'.*{words}"):
        table.load("broken")
    assert table.load("path") is Path


@pytest.mark.parametrize("target", ["", "module", "module:", ":attribute"])
def test_target_of_another_form_is_refused(target: str) -> None:
    with pytest.raises(PluginError, match="expected 'module:attribute'"):
        import_target(target, "model 'x'")
