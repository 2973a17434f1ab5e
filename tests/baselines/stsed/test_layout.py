"""Checkpoint files in the published forms, and files that are none of them.

Tensors here are one zero each, repeated without taking room: files of full shape and a few KB.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
from sepbench_testkit.filled import gliding_tones

from sepbench.baselines.stsed.adapter import StSed
from sepbench.baselines.stsed.encoder import HtsatLatent
from sepbench.baselines.stsed.layout import check_sed, check_separator
from sepbench.harness.api import Example, Query
from sepbench.harness.errors import CheckpointError, MissingWeightsError

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "stsed"
State = dict[str, torch.Tensor]


def zeros(layout: str) -> State:
    rows = json.loads((GOLDEN / layout).read_text("utf-8"))
    return {
        row["name"]: torch.zeros((), dtype=getattr(torch, row["dtype"])).expand(row["shape"])
        for row in rows
    }


def prefixed(prefix: str, state: Mapping[str, torch.Tensor]) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def detector() -> State:
    """As published: with its front end and the buffers of its windows."""
    state = zeros("sed_state_dict.json")
    state["spectrogram_extractor.stft.conv_real.weight"] = torch.zeros(()).expand(513, 1, 1024)
    state["spectrogram_extractor.stft.conv_imag.weight"] = torch.zeros(()).expand(513, 1, 1024)
    state["logmel_extractor.melW"] = torch.zeros(()).expand(513, 64)
    for stage, blocks in enumerate((2, 2, 6, 2)):
        for block in range(blocks):
            name = f"layers.{stage}.blocks.{block}.attn.relative_position_index"
            state[name] = torch.zeros((), dtype=torch.int64).expand(64, 64)
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(()).expand(64, 64, 64)
    return state


def separator() -> State:
    state = zeros("separator_state_dict.json")
    state["stft.conv_real.weight"] = torch.zeros(()).expand(1025, 1, 2048)
    state["istft.ola_window"] = torch.zeros(()).expand(2048)
    return state


def write(path: Path, held: object) -> Path:
    torch.save(held, path)
    return path


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path / "weights"))


@pytest.mark.parametrize("prefix", ["sed_model.", "", "at_model.sed_model."])
def test_a_detector_is_found_under_any_of_its_prefixes(prefix: str, tmp_path: Path) -> None:
    held = {"state_dict": prefixed(prefix, detector()), "epoch": 20}

    found = check_sed(write(tmp_path / "sed.ckpt", held))

    assert found == "HTS-AT with a 2048-d latent and 527 classes, 201.7 M parameters"


@pytest.mark.parametrize("bare", [True, False])
def test_a_separator_is_taken_with_and_without_its_detector(bare: bool, tmp_path: Path) -> None:
    beside = {} if bare else prefixed("at_model.sed_model.", detector())
    state = {**separator(), **beside}

    found = check_separator(write(tmp_path / "asp.ckpt", state if bare else {"state_dict": state}))

    assert found.startswith("ST-SED separator, 167.6 M parameters")
    assert found.endswith("without its detector" if bare else "with its detector")


def test_classes_that_lightning_names_as_keys_are_never_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = ModuleType(name)
    callback = type("ModelCheckpoint", (), {"__module__": name})
    monkeypatch.setattr(module, "ModelCheckpoint", callback, raising=False)
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, part, ModuleType(part))
    monkeypatch.setitem(sys.modules, name, module)
    held = {"state_dict": separator(), "callbacks": {callback: {"best_model_score": 1.0}}}
    path = write(tmp_path / "asp.ckpt", held)
    monkeypatch.delitem(sys.modules, name)

    found = check_separator(path)

    assert found.startswith("ST-SED separator")


def test_swapped_files_are_named(tmp_path: Path) -> None:
    sed = write(tmp_path / "sed.ckpt", {"state_dict": prefixed("sed_model.", detector())})
    asp = write(tmp_path / "asp.ckpt", {"state_dict": separator()})

    with pytest.raises(CheckpointError, match="holds the detector, not the separator"):
        check_separator(sed)
    with pytest.raises(CheckpointError, match="It is a separator without its detector"):
        check_sed(asp)


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    other = write(tmp_path / "other.ckpt", {"state_dict": {"a.weight": torch.zeros(2)}})
    listed = write(tmp_path / "listed.ckpt", {"state_dict": [1, 2]})
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(other.read_bytes()[:400])

    with pytest.raises(CheckpointError, match=r"Give htsat_audioset_2048d\.ckpt"):
        check_sed(other)
    with pytest.raises(CheckpointError, match=r"missing \(279\)"):
        check_separator(other)
    with pytest.raises(CheckpointError, match="no mapping of names to tensors"):
        check_sed(listed)
    with pytest.raises(CheckpointError, match="damaged"):
        check_separator(cut)


def test_a_network_of_another_size_is_refused(tmp_path: Path) -> None:
    state = detector()
    state["norm.weight"] = torch.zeros(768)
    del state["layers.3.blocks.1.mlp.fc2.bias"]
    state["projection.weight"] = torch.zeros(3)
    path = write(tmp_path / "small.ckpt", {"state_dict": prefixed("sed_model.", state)})

    with pytest.raises(CheckpointError) as refused:
        check_sed(path)

    words = str(refused.value)
    assert "missing (1): backbone.audio_encoder.layers.3.blocks.1.output.dense.bias" in words
    assert "norm.weight (768,), not (2048,)" in words
    assert "unknown (1)" in words


def test_a_separator_with_a_layer_more_is_refused(tmp_path: Path) -> None:
    state = {**separator(), "decoder_block7.conv1.weight": torch.zeros(2)}

    with pytest.raises(CheckpointError, match=r"unknown \(1\): decoder_block7"):
        check_separator(write(tmp_path / "deep.ckpt", {"state_dict": state}))


def test_missing_weights_are_named_with_what_to_do(tmp_path: Path) -> None:
    asp = write(tmp_path / "asp.ckpt", {"state_dict": separator()})

    with pytest.raises(MissingWeightsError, match="bench weights add stsed"):
        StSed().load("cpu")
    with pytest.raises(MissingWeightsError, match="bench weights add htsat"):
        StSed(checkpoint=str(asp)).load("cpu")
    with pytest.raises(MissingWeightsError, match="bench weights add htsat"):
        HtsatLatent().load("cpu")


@torch.inference_mode()
def test_two_files_make_a_model_that_separates(tmp_path: Path) -> None:
    sed = write(tmp_path / "sed.ckpt", {"state_dict": prefixed("sed_model.", detector())})
    asp = write(tmp_path / "asp.ckpt", {"state_dict": separator()})
    clip = torch.from_numpy(gliding_tones(1, 1, 64_000, 32_000))
    model = StSed(checkpoint=str(asp), sed_checkpoint=str(sed))

    model.load("cpu")
    (condition,) = model.condition([Query(examples=(Example(clip_id="a", waveform=clip),))])
    estimate = model.separate(clip[None, :, :30_000], condition[None])

    assert condition.tolist() == [0.0] * 2048
    # All weights are zero, so every logit is: a mask of a half.
    torch.testing.assert_close(estimate, clip[None, :, :30_000] / 2, atol=1e-5, rtol=0)
