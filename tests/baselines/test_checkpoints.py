from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sepbench.baselines.checkpoints import fit, numpy_scalars, read_checkpoint, strip_prefix
from sepbench.harness.errors import CheckpointError


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def state() -> dict[str, torch.Tensor]:
    return network().state_dict()


def write(path: Path, form: str, held: Any) -> Path:
    if form == "safetensors":
        save_file(held, path)
    else:
        torch.save(held, path, _use_new_zipfile_serialization=form == "zip")
    return path


class Foreign:
    """A pickle of this makes a folder when it is opened by a careless reader."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


# --- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_every_form_of_file_is_told_by_its_contents(tmp_path: Path, form: str) -> None:
    tensors = state()
    path = write(tmp_path / "any-name.bin", form, tensors)

    held = read_checkpoint(path)

    assert set(held) == set(tensors)
    assert all(torch.equal(held[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.999])
def test_a_truncated_file_is_damaged(tmp_path: Path, form: str, share: float) -> None:
    whole = write(tmp_path / "whole", form, state()).read_bytes()
    part = tmp_path / "part.ckpt"
    part.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(CheckpointError, match=r"part\.ckpt is .*cut short: fetch the file again"):
        read_checkpoint(part)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_foreign_global_is_named_and_not_executed(tmp_path: Path, form: str) -> None:
    trace = tmp_path / "executed"
    path = write(tmp_path / "evil.pt", form, {"model": state(), "extra": Foreign(trace)})

    with pytest.raises(CheckpointError, match=r"asks to call posix\.mkdir.*nothing was executed"):
        read_checkpoint(path)

    assert not trace.exists()


def test_a_plain_pickle_is_not_executed_either(tmp_path: Path) -> None:
    trace, path = tmp_path / "executed", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"model": Foreign(trace)}, protocol=2))

    with pytest.raises(CheckpointError, match=r"asks to call posix\.mkdir"):
        read_checkpoint(path)

    assert not trace.exists()


def test_numpy_scalars_are_read_where_they_are_allowed(tmp_path: Path) -> None:
    held = {"state_dict": state(), "loss": np.float64(0.5), "epoch": np.int64(15)}
    path = write(tmp_path / "laion.pt", "zip", held)

    with pytest.raises(CheckpointError, match=r"asks to call numpy\._core\.multiarray\.scalar"):
        read_checkpoint(path)
    found = read_checkpoint(path, allow=numpy_scalars())

    assert (found["loss"], found["epoch"]) == (0.5, 15)


def test_what_numpy_before_2_wrote_is_read_too(tmp_path: Path) -> None:
    path = write(tmp_path / "new.pt", "legacy", {"loss": np.float64(0.5)})
    # The one name that differs; a text in a pickle of protocol 2 ends with a line feed.
    old = path.read_bytes().replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
    (tmp_path / "old.pt").write_bytes(old)

    assert b"numpy.core." in old
    assert read_checkpoint(tmp_path / "old.pt", allow=numpy_scalars()) == {"loss": 0.5}


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"", "is empty"),
        (b"<!doctype html><html>", "neither a PyTorch nor a safetensors file.*doctype"),
        (pickle.dumps({"a": 1}, protocol=2), "is damaged"),
    ],
    ids=["empty", "page", "other pickle"],
)
def test_files_that_are_no_checkpoints(tmp_path: Path, contents: bytes, words: str) -> None:
    (tmp_path / "x.pt").write_bytes(contents)

    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(tmp_path / "x.pt")


def test_a_list_of_tensors_is_no_checkpoint(tmp_path: Path) -> None:
    path = write(tmp_path / "x.pt", "zip", [torch.zeros(1)])

    with pytest.raises(CheckpointError, match=r"holds a list, not a mapping.*state_dict\(\)"):
        read_checkpoint(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*gone\.pt"):
        read_checkpoint(tmp_path / "gone.pt")
    with pytest.raises(CheckpointError, match="is a folder; give the checkpoint file in it"):
        read_checkpoint(tmp_path)


def test_a_prefix_is_taken_off_those_that_have_it() -> None:
    tensors = {"ss_model.a": torch.zeros(1), "ss_model.b": torch.zeros(2), "other.a": torch.ones(1)}

    assert list(strip_prefix(tensors, "ss_model.")) == ["a", "b"]


# --- fitting --------------------------------------------------------------------------------


def test_all_tensors_arrive_and_half_precision_is_widened() -> None:
    given, module = state(), network()
    halves = {n: t.half() if t.is_floating_point() else t for n, t in given.items()}

    fit(module, halves, what="x")

    fitted = module.state_dict()
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in fitted.values())
    assert all(torch.equal(fitted[name].to(t.dtype), t) for name, t in halves.items())


def test_a_module_built_without_memory_gets_copies() -> None:
    given = state()
    with torch.device("meta"):
        module = network()

    fit(module, given, what="x")
    given["0.weight"].zero_()

    weight = module.get_parameter("0.weight")
    assert weight.device.type == "cpu"
    assert weight.requires_grad
    assert weight.abs().sum() > 0


def test_ignored_and_computed_names_do_not_count() -> None:
    module = network()
    module.register_buffer("window", torch.ones(5))
    extras = {"stft.kernel": torch.zeros(7), "window": torch.zeros(9)}

    fit(
        module,
        {**state(), **extras},
        what="x",
        ignored=lambda name: name.startswith("stft."),
        computed=("window",),
    )

    assert torch.equal(module.get_buffer("window"), torch.ones(5))


def test_what_does_not_fit_is_listed_in_a_few_lines() -> None:
    module, given = network(), state()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    del given["1.bias"]
    given["0.weight"] = torch.zeros(4, 5)
    given["1.num_batches_tracked"] = torch.tensor(1.0)
    given |= {f"decoder.{k}": torch.zeros(1) for k in range(200)}

    with pytest.raises(CheckpointError) as caught:
        fit(module, given, what="LASSNet.pt for lassnet")

    assert str(caught.value).splitlines() == [
        "LASSNet.pt for lassnet: the checkpoint is made for another network or version.",
        "  missing (1): 1.bias",
        "  unknown (200): decoder.0, decoder.1, decoder.2 and 197 more",
        "  other shape (2): 0.weight (4, 5), not (4, 3), 1.num_batches_tracked (), not () of int64",
        "  4 of 7 tensors fit.",
    ]
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_another_architecture_fits_nowhere() -> None:
    other = nn.Conv2d(1, 2, 3).state_dict()

    with pytest.raises(CheckpointError, match=r"missing \(7\)(.|\n)*0 of 7 tensors fit"):
        fit(network(), other, what="x")


def test_something_else_under_a_tensors_name_is_refused() -> None:
    given: dict[str, Any] = {**state(), "0.bias": [0.0, 0.0, 0.0, 0.0]}

    with pytest.raises(CheckpointError, match=r"0\.bias a list, not \(4,\)"):
        fit(network(), given, what="x")


def test_a_computed_tensor_without_values_is_a_mistake_of_the_caller() -> None:
    with torch.device("meta"):
        module = network()
    given = state()

    with pytest.raises(ValueError, match=r"0\.bias must be computed before the fit"):
        fit(module, given, what="x", computed=("0.bias",))
