"""`bench run -m lassnet,audiosep-clap,audiosep-clip,stsed -d audiocaps,musdb18,voicebank-demand`.

What the package is for, as a user types it: four published systems over three corpora, one
workspace, one leaderboard. Corpora are fixtures, networks have their published sizes and filled
weights, so values mean nothing; that each is there, or says why not, is what is tested.
"""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from sepbench_testkit.corpora import audiocaps, audiosep, musdb18, voicebank_demand
from sepbench_testkit.filled import fill_array, fill_state_dict
from sepbench_testkit.machine import rows
from sepbench_testkit.tokenizers import write_tokenizer

from sepbench.datasets.audiocaps_lists import clip_labels, naming_labels
from sepbench.harness.run.weights import add

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).resolve().parent / "golden"
BENCH = [sys.executable, "-c", "from sepbench.harness.cli import main; main()"]
MODELS = ("lassnet", "audiosep-clap", "audiosep-clip", "stsed")
# Default protocol of each dataset -> scenes × targets, and its ids of SDR, SIR, SAR and SI-SDR.
RATIOS = ("sdr", "bss_sir", "bss_sar", "si_sdr")
EXPECTED = {
    "audiocaps-audiosep": (2, RATIOS),
    "sisec18": (4, ("bss_v4_sdr", "bss_v4_sir", "bss_v4_sar", "si_sdr")),
    "voicebank-demand": (1, RATIOS),
}
# SAR has no improvement, since a mixture has no artefacts.
IMPROVEMENTS = ("sdri", "si_sdri", "bss_siri", "bss_v4_sdri", "bss_v4_siri")


# Two rows of AudioSep's list, one of them with a target whose id begins with "-".
ROWS = (audiosep.AUDIOCAPS[0], audiosep.AUDIOCAPS[2], audiosep.AUDIOCAPS[4])


def bench(*arguments: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [*BENCH, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def filled(layout: str, prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + k: v for k, v in fill_state_dict(GOLDEN / layout, 1).items()}


def clip_text_tower() -> dict[str, torch.Tensor]:
    """The text part of openai/clip-vit-base-patch32, filled."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    with torch.device("meta"):
        model = CLIPTextModelWithProjection(CLIPTextConfig(projection_dim=512))
    return {
        name: torch.from_numpy(fill_array(name, tuple(tensor.shape), 3))
        for name, tensor in model.named_parameters()
    }


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four systems, added from files in the forms they are published in."""
    folder = tmp_path_factory.mktemp("weights")
    files = tmp_path_factory.mktemp("downloaded")
    # Made one after the other: together they would fill the memory of a small machine.
    contents: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
        "lassnet": ("LASSNet.pt", lambda: {"model": filled("lassnet/state_dict.json", "module.")}),
        "audiosep-clap": (
            "audiosep_base_4M_steps.ckpt",
            lambda: {
                "state_dict": filled("audiosep/state_dict.json", "ss_model.")
                | filled("clap/clap_state_dict.json", "query_encoder.model.")
            },
        ),
        "audiosep-clip": (
            "audiosep_clip.ckpt",
            lambda: {"state_dict": filled("audiosep/state_dict.json", "ss_model.")},
        ),
        "clip-vit-b32": ("pytorch_model.bin", clip_text_tower),
        "htsat": (
            "htsat_audioset_2048d.ckpt",
            lambda: {"state_dict": filled("stsed/sed_state_dict.json")},
        ),
        "stsed": (
            "zeroshot_asp_full.ckpt",
            lambda: {"state_dict": filled("stsed/separator_state_dict.json")},
        ),
    }
    tokenizers = {
        "bert-base-uncased": "bert",
        "roberta-base": "roberta",
        "clip-vit-b32-tokenizer": "clip",
    }
    paths: dict[str, Path] = {}
    for name, (file, content) in contents.items():
        paths[name] = files / file
        torch.save(content(), paths[name])
    paths |= {name: write_tokenizer(files / kind, kind) for name, kind in tokenizers.items()}
    with pytest.MonkeyPatch.context() as patch:  # whatever is installed on this machine
        patch.setenv("SEPBENCH_WEIGHTS", str(folder))
        for name, path in paths.items():
            assert not add(name, path, link=True, other=True).failed
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two mixtures, a song and a sentence; examples for the first two corpora alone."""
    parent = tmp_path_factory.mktemp("data")
    root = parent / "audiocaps"
    audiosep.write_list(root / "audiocaps_eval.csv", ROWS)
    audiosep.write_premixed(root, [int(row.partition(",")[0]) for row in ROWS[1:]])
    write_examples(root)
    musdb18.write_stems(parent / "musdb18", "test", musdb18.NAMES[2:], seconds=0.5)
    musdb18.write_stems(parent / "musdb18", "train", ("A - B", "C - D", "E & F - G"))
    voicebank_demand.write_voicebank(
        parent / "voicebank-demand", utterances=voicebank_demand.UTTERANCES[:1], train=False
    )
    return parent


def write_examples(root: Path) -> None:
    """Three recordings for each label that the list's targets go by, none of them in the list."""
    text = "".join(ROWS)
    targets = [clip for clip in naming_labels() if f"Y{clip}.wav,Y" in text]
    for label in {naming_labels()[clip] for clip in targets}:
        clips = [clip for clip, labels in clip_labels().items() if label in labels]
        for clip in [clip for clip in clips if f"Y{clip}.wav" not in text][:3]:
            audiocaps.write_clip(root / "test" / f"Y{clip}.wav", seconds=2.1)


def board(workspace: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (workspace / "reports" / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        return {(row["protocol"], row["model"]): row for row in csv.DictReader(file)}


def test_one_sentence_gives_one_workspace_and_one_leaderboard(
    tmp_path: Path, weights: Path, data: Path
) -> None:
    workspace = tmp_path / "bench-results"
    options = ("-w", str(workspace), "--device", "cpu")
    sentence = ("-m", ",".join(MODELS), "-d", "audiocaps,musdb18,voicebank-demand")
    environment = {"SEPBENCH_WEIGHTS": str(weights), "SEPBENCH_DATA": str(data)}

    said = bench("run", *options, *sentence, environment=environment)

    found = board(workspace)
    for protocol, (items, ratios) in EXPECTED.items():
        assert f"· {protocol} (" in said
        for model in MODELS:
            row = found[protocol, model]
            if (protocol, model) == ("voicebank-demand", "stsed"):
                assert row["status"] == "not applicable"
                reason = "no example clips: the pool 'train-speech' is not on disk"
                assert reason in row["notes"]
                assert f"{model}: not applicable: {reason}" in said
                continue
            improved = [name for name in IMPROVEMENTS if name.removesuffix("i") in ratios]
            values = [float(row[name]) for name in (*ratios, *improved)]
            assert (row["status"], row["scored"]) == ("active", str(items)), row["notes"]
            assert len(improved) >= 3
            assert all(math.isfinite(value) for value in values), (protocol, model, values)
        for bound in ("mixture", "oracle-irm"):
            assert math.isfinite(float(found[protocol, bound]["si_sdr"]))
    # One workspace: a cell each, and each asked as its model can be asked.
    cells = rows(workspace, "SELECT DISTINCT label, query_kind FROM cells")
    assert {(cell["label"], cell["query_kind"]) for cell in cells} >= {
        *((model, "text") for model in MODELS[:3]),
        ("stsed", "audio"),
    }
