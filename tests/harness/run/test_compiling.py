from __future__ import annotations

from pathlib import Path

import pytest
from sepbench_testkit.machine import rows, run

from sepbench.harness.errors import SettingError
from sepbench.harness.run import compiling
from sepbench.harness.run.compiling import ITEMS_THAT_PAY, should_compile


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)


@pytest.fixture
def a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda name: f"/usr/bin/{name}")


def test_auto_compiles_on_a_gpu_where_enough_is_left_to_do(a_compiler: None) -> None:
    assert not should_compile("auto", ITEMS_THAT_PAY - 1, "cuda")
    assert should_compile("auto", ITEMS_THAT_PAY, "cuda:1")
    assert should_compile("auto", ITEMS_THAT_PAY, "auto")  # nvidia-smi is "there"
    assert not should_compile("auto", 10**6, "cpu")


def test_on_and_off_are_obeyed(a_compiler: None) -> None:
    assert should_compile("on", 1, "cpu")
    assert not should_compile("off", 10**6, "cuda")


def test_without_a_compiler_auto_stays_off_and_on_is_refused(no_compiler: None) -> None:
    assert not should_compile("auto", 10**6, "cuda")
    with pytest.raises(SettingError, match=r"needs a C\+\+ compiler"):
        should_compile("on", 1, "cpu")


@pytest.mark.parametrize("engine", ["inline", "local"])
@pytest.mark.parametrize(("choice", "times"), [("on", 1), ("off", 0), ("auto", 0)])
def test_a_network_is_compiled_once_after_its_first_batch(
    tmp_path: Path, a_compiler: None, engine: str, choice: str, times: int
) -> None:
    log = tmp_path / "calls"

    summary = run(
        tmp_path / "ws",
        models=["kit-network"],
        engine=engine,
        settings=[f"compile={choice}", "batch_size=1", f"models.kit-network.log={log}"],
    )

    calls = log.read_text().split()
    assert summary.ok
    assert calls.count("compile") == times
    if times:
        assert calls.index("compile") > calls.index("separate")


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_the_cost_of_a_network_is_counted(tmp_path: Path, engine: str) -> None:
    run(tmp_path, models=["kit-network", "kit-half"], engine=engine)

    found = rows(
        tmp_path,
        "SELECT label, json_extract(facts, '$.flops_per_second') flops,"
        " json_extract(facts, '$.parameters') parameters FROM cells ORDER BY label",
    )

    assert found == [
        {"label": "kit-half", "flops": None, "parameters": None},
        {"label": "kit-network", "flops": 6 * 8000, "parameters": 3},
    ]
