"""wav2vec 2.0 against the way transformers itself loads, scales and runs it, on small models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sepbench_testkit.audio_encoders import tones
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from sepbench.baselines.encoders.wav2vec2 import Wav2Vec2, check, check_base, scaled
from sepbench.harness.errors import CheckpointError


class Small(Wav2Vec2):
    """Of width 64: one head, as wide as in the published models."""

    card = replace(Wav2Vec2.card, dimension=64)


def small_model(*, stable: bool) -> Wav2Vec2Model:
    config = Wav2Vec2Config(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=96,
        feat_extract_norm="layer" if stable else "group",
        do_stable_layer_norm=stable,
        conv_bias=stable,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return Wav2Vec2Model(config).eval()


@pytest.fixture(scope="module", params=["stable", "group"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of either form, saved by transformers."""
    path = tmp_path_factory.mktemp(request.param)
    small_model(stable=request.param == "stable").save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Small:
    loaded = Small(checkpoint=str(folder / "model.safetensors"))
    loaded.load("cpu")
    return loaded


def test_a_clip_is_the_mean_over_time_of_what_transformers_gives(
    folder: Path, encoder: Small
) -> None:
    clip = 0.1 * tones(21, 16_000, 16_000) + 0.05
    reference = Wav2Vec2Model.from_pretrained(folder).eval()
    extract = Wav2Vec2FeatureExtractor(do_normalize=True)
    values = extract(clip.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        expected = reference(values).last_hidden_state.mean(1)

    found = encoder.encode_audio([clip])

    assert found.shape == (1, 64)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_two_clips_of_one_length_give_what_each_gives_alone(encoder: Small) -> None:
    clips = [tones(22, 8000, 16_000), 0.1 * tones(23, 8000, 16_000)]

    together = encoder.encode_audio(clips)

    alone = torch.cat([encoder.encode_audio([clip]) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_short_silent_and_long_clips_have_embeddings(encoder: Small) -> None:
    found = encoder.encode_audio([torch.ones(1), torch.zeros(4000), tones(24, 50_000, 16_000)])

    assert found.shape == (3, 64)
    assert found.isfinite().all()


def test_gain_and_offset_do_not_count(encoder: Small) -> None:
    clip = tones(25, 8000, 16_000)

    found = encoder.encode_audio([clip, 0.01 * clip + 0.2])

    torch.testing.assert_close(found[0], found[1], atol=5e-3, rtol=0)


def test_without_scaling_an_offset_counts(tmp_path: Path) -> None:
    # The other form normalises over time after its first convolution, and hears no offset.
    small_model(stable=True).save_pretrained(tmp_path)
    clip = tones(27, 8000, 16_000)
    unscaled = Small(checkpoint=str(tmp_path / "model.safetensors"), scale=False)
    unscaled.load("cpu")

    found = unscaled.encode_audio([clip, clip + 0.2])

    assert not torch.allclose(found[0], found[1], atol=1e-2)


def test_the_names_of_older_files_and_of_the_training_are_read(
    folder: Path, encoder: Small, tmp_path: Path
) -> None:
    state = {
        "wav2vec2."
        + name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    torch.save(state | {"quantizer.codevectors": torch.zeros(2)}, tmp_path / "pytorch_model.bin")
    clip = tones(26, 4000, 16_000)
    older = Small(checkpoint=str(tmp_path / "pytorch_model.bin"))

    older.load("cpu")

    assert "wav2vec2.encoder.pos_conv_embed.conv.weight_g" in state
    torch.testing.assert_close(older.encode_audio([clip]), encoder.encode_audio([clip]))


def test_scaling_gives_mean_0_and_variance_1() -> None:
    found = scaled(torch.tensor([1.0, 3.0]))

    torch.testing.assert_close(found, torch.tensor([-1.0, 1.0]))


def test_scaled_silence_is_silent() -> None:
    assert bool((scaled(torch.zeros(5)) == 0).all())


@pytest.mark.parametrize(("checked", "width"), [(check, 1024), (check_base, 768)])
def test_a_model_of_another_width_is_refused_with_the_encoder_that_takes_it(
    folder: Path, checked: object, width: int
) -> None:
    assert callable(checked)
    with pytest.raises(CheckpointError, match=f"of width 64, not a wav2vec 2.0 of width {width}"):
        checked(folder / "model.safetensors")


def test_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "net.bin")

    with pytest.raises(CheckpointError, match="a network of another kind"):
        check(tmp_path / "net.bin")


def test_a_missing_tensor_is_named(folder: Path, tmp_path: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["encoder.layers.1.final_layer_norm.bias"]
    torch.save(state, tmp_path / "net.bin")

    with pytest.raises(CheckpointError, match=r"layers\.1\.final_layer_norm\.bias"):
        Small(checkpoint=str(tmp_path / "net.bin")).load("cpu")
