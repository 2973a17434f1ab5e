"""The command line as a user meets it: what is printed where, and what it leaves with."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import sepbench.harness as sb
from sepbench.harness.errors import WorkspaceError

Bench = Callable[..., Any]
INLINE = "engine.name=inline"
KIT = ("-d", "kit", "datasets.kit.scenes=2", INLINE)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "cache" not in path.relative_to(folder).parts
    }


# --- run ------------------------------------------------------------------------------------


def test_stdout_of_a_run_is_the_leaderboard_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    done = bench("run", "-m", "kit-half", *KIT, "-w", "work")

    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0] == "kit · kit (mean over items, dB)"
    assert [line.split()[0] for line in lines[3:]] == ["mixture", "kit-half", "oracle-irm"]
    assert done.err.splitlines() == [
        "14 items done. Written: work/reports/leaderboard.md, work/reports/leaderboard.csv"
    ]
    assert (tmp_path / "work" / "reports" / "leaderboard.md").is_file()


def test_the_same_command_again_does_nothing_and_prints_the_same(bench: Bench) -> None:
    first = bench("run", "-m", "kit-half", *KIT)

    again = bench("run", "-m", "kit-half", *KIT)

    assert again.out == first.out
    assert again.err.startswith("0 items done.")
    assert again.code == 0


def test_the_python_api_gives_the_numbers_of_the_command_line(bench: Bench, tmp_path: Path) -> None:
    bench("run", "-m", "kit-half", *KIT, "-w", "work")
    with (tmp_path / "work/reports/leaderboard.csv").open(newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}

    summary = sb.run(
        models=["kit-half"],
        datasets=["kit"],
        workspace=tmp_path / "other",
        overrides=["datasets.kit.scenes=2", INLINE],
    )
    frame = sb.results(tmp_path / "other")

    assert summary.ok
    assert (summary.done, summary.failures) == (14, 0)
    means = frame[frame["metric"] == "sdr"].groupby("model")["value"].mean()
    assert {name: float(row["sdr"]) for name, row in rows.items()} == pytest.approx(dict(means))


def test_variants_are_named_and_set_apart(bench: Bench, tmp_path: Path) -> None:
    models = ("-m", "kit-half,soft=kit-half", "-m", "far=sepbench_testkit.models:Half")
    gains = ("models.soft.gain=0.25", "models.far.gain=0.75")

    done = bench("run", *models, *KIT, *gains, "bounds=[]", "-w", "work")

    with (tmp_path / "work/reports/leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert done.code == 0
    assert [(row["model"], row["baseline"]) for row in rows] == [
        ("kit-half", "kit-half"),
        ("soft", "kit-half"),
        ("far", "sepbench_testkit.models:Half"),
    ]
    # Of two equal noises: the SDR of g (s + n) is −10 log10((1 − g)² + g²), about.
    assert [float(row["sdr"]) for row in rows] == pytest.approx([3.01, 2.04, 2.04], abs=0.1)


def test_a_limit_counts_whole_scenes(bench: Bench) -> None:
    done = bench("run", "-m", "kit-half", *KIT, "--limit", "1", "bounds=[]")

    assert "3/6" in done.out
    assert "kit-half: partial: 3 of 6 items; not comparable" in done.out
    assert done.code == 0


def test_failed_items_are_explained_on_stderr_and_leave_code_one(bench: Bench) -> None:
    done = bench("run", "-m", "kit-faulty", *KIT, "bounds=[]")

    assert done.code == 1
    assert "4/6" in done.out
    assert done.err.splitlines()[1:] == [
        "Error: kit-faulty: 2 × RuntimeError, for example scene-00000, dog: "
        "the network is on strike",
        "The same command tries the missing and failed items again; `bench report --errors` shows "
        "each with its traceback.",
    ]


def test_a_model_that_cannot_be_loaded_is_named(bench: Bench) -> None:
    done = bench("run", "-m", "kit-unloadable,kit-half", *KIT, "bounds=[]")

    assert done.code == 1
    assert "kit-half" in done.out
    assert "Error: kit-unloadable: " in done.err
    assert "weights.pt is missing" in done.err
    assert "Traceback" not in done.err


def test_a_run_stops_after_too_many_failures(bench: Bench) -> None:
    options = ("--max-failures", "1", "datasets.kit.scenes=5")

    done = bench("run", "-m", "kit-faulty", "-d", "kit", INLINE, "bounds=[]", *options)

    assert done.code == 1
    assert "Stopped after" in done.err
    assert "(max_failures=1)" in done.err
    assert "Traceback" not in done.err


def test_a_dry_run_shows_the_plan_and_writes_nothing(bench: Bench, tmp_path: Path) -> None:
    done = bench("run", "-m", "kit-half", *KIT, "--dry-run", "-w", "work")

    assert done.code == 0
    assert [line.split()[:5] for line in done.out.splitlines()[1:4]] == [
        ["mixture", "kit", "none", "4", "4"],
        ["oracle-irm", "kit", "none", "4", "4"],
        ["kit-half", "kit", "text", "6", "6"],
    ]
    assert files(tmp_path) == {}


def test_a_dry_run_counts_what_is_left_and_leaves_the_workspace_alone(
    bench: Bench, tmp_path: Path
) -> None:
    bench("run", "-m", "kit-half", *KIT, "--limit", "1", "-w", "work")
    before = files(tmp_path)

    done = bench("run", "-m", "kit-half,kit-tone", *KIT, "--dry-run", "-w", "work")

    assert [line.split()[:5] for line in done.out.splitlines()[1:5]] == [
        ["mixture", "kit", "none", "4", "2"],
        ["oracle-irm", "kit", "none", "4", "2"],
        ["kit-half", "kit", "text", "6", "3"],
        ["kit-tone", "kit", "text", "6", "6"],
    ]
    assert done.out.splitlines()[-1].startswith("Separation time left: unknown")
    assert files(tmp_path) == before


def test_a_dry_run_says_what_is_not_applicable(bench: Bench) -> None:
    done = bench("run", "-m", "kit-scene", *KIT, "query=label", "bounds=[]", "--dry-run")

    assert "not applicable: takes text queries, not label" in done.out
    assert done.out.endswith("Separation time left: about 0 s.\n")


def test_the_settings_are_shown_as_they_were_resolved(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "settings.yaml").write_text("batch_size: 2\nlimit: 7\nprecision: bf16\n")
    monkeypatch.setenv("SEPBENCH__LIMIT", "5")
    options = ("--keep-audio", "--device", "cuda:1", "--max-failures", "3", "--root", "kit=a b")

    done = bench("run", "-m", "a,b", "-w", "work", "--show-config", *options, "precision=tf32")

    shown = yaml.safe_load(done.out)
    assert done.code == 0
    assert (shown["batch_size"], shown["limit"], shown["precision"]) == (2, 5, "tf32")
    assert (shown["keep_audio"], shown["device"], shown["max_failures"]) == (True, "cuda:1", 3)
    assert shown["model"] == ["a", "b"]
    assert shown["datasets"] == {"kit": {"root": "a b"}}
    assert list((tmp_path / "work").iterdir()) == [tmp_path / "work" / "settings.yaml"]


def test_an_option_beats_the_same_setting(bench: Bench) -> None:
    done = bench("run", "--limit", "3", "--show-config", "limit=9")

    assert yaml.safe_load(done.out)["limit"] == 3


@pytest.mark.parametrize("folder", ["my data, it's", 'a "b" [c]', "${HOME}", "back\\slash"])
def test_a_root_with_any_name_is_found(bench: Bench, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()

    done = bench("run", "-d", "kit", "--root", f"kit={tmp_path / folder}", "--dry-run")

    assert (done.code, done.err) == (0, "")


def test_the_workspace_may_be_named_by_a_variable(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_WORKSPACE", str(tmp_path / "elsewhere"))

    bench("run", "-m", "kit-half", *KIT, "bounds=[]")

    assert (tmp_path / "elsewhere" / "results.sqlite").is_file()


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "-m", "kit-hlaf"), "Unknown model 'kit-hlaf'. Did you mean 'kit-half'"),
        (("run", "-d", "dmeo"), "Unknown dataset 'dmeo'. Did you mean 'demo'"),
        (("run", "-d", "kit:kit-17k"), "Unknown protocol 'kit-17k'. Did you mean 'kit-16k'"),
        (("run", "-d", "kit:demo"), "Protocol 'demo' scores dataset 'demo', not 'kit'"),
        (("run", "metrics=[sdrr]"), "Unknown metric 'sdrr'. Did you mean 'sdr'"),
        (("run", "batch=4"), "Unknown setting 'batch'"),
        (("run", "nmf"), "'nmf' is not a setting"),
        (("run", "-m", "=x"), "Model '=x': expected NAME or LABEL=NAME"),
        (("run", "-m", "x=kit-broken"), "No module named 'sepbench_testkit.absent'"),
        (("run", "-m", "x=json:nothing"), "AttributeError: module 'json' has no attribute 'no"),
        (("run", "-m", "x=string:digits"), "Model 'x' names '0123456789'; expected a class"),
        (("run", "-m", "x=fractions:Fraction"), "Model 'x' is neither a QuerySeparator"),
        (("run", "-m", "kit-half", "models.kit-half.gian=1"), "no setting 'gian'. Did you mean"),
        (("run", "-m", "kit-half", "models.kit-haf.gain=1"), "models.kit-haf… sets a model that"),
        (("run", "-m", "kit-half,a=kit-half"), "'kit-half' and 'a' are one model with the same"),
        (("run", "-m", "kit-half,kit-half=kit-tone"), "Two models are called 'kit-half'"),
        (("run", "-d", "kit", "datasets.kit.scens=2"), "no setting 'scens'. Did you mean 'scenes'"),
        (("run", "-d", "kit", "datasets.demo.x=1"), "datasets.demo… sets a dataset that is not"),
        (("run", "-d", "kit", "datasets.kit.root=5"), "datasets.kit.root=5: expected a folder"),
        (("run", "-d", "kit", "datasets.kit.scenes=x"), ""),
        (("run", "-d", "esc50"), "Dataset esc50 needs the folder of its files"),
        (("run", "-d", "esc50", "--root", "esc50=nowhere"), "nowhere is no folder that exists"),
        (("run", "--root", "esc50"), "--root esc50: expected NAME=FOLDER"),
        (("run", "--limit", "0"), "0 is not in the range x>=1"),
        (("run", "--limt", "3"), "No such option"),
        (("rnu",), "No such command 'rnu'. Did you mean 'run'"),
        (("list", "modles"), "'modles' is not one of"),
        (("describe", "si_srd"), "Unknown name 'si_srd'. Did you mean 'si_sdr'"),
        (("describe",), "Missing argument 'NAME'"),
        (("check", "nfm"), "Unknown model, dataset or metric 'nfm'. Did you mean 'nmf'"),
        (("check", "nmf", "models.nfm.rank=3"), "models.nfm… sets what is not checked here"),
        (("report", "-w", "nowhere"), "nowhere holds no results yet"),
        (("report", "--stdout", "-w", "nowhere"), "nowhere holds no results yet"),
        (("report", "-f", "pfd"), "Unknown report format 'pfd'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_request_is_one_message_with_what_to_do(
    bench: Bench, arguments: tuple[str, ...], words: str
) -> None:
    done = bench(*arguments)

    assert words in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert done.code in (1, 2)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("run", "-m", "nothing"), 2),
        (("run", "batch=4"), 2),
        (("rnu",), 2),
        (("run", "--limit", "x"), 2),
        (("run", "-d", "esc50"), 2),
        (("check", "nothing"), 2),
        (("report", "-f", "pdf"), 2),
        (("report",), 1),
        (("--help",), 0),
        (("--version",), 0),
        (("run", "--help"), 0),
        (("list",), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_exit_codes(bench: Bench, arguments: tuple[str, ...], code: int) -> None:
    assert bench(*arguments).code == code


def test_an_interrupt_says_that_nothing_is_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sepbench.harness.run.grid.run_grid", interrupted)

    done = bench("run", "-m", "kit-half", *KIT)

    assert done.code == 130
    assert "Stopped. What is done is kept" in done.err


# --- list, describe -------------------------------------------------------------------------


def test_help_names_every_command(bench: Bench) -> None:
    done = bench("--help")

    commands = [line.split()[0] for line in done.out.partition("Commands:")[2].splitlines() if line]
    assert commands == [
        *("run", "list", "describe", "check", "score", "probe", "train", "status", "profile"),
        *("report", "compare", "data", "weights", "doctor"),
    ]


def test_the_list_shows_plugins_with_their_package_and_broken_ones_as_broken(bench: Bench) -> None:
    out = bench("list", "models").out

    assert "\n  kit-half           text/label/audio; any rate; half the mixture  [sepbench-" in out
    assert "kit-broken         BROKEN: ModuleNotFoundError: No module named" in out
    assert "  nmf " in out


def test_the_list_is_also_json(bench: Bench) -> None:
    rows = json.loads(bench("list", "protocols", "--json").out)
    everything = json.loads(bench("list", "--json").out)

    packages = {row["name"]: row["package"] for row in rows}
    assert packages["demo"] == "sepbench"
    assert packages["kit-16k"] == "sepbench-testkit 1.0"
    assert set(everything) == {
        *("models", "postprocesses", "datasets", "protocols", "metrics", "encoders", "reports")
    }


def test_describe_gives_all_facts_of_a_name(bench: Bench) -> None:
    out = bench("describe", "si_sdr").out

    assert out.startswith("metric si_sdr\n")
    assert "  version                1\n" in out
    assert "  from                   sepbench\n" in out


def test_describe_finds_every_kind_that_has_the_name(bench: Bench) -> None:
    out = bench("describe", "kit").out

    assert "dataset kit\n" in out
    assert "protocol kit\n" in out
    assert "protocol_fields" not in out


# --- report ---------------------------------------------------------------------------------


def test_a_report_is_written_where_it_is_wanted(bench: Bench, tmp_path: Path) -> None:
    bench("run", "-m", "kit-half", *KIT, "bounds=[]", "-w", "work")

    done = bench("report", "-w", "work", "-f", "csv", "-o", "out/deep")

    assert done.out == "out/deep/leaderboard.csv\n"
    assert [path.name for path in (tmp_path / "out/deep").iterdir()] == ["leaderboard.csv"]


def test_a_report_to_stdout_is_the_table_of_the_run(bench: Bench) -> None:
    ran = bench("run", "-m", "kit-half", *KIT, "bounds=[]")

    done = bench("report", "--stdout")

    assert done.out == ran.out
    assert done.err == ""


def test_a_report_that_cannot_be_written_says_where(bench: Bench, tmp_path: Path) -> None:
    bench("run", "-m", "kit-half", *KIT, "bounds=[]")
    (tmp_path / "taken").write_text("a file")

    done = bench("report", "-o", "taken")

    assert done.code == 1
    assert "Reports cannot be written to taken: File exists" in done.err


def test_reports_of_one_workspace_have_the_same_bytes_each_time(
    bench: Bench, tmp_path: Path
) -> None:
    bench("run", "-m", "kit-half", *KIT, "bounds=[]", "-w", "work")

    bench("report", "-w", "work", "-o", "one")
    bench("report", "-w", "work", "-o", "two")

    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert list(files(tmp_path / "one")) == ["leaderboard.csv", "leaderboard.md"]


def test_the_csv_of_a_run_agrees_with_its_text(bench: Bench, tmp_path: Path) -> None:
    out = bench("run", "-m", "kit-half", *KIT, "bounds=[]", "-w", "work").out

    text = (tmp_path / "work/reports/leaderboard.csv").read_text("utf-8")
    (row,) = csv.DictReader(io.StringIO(text))

    assert f"{float(row['sdr']):.2f}" in out
    assert (row["scored"], row["expected"], row["complete"]) == ("6", "6", "True")


# --- check, doctor --------------------------------------------------------------------------


def test_check_says_ok_line_by_line(bench: Bench) -> None:
    done = bench("check", "kit-half")

    assert done.code == 0
    assert {line.split()[0] for line in done.out.splitlines()} == {"ok"}


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("kit-broken", (), "FAILED   imports, card and constructor: The model 'kit-broken'"),
        ("kit-unloadable", (), "FAILED   loads: "),
        ("kit-faulty", (), "FAILED   separates (text query), one second: RuntimeError: the n"),
        ("kit-faulty", ("models.kit-faulty.how='nan'",), "FAILED   separates (text query)"),
        ("kit-faulty", ("models.kit-faulty.how=shape",), "expected (1, 1, 16000)"),
        ("kit-faulty", ("models.kit-faulty.how=type",), "returned ndarray; expected a tensor"),
        ("kit-faulty", ("models.kit-faulty.how=condition",), "no condition for this query"),
    ],
)
def test_check_names_what_fails(
    bench: Bench, name: str, overrides: tuple[str, ...], words: str
) -> None:
    done = bench("check", name, *overrides)

    assert done.code == 1
    assert words in done.out
    assert "Traceback" not in done.out + done.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kit", "6 scenes; scene-00000: (1, 4000) at 8000 Hz"),
        ("demo", "40 scenes; "),
        ("si_sdr", "ok       silent reference: the reference is silent"),
        ("esc50", "skipped  default protocol, unique scenes, first scene loads twice alike"),
    ],
)
def test_check_knows_datasets_and_metrics(bench: Bench, name: str, words: str) -> None:
    done = bench("check", name)

    assert done.code == 0
    assert words in done.out


def test_doctor_looks_at_everything(bench: Bench) -> None:
    done = bench("doctor")

    assert done.code == 0
    for what in ("python", "torch and torchaudio", "audio codecs", "workspace", "dataset esc50"):
        assert f" {what} " in done.out


# --- Python ---------------------------------------------------------------------------------


def test_the_function_that_runs_has_the_name_of_a_package_and_works_before_and_after_its_import(
    tmp_path: Path,
) -> None:
    code = f"""
