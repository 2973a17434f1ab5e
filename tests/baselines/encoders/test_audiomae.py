"""Audio-MAE's encoder against the published classes, pre-trained and fine-tuned."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from sepbench_testkit.audio_encoders import GOLDEN, golden_arrays, golden_clips, hollow, tones
from sepbench_testkit.filled import fill_array, fill_state_dict

from sepbench.baselines.encoders.audiomae import AudioMae, check
from sepbench.baselines.encoders.kaldi_fbank import MEAN, STD, image
from sepbench.harness.errors import CheckpointError

FOLDER = GOLDEN / "audiomae"
PRETRAINED = FOLDER / "state_dict.json"
FINETUNED = FOLDER / "finetuned_state_dict.json"


@pytest.fixture(scope="module")
def pretrained() -> AudioMae:
    encoder = AudioMae()
    encoder.load_state(fill_state_dict(PRETRAINED, 1), "cpu")
    return encoder


@pytest.fixture(scope="module")
def finetuned(pretrained: AudioMae) -> AudioMae:
    # Both share most tensors, and filling takes longer than loading.
    shared = pretrained._network.state_dict()
    state = {name: t for name, t in shared.items() if not name.startswith("norm.")}
    encoder = AudioMae()
    encoder.load_state(state | _filled_ends(), "cpu")
    return encoder


def _filled_ends() -> dict[str, torch.Tensor]:
    shapes = {
        "fc_norm.weight": (768,),
        "fc_norm.bias": (768,),
        "head.weight": (527, 768),
        "head.bias": (527,),
    }
    return {name: torch.from_numpy(fill_array(name, shape, 1)) for name, shape in shapes.items()}


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_the_image_is_the_published_one(case: str) -> None:
    found = image(golden_clips("audiomae")[case])[::16, ::4]

    torch.testing.assert_close(found, golden_arrays("audiomae")[f"{case}_fbank"], atol=5e-5, rtol=0)


def test_pretrained_tokens_are_the_published_ones_in_the_published_order(
    pretrained: AudioMae,
) -> None:
    clip = golden_clips("audiomae")["c"]

    with torch.no_grad():
        tokens = pretrained._network.tokens(image(clip)[None])[0, ::32, ::16]

    torch.testing.assert_close(tokens, golden_arrays("audiomae")["c_tokens"], atol=5e-5, rtol=0)


def test_two_clips_in_a_batch_give_the_published_embeddings_of_each(pretrained: AudioMae) -> None:
    clips, golden = golden_clips("audiomae"), golden_arrays("audiomae")

    found = pretrained.encode_audio([clips["a"], clips["b"]])

    expected = torch.stack([golden["a_embedding"], golden["b_embedding"]])
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=0)


def test_the_finetuned_end_gives_the_published_embedding_and_logits(finetuned: AudioMae) -> None:
    golden = golden_arrays("audiomae")

    embedding = finetuned.encode_audio([golden_clips("audiomae")["c"]])
    logits = finetuned._network.classify(embedding)

    torch.testing.assert_close(embedding[0], golden["c_ft_embedding"], atol=5e-5, rtol=0)
    torch.testing.assert_close(logits[0], golden["c_ft_logits"], atol=5e-5, rtol=0)


def test_one_sample_has_an_embedding(pretrained: AudioMae) -> None:
    found = pretrained.encode_audio([torch.ones(1)])

    assert found.shape == (1, 768)
    assert found.isfinite().all()


def test_silence_is_the_floor_of_the_filter_bank() -> None:
    found = image(torch.zeros(200_000))

    floor = (math.log(2**-23) - MEAN) / (2 * STD)
    assert found.unique().tolist() == pytest.approx([floor])


def test_a_long_clip_is_cut_after_1024_frames() -> None:
    clip = tones(25, 180_000, 16_000)
    later = clip.clone()
    later[165_000:] = later[165_000:].flip(0)  # the mean stays

    torch.testing.assert_close(image(clip), image(later), atol=1e-4, rtol=0)


def test_missing_frames_are_zero_before_the_normalisation() -> None:
    found = image(tones(26, 16_000, 16_000))

    assert found.shape == (1024, 128)
    assert found[98:].unique().tolist() == pytest.approx([-MEAN / (2 * STD)])


def test_the_level_counts() -> None:
    clip = tones(27, 8000, 16_000)

    difference = (image(clip) - image(0.1 * clip))[:48].median()

    assert float(difference) == pytest.approx(math.log(100) / (2 * STD), abs=1e-3)


@pytest.mark.parametrize(
    ("layout", "end"), [(PRETRAINED, "pre-trained"), (FINETUNED, "fine-tuned")]
)
def test_both_published_checkpoints_are_recognised(tmp_path: Path, layout: Path, end: str) -> None:
    training = {"decoder_embed.weight": torch.zeros(2), "mask_token": torch.zeros(1, 1, 512)}
    held = {"model": hollow(layout) | training, "args": Namespace(batch_size=1), "epoch": 32}
    torch.save(held, tmp_path / "mae.pth")

    assert check(tmp_path / "mae.pth") == f"Audio-MAE ViT-B, {end}"


def test_a_checkpoint_of_another_size_is_refused(tmp_path: Path) -> None:
    state = hollow(PRETRAINED) | {"pos_embed": torch.zeros(1, 1213, 768)}
    torch.save({"model": state}, tmp_path / "mae.pth")

    with pytest.raises(CheckpointError, match=r"pos_embed \(1, 1213, 768\)"):
        check(tmp_path / "mae.pth")


def test_something_else_under_model_is_refused(tmp_path: Path) -> None:
    torch.save({"model": 3}, tmp_path / "mae.pth")

    with pytest.raises(CheckpointError, match="not a state dict"):
        check(tmp_path / "mae.pth")
