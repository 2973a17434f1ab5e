"""`bench status` and `bench profile` as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Bench = Callable[..., Any]
KIT = ("-d", "kit", "datasets.kit.scenes=2", "engine.name=inline", "bounds=[]", "metrics=[sdr]")


@pytest.fixture
def ran(bench: Bench) -> Bench:
    bench("run", "-m", "kit-half", *KIT, "-w", "work")
    return bench


def test_status_is_on_stdout_and_takes_the_folder_either_way(ran: Bench) -> None:
    by_name, by_option = ran("status", "work"), ran("status", "-w", "work")

    lines = by_name.out.splitlines()
    assert (by_name.code, by_name.err) == (0, "")
    assert by_option.out == by_name.out
    assert lines[0].startswith("work: finished, begun ")
    assert lines[1] == "  6 of 6 items done (100%)"
    assert lines[-1].split() == ["kit-half", "kit", "text", "done", "6", "0", "6", "–"]


def test_following_what_has_ended_says_so_once(ran: Bench) -> None:
    text, record = ran("status", "work", "--follow"), ran("status", "work", "--follow", "--json")

    assert text.out == "finished: 6 of 6 items done (100%)\n"
    assert [json.loads(line)["state"] for line in record.out.splitlines()] == ["finished"]


def test_profile_ends_with_the_sentence(ran: Bench) -> None:
    text, record = ran("profile", "work"), ran("profile", "-w", "work", "--json")

    assert text.code == 0
    assert "holds the grid back" in text.out.splitlines()[-1]
    assert json.loads(record.out)["items"] == 6


@pytest.mark.parametrize("command", ["status", "profile"])
def test_a_folder_without_results_is_named(bench: Bench, command: str) -> None:
    done = bench(command, "nowhere")

    assert done.code == 1
    assert done.err.startswith("Error: nowhere holds no results yet. Run `bench run` first")
    assert done.out == ""


def test_stopping_to_look_is_not_stopping_the_run(
    ran: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sepbench.harness.run.status.StatusReader.read", interrupted)

    done = ran("status", "work", "--follow")

    assert (done.code, done.out, done.err) == (130, "", "")