import inspect
import sepbench.harness as sb
first = sb.run
import sepbench.harness.run.python_api as api
assert inspect.signature(first) == inspect.signature(api.run)
assert inspect.signature(sb.run) == inspect.signature(api.run)
for call in (first, sb.run):
    try:
        call(models=["absent"], workspace={str(tmp_path)!r})
    except sb.BenchError as error:
        assert "Unknown model 'absent'" in str(error)
    else:
        raise SystemExit("it ran")
"""

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_loaded_baseline_separates() -> None:
    import torch

    model = sb.load_baseline("kit-half", gain=0.25)

    (condition,) = model.condition([sb.Query(text="a dog barks")])
    estimate = model.separate(torch.ones(1, 1, 4), condition[None])

    assert estimate.tolist() == [[[0.25] * 4]]


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("kit-hlaf", {}, "Did you mean 'kit-half'"),
        ("kit-half", {"gian": 1}, "no setting 'gian'"),
        ("kit-unloadable", {}, "weights.pt is missing"),
        ("fractions:Fraction", {}, "neither a QuerySeparator"),
    ],
)
def test_a_baseline_that_cannot_be_loaded_is_a_named_error(
    name: str, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(sb.BenchError, match=words):
        sb.load_baseline(name, **settings)


def test_a_loaded_dataset_gives_its_scenes(tmp_path: Path) -> None:
    assert len(sb.load_dataset("kit", scenes=3).scenes("noises")) == 3
    assert sb.load_dataset("kit", root=tmp_path).clips("examples")


def test_results_of_no_workspace_are_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="holds no results yet"):
        sb.results(tmp_path)
