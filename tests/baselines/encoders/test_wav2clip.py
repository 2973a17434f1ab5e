"""Wav2CLIP against the published network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sepbench_testkit.audio_encoders import (
    GOLDEN,
    golden_arrays,
    golden_clips,
    golden_facts,
    hollow,
    tones,
)
from sepbench_testkit.filled import fill_state_dict

from sepbench.baselines.encoders.network_wav2clip import spectrogram
from sepbench.baselines.encoders.wav2clip import Wav2Clip, check
from sepbench.harness.errors import CheckpointError

LAYOUT = GOLDEN / "wav2clip" / "state_dict.json"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return fill_state_dict(LAYOUT, 1)


@pytest.fixture(scope="module")
def encoder(state: dict[str, torch.Tensor]) -> Wav2Clip:
    loaded = Wav2Clip()
    loaded.load_state(state, "cpu")
    return loaded


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_spectrogram_is_the_published_one(case: str) -> None:
    step = golden_facts("wav2clip")["cases"][case]["frame_step"]

    found = spectrogram(golden_clips("wav2clip")[case][None])[0, 0, ::4, ::step]

    torch.testing.assert_close(found, golden_arrays("wav2clip")[f"{case}_spec"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_embedding_is_the_published_one(encoder: Wav2Clip, case: str) -> None:
    found = encoder.encode_audio([golden_clips("wav2clip")[case]])

    expected = golden_arrays("wav2clip")[f"{case}_embedding"]
    assert found.shape == (1, encoder.card.dimension)
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=0)


def test_two_clips_in_a_batch_give_what_the_original_gives_for_each_alone(
    encoder: Wav2Clip,
) -> None:
    loud, faint = (
        signal["gain"] * tones(signal["seed"], signal["samples"], 16_000)
        for signal in golden_facts("wav2clip")["batch_case"]["signals"]
    )

    found = encoder.encode_audio([loud, faint])

    expected = golden_arrays("wav2clip")["single_embedding"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_short_silent_and_long_clips_have_embeddings(encoder: Wav2Clip) -> None:
    clips = [torch.ones(1), torch.zeros(16_000), tones(24, 200_000, 16_000)]

    found = encoder.encode_audio(clips)

    assert found.shape == (3, 512)
    assert found.isfinite().all()


def test_a_file_gives_what_its_tensors_give(
    encoder: Wav2Clip, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    more = {
        "audio_encoder.spectrogram.window": torch.hann_window(512),
        "image_transform.sequential.0.weight": torch.zeros(2, 2),
    }
    torch.save(state | more, tmp_path / "Wav2CLIP.pt")
    clip = tones(25, 8000, 16_000)
    loaded = Wav2Clip(checkpoint=str(tmp_path / "Wav2CLIP.pt"))

    loaded.load("cpu")

    assert check(tmp_path / "Wav2CLIP.pt") == "Wav2CLIP, 512-d"
    torch.testing.assert_close(loaded.encode_audio([clip]), encoder.encode_audio([clip]))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    state = {name.removeprefix("audio_encoder."): t for name, t in hollow(LAYOUT).items()}
    torch.save(state, tmp_path / "resnet.pt")

    with pytest.raises(CheckpointError, match=r"missing[\s\S]*audio_encoder.conv1.weight"):
        check(tmp_path / "resnet.pt")
