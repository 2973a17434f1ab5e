"""LASSNet.pt: the published form is taken, every other file refused with the reason."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch

from sepbench.baselines.lassnet.layout import check, network_of, read_state
from sepbench.baselines.weights import WEIGHTS
from sepbench.harness.errors import CheckpointError

LAST = "UNet.after_conv2.weight"


class Unknown:
    """Stands for a class of somebody's training script."""


def test_the_official_file_fits(official_file):
    assert check(official_file) == "LASS-Net with its BERT-mini, 63.4 M parameters, 32 kHz"


def test_the_file_is_checked_by_the_function_that_the_table_of_weights_names():
    assert WEIGHTS["lassnet"].check == f"{check.__module__}:{check.__name__}"


def test_tensors_get_the_names_of_the_network(official_file, filled_state):
    state = read_state(official_file)

    extra = "text_embedder.bert_layer.embeddings.position_ids"
    assert set(state) == {*filled_state, extra}
    assert torch.equal(state[LAST], filled_state[LAST])


def test_the_weights_of_the_file_arrive(filled_state, plain_network):
    arrived = plain_network.state_dict()

    assert len(filled_state) == 695
    assert torch.equal(arrived[LAST], filled_state[LAST])
    assert not plain_network.training


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("key", ["", "model"])
def test_bare_and_wrapped_state_dicts_are_read_alike(prefix, key, tmp_path):
    state = OrderedDict({f"{prefix}{LAST}": torch.ones(2)})
    torch.save({key: state} if key else state, tmp_path / "x.pt")

    assert list(read_state(tmp_path / "x.pt")) == [LAST]


def test_other_entries_beside_the_weights_do_not_matter(tmp_path):
    beside = {
        "args": Namespace(lr=3e-4, name="lass"),
        "best": np.float64(8.0),
        "optimizer": {"state": defaultdict(dict), "param_groups": [{"lr": 3e-4}]},
        "epoch": 7,
        "note": None,
    }
    torch.save({"model": {f"module.{LAST}": torch.ones(2)}, **beside}, tmp_path / "x.pt")

    assert list(read_state(tmp_path / "x.pt")) == [LAST]


def test_a_file_that_names_an_unknown_class_is_not_opened(tmp_path):
    torch.save({"model": {}, "extra": Unknown()}, tmp_path / "x.pt")

    with pytest.raises(CheckpointError, match=r"asks to call .*Unknown.*nothing was executed"):
        check(tmp_path / "x.pt")


def test_a_file_cut_short_is_refused(official_file, tmp_path):
    with official_file.open("rb") as file:
        (tmp_path / "LASSNet.pt").write_bytes(file.read(1 << 20))

    with pytest.raises(CheckpointError, match="is damaged"):
        check(tmp_path / "LASSNet.pt")


def test_a_whole_network_in_place_of_its_weights_is_refused(tmp_path):
    torch.save({"model": [1, 2]}, tmp_path / "x.pt")

    with pytest.raises(CheckpointError, match="its 'model' is a list, no mapping"):
        check(tmp_path / "x.pt")


def test_missing_unknown_and_reshaped_tensors_are_named(filled_state):
    state = {**filled_state, LAST: torch.zeros(1, 16, 1, 1), "UNet.extra": torch.zeros(1)}
    del state["text_embedder.linear_layer.0.bias"]

    with pytest.raises(CheckpointError) as caught:
        network_of(state, "mine.pt")

    assert str(caught.value).splitlines() == [
        "mine.pt for lassnet: the checkpoint is made for another network or version.",
        "  missing (1): text_embedder.linear_layer.0.bias",
        "  unknown (1): UNet.extra",
        f"  other shape (1): {LAST} (1, 16, 1, 1), not (1, 32, 1, 1)",
        "  693 of 695 tensors fit.",
    ]


def test_the_checkpoint_of_another_system_is_refused(tmp_path):
    torch.save({"state_dict": {"ss_model.base.bn0.weight": torch.ones(3)}}, tmp_path / "x.ckpt")

    with pytest.raises(CheckpointError, match=r"another network[\s\S]*missing \(695\)"):
        check(tmp_path / "x.ckpt")
