"""The learned separators from a checkpoint file to rows of a table, as a user gets there."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sepbench_testkit.filled import fill_state_dict
from sepbench_testkit.machine import rows
from sepbench_testkit.tokenizers import write_tokenizer

GOLDEN = Path(__file__).resolve().parent / "golden"


BENCH = [sys.executable, "-c", "from sepbench.harness.cli import main; main()"]


def bench(*arguments: str, weights: Path, code: int = 0) -> str:
    """Run a command as the entry point would; what it printed."""
    done = subprocess.run(
        [*BENCH, *arguments],
        env={**os.environ, "SEPBENCH_WEIGHTS": str(weights)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def filled(system: str, prefix: str) -> dict[str, torch.Tensor]:
    layouts = {"clap": "clap_state_dict.json"}
    state = fill_state_dict(GOLDEN / system / layouts.get(system, "state_dict.json"), 1)
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights into which the official forms of both checkpoints were added."""
    folder = tmp_path_factory.mktemp("weights")
    downloaded = tmp_path_factory.mktemp("downloaded")
    lassnet = filled("lassnet", "module.")
    torch.save({"model": lassnet, "epoch": 3}, downloaded / "LASSNet.pt")
    audiosep = filled("audiosep", "ss_model.") | filled("clap", "query_encoder.model.")
    checkpoint = downloaded / "audiosep_base_4M_steps.ckpt"
    torch.save({"state_dict": audiosep, "optimizer_states": []}, checkpoint)
    bench("weights", "add", "lassnet", str(downloaded / "LASSNet.pt"), weights=folder)
    # Filled weights have another sum than the published file.
    bench("weights", "add", "audiosep-clap", str(checkpoint), "--other", weights=folder)
    for name, kind in (("bert-base-uncased", "bert"), ("roberta-base", "roberta")):
        tokenizer = str(write_tokenizer(downloaded / kind, kind))
        bench("weights", "add", name, tokenizer, "--other", weights=folder)
    return folder


def run(workspace: Path, weights: Path, *arguments: str) -> str:
    options = ("-w", str(workspace), "-d", "demo", "--device", "cpu")
    return bench("run", *options, *arguments, weights=weights)


def values(workspace: Path, label: str) -> list[float]:
    found = rows(
        workspace,
        "SELECT s.value FROM scores s JOIN results r ON r.id = s.result_id"
        f" JOIN cells c ON c.id = r.cell_id WHERE c.label = '{label}'",
    )
    return [row["value"] for row in found]


@pytest.mark.slow
def test_both_text_separators_give_finite_rows_from_their_official_files(
    tmp_path: Path, weights: Path
) -> None:
    table = run(tmp_path, weights, "-m", "lassnet,audiosep-clap", "--limit", "4")

    for label in ("lassnet", "audiosep-clap"):
        found = values(tmp_path, label)
        assert label in table
        assert len(found) == 4 * 2 * 5  # scenes, targets, metrics
        assert all(value is not None and math.isfinite(value) for value in found)
    facts = rows(
        tmp_path,
        "SELECT label, json_extract(facts, '$.parameters') n, json_extract(facts, "
        "'$.flops_per_second') f FROM cells WHERE label IN ('lassnet', 'audiosep-clap') "
        "ORDER BY label",
    )
    assert [row["n"] for row in facts] == [pytest.approx(151e6, rel=0.02), 63_398_883]
    # 269 GFLOP of LASS-Net's U-Net for 10 s, counted beforehand.
    assert facts[1]["f"] == pytest.approx(26.9e9, rel=0.05)


@pytest.mark.slow
def test_audiosep_takes_examples_and_the_score_its_own_clap(tmp_path: Path, weights: Path) -> None:
    settings = ("query=audio", "query.shots=1", "metrics=[si_sdr,clapscore_audio]")

    run(tmp_path, weights, "-m", "audiosep-clap", "--limit", "1", *settings)

    found = values(tmp_path, "audiosep-clap")
    assert len(found) == 2 * 2
    assert all(value is not None and math.isfinite(value) for value in found)
    (card,) = rows(tmp_path, "SELECT card FROM metrics WHERE metric = 'clapscore_audio'")
    assert "audiosep_base_4M_steps.ckpt sha256:" in card["card"]


def test_weights_that_are_missing_fail_their_cell_and_say_what_to_do(tmp_path: Path) -> None:
    options = ("-w", str(tmp_path / "ws"), "-m", "audiosep-clap", "-d", "demo", "--limit", "1")

    said = bench("run", *options, weights=tmp_path / "none", code=1)

    assert "bench weights pull audiosep-clap" in said
