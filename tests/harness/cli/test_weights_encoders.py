"""`bench weights add` with files of every encoder's layout, and with those of others.

Files are hollow: the right names and shapes, each tensor one number. Nothing in an entry's check
may depend on what the numbers are.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from sepbench_testkit.audio_encoders import GOLDEN, hollow

from sepbench.baselines.weights import WEIGHTS
from sepbench.harness.run.catalogs import ENCODERS

Bench = Callable[..., Any]
State = Mapping[str, torch.Tensor]
needs_passt = pytest.mark.skipif(
    importlib.util.find_spec("hear21passt") is None,
    reason="needs hear21passt: pip install 'sepbench[passt]'",
)


def encoder(name: str, file: str = "state_dict.json") -> State:
    return hollow(GOLDEN / name / file)


def cnn14(bins: int) -> Any:
    mel = torch.zeros(()).expand(bins, 64)
    return {"model": {**encoder("cnn14"), "logmel_extractor.melW": mel}}


def wav2vec2(width: int, *, stable: bool) -> State:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=width,
        num_hidden_layers=2,  # the check takes as many as there are
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        feat_extract_norm="layer" if stable else "group",
        do_stable_layer_norm=stable,
        conv_bias=stable,
    )
    with torch.device("meta"):
        network = Wav2Vec2Model(config)
    return {n: torch.zeros(()).expand(t.shape) for n, t in network.state_dict().items()}


def passt() -> State:
    from sepbench.baselines.encoders.passt import _quiet

    with _quiet():
        from hear21passt.models.passt import get_model

        state = get_model(arch="passt_s_swa_p16_128_ap476", pretrained=False).state_dict()
    return {name: torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()}


def stsed(file: str) -> Any:
    return {"state_dict": hollow(GOLDEN.parent / "stsed" / file)}


MADE: dict[str, Callable[[], Any]] = {
    "cnn14": lambda: cnn14(513),
    "cnn14-16k": lambda: cnn14(257),
    "vggish": lambda: encoder("vggish"),
    "vggish-pca": lambda: encoder("vggish", "pca_state_dict.json"),
    "ast": lambda: encoder("ast"),
    "wav2vec2": lambda: wav2vec2(1024, stable=True),
    "wav2vec2-base": lambda: wav2vec2(768, stable=False),
    "wav2clip": lambda: encoder("wav2clip"),
    "audiomae": lambda: {"model": encoder("audiomae")},
    "passt": passt,
    "clap": lambda: {"state_dict": hollow(GOLDEN.parent / "clap" / "clap_state_dict.json")},
    "htsat": lambda: stsed("sed_state_dict.json"),
    "stsed": lambda: stsed("separator_state_dict.json"),
    "stsed-held-out": lambda: stsed("separator_state_dict.json"),
    "stsed-cnn14": lambda: stsed("separator_state_dict.json"),
}
# The likeliest mistakes: the other one of a pair.
OTHERS = {
    "cnn14": "cnn14-16k",
    "cnn14-16k": "cnn14",
    "vggish": "vggish-pca",
    "vggish-pca": "vggish",
    "ast": "audiomae",
    "wav2vec2": "wav2vec2-base",
    "wav2vec2-base": "wav2vec2",
    "wav2clip": "vggish",
    "audiomae": "ast",
    "passt": "ast",
    "clap": "htsat",
    "htsat": "stsed",
    "stsed": "htsat",
    "stsed-held-out": "htsat",
    "stsed-cnn14": "cnn14",
}
NAMES = [
    pytest.param(name, marks=needs_passt) if name == "passt" else pytest.param(name)
    for name in MADE
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def write(path: Path, name: str) -> Path:
    """A hollow file of an entry, in the form of the published one."""
    held = MADE[name]()
    if WEIGHTS[name].files[0].name.endswith(".safetensors"):
        save_file({key: tensor.contiguous() for key, tensor in held.items()}, path)
    else:
        torch.save(held, path)
    return path


def test_every_encoder_names_weights_that_have_an_entry_and_a_licence() -> None:
    for name in ENCODERS.entries:
        made = ENCODERS.load(name)
        for entry in getattr(made, "weights", {}).values():
            assert WEIGHTS[entry].licence or WEIGHTS[entry].kind == "tokenizer", entry
        assert made.card.licence, name


def test_every_entry_of_an_encoder_or_detector_is_tried_here() -> None:
    asked = {
        entry
        for name in ENCODERS.entries
        for entry in getattr(ENCODERS.load(name), "weights", {}).values()
    }
    texts = {"clip-vit-b32", "clip-vit-b32-tokenizer", "roberta-base"}

    assert asked - texts <= set(MADE)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_the_right_layout_is_installed(
    bench: Bench, folder: Path, tmp_path: Path, name: str
) -> None:
    file = write(tmp_path / "given", name)
    published = WEIGHTS[name].files[0].sha256 is not None

    done = bench("weights", "add", name, file, "--link", *(["--other"] if published else []))

    record = json.loads((folder / name / "record.json").read_text("utf-8"))
    assert done.code == 0, done.err
    assert record["check"] in done.out
    assert (folder / name / WEIGHTS[name].files[0].name).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_layout_is_refused_in_words(
    bench: Bench, folder: Path, tmp_path: Path, name: str
) -> None:
    file = write(tmp_path / "given", OTHERS[name])

    done = bench("weights", "add", name, file)

    assert done.code == 1
    assert str(file) in done.err
    assert "Traceback" not in done.err
    assert not (folder / name).exists()
