from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest
import torch

from sepbench.baselines.audiosep.layout import (
    FIXED,
    build_network,
    check,
    check_alone,
    read_parts,
)
from sepbench.harness.errors import CheckpointError

POSITIONS = "query_encoder.model.text_branch.embeddings.position_ids"


def save(folder, contents):
    path = folder / "audiosep.ckpt"
    torch.save(contents, path)
    return path


def prefixed(separator):
    return {f"ss_model.{name}": tensor for name, tensor in separator.items()} | {
        POSITIONS: torch.arange(514)[None],
        "query_encoder.model.logit_scale_a": torch.tensor(1.0),
    }


@pytest.mark.parametrize("form", ["training", "flat", "bare"])
def test_every_published_form_gives_the_same_separator(tmp_path, separator_state, form):
    fixed = {name: torch.zeros(2) for name in FIXED}
    full = {**separator_state, **fixed}
    contents = {
        "training": {
            "epoch": 3,
            "optimizer_states": [{"state": {0: torch.zeros(3)}}],
            "state_dict": prefixed(full),
        },
        "flat": prefixed(full),
        "bare": full,
    }[form]

    parts = read_parts(save(tmp_path, contents))
    network = build_network(parts.separator, what="file")

    assert set(parts.encoder) == (set() if form == "bare" else {"logit_scale_a"})
    assert network.state_dict().keys() == separator_state.keys()
    assert all(torch.equal(t, separator_state[n]) for n, t in network.state_dict().items())
    assert not network.training


def test_a_lone_separator_is_what_the_clip_variant_takes_and_the_others_do_not(
    tmp_path, separator_state
):
    alone = save(tmp_path, separator_state)

    assert check_alone(alone) == "AudioSep's separator alone, 327 tensors"
    with pytest.raises(CheckpointError, match=r"without its CLAP.*clap_checkpoint=FILE"):
        check(alone)


def test_the_clip_variant_refuses_a_separator_with_a_clap(tmp_path, separator_state):
    with pytest.raises(CheckpointError, match="trained with the CLAP that it holds"):
        check_alone(save(tmp_path, prefixed(separator_state)))


def test_a_clap_without_its_audio_tower_is_refused(tmp_path, separator_state, clap_state):
    text = {name: t for name, t in clap_state.items() if "audio" not in name}
    state = prefixed(separator_state)
    state |= {f"query_encoder.model.{name}": tensor for name, tensor in text.items()}

    with pytest.raises(CheckpointError, match="clap-audio"):
        check(save(tmp_path, state))


def test_what_a_training_script_leaves_beside_the_weights_is_tolerated(tmp_path, separator_state):
    left = {"hyper_parameters": Namespace(lr=1e-3), "callbacks": {"best": np.float64(1.0)}}

    parts = read_parts(save(tmp_path, {"state_dict": prefixed(separator_state), **left}))

    assert parts.separator.keys() == separator_state.keys()


def test_the_check_refuses_a_query_encoder_that_is_no_clap(tmp_path, separator_state):
    with pytest.raises(CheckpointError, match="clap-text"):
        check(save(tmp_path, prefixed(separator_state)))


def test_missing_and_misshapen_tensors_are_named(tmp_path, separator_state):
    state = dict(separator_state)
    del state["base.after_conv.bias"]
    state["base.bn0.weight"] = torch.ones(513)

    with pytest.raises(CheckpointError) as refused:
        check(save(tmp_path, state))

    assert "missing (1): base.after_conv.bias" in str(refused.value)
    assert "base.bn0.weight (513,), not (1025,)" in str(refused.value)
    assert len(str(refused.value).splitlines()) <= 10


def test_tensors_nobody_knows_are_named(tmp_path, separator_state):
    state = {**separator_state, "base.extra.weight": torch.ones(1)}

    with pytest.raises(CheckpointError, match=r"unknown \(1\): base.extra.weight"):
        check(save(tmp_path, state))


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"module.text_encoder.weight": torch.ones(1)}, "holds module.text_encoder.weight, where"),
        ({"state_dict": {}}, "is no AudioSep checkpoint: it holds nothing"),
        ({"state_dict": 3}, "its 'state_dict' is no mapping"),
        (
            {"ss_model.base.x": torch.ones(1), "clap.x": torch.ones(1)},
            "holds clap.x, where only names with ss_model. or query_encoder.model. are expected",
        ),
    ],
)
def test_other_architectures_are_named(tmp_path, contents, words):
    with pytest.raises(CheckpointError, match=words):
        check(save(tmp_path, contents))
