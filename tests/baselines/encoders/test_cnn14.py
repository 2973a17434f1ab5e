"""CNN14 of PANNs against the published network, at both rates."""

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

from sepbench.baselines.encoders.cnn14 import Cnn14, Cnn14At16k, check, check_16k
from sepbench.baselines.encoders.log_mel import PANNS, PANNS_16K, LogMel
from sepbench.harness.errors import CheckpointError

LAYOUT = GOLDEN / "cnn14" / "state_dict.json"
STORED = {"cnn14": Cnn14, "cnn14_16k": Cnn14At16k}
CASES = [(name, case) for name in STORED for case in "abc"]


@pytest.fixture(scope="module")
def encoders() -> dict[str, Cnn14]:
    state = fill_state_dict(LAYOUT, 1)  # of both: names and shapes are the same
    loaded = {name: kind() for name, kind in STORED.items()}
    for encoder in loaded.values():
        encoder.load_state(state, "cpu")
    return loaded


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """As published: front end and counters beside the weights, all under "model"."""
    front_end = {
        "spectrogram_extractor.stft.conv_real.weight": torch.zeros(1).expand(513, 1, 1024),
        "spectrogram_extractor.stft.conv_imag.weight": torch.zeros(1).expand(513, 1, 1024),
        "logmel_extractor.melW": torch.zeros(1).expand(513, 64),
    }
    torch.save({"iteration": 1, "model": hollow(LAYOUT) | front_end}, tmp_path / "cnn14.pth")
    return tmp_path / "cnn14.pth"


@pytest.mark.parametrize(("name", "front"), [("cnn14", PANNS), ("cnn14_16k", PANNS_16K)])
@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_log_mel_is_the_published_one(name: str, front: LogMel, case: str) -> None:
    clip = golden_clips(name)[case]
    step = golden_facts(name)["cases"][case]["frame_step"]

    frames = front(clip[None])[0, ::step]

    torch.testing.assert_close(frames, golden_arrays(name)[f"{case}_logmel"], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_embedding_and_probabilities_are_the_published_ones(
    encoders: dict[str, Cnn14], name: str, case: str
) -> None:
    encoder, golden = encoders[name], golden_arrays(name)

    embedding = encoder.encode_audio([golden_clips(name)[case]])
    probabilities = encoder._network.classify(embedding)

    assert embedding.shape == (1, encoder.card.dimension)
    torch.testing.assert_close(embedding[0], golden[f"{case}_embedding"], atol=1e-5, rtol=0)
    torch.testing.assert_close(probabilities[0], golden[f"{case}_clipwise"], atol=1e-5, rtol=0)


def test_two_clips_of_one_length_give_what_each_gives_alone(encoders: dict[str, Cnn14]) -> None:
    clips = [tones(21, 16_000, 16_000), 0.1 * tones(22, 16_000, 16_000)]
    encoder = encoders["cnn14_16k"]

    together = encoder.encode_audio(clips)

    alone = torch.cat([encoder.encode_audio([clip]) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_a_short_clip_is_padded_to_a_second_and_a_long_one_goes_in_whole(
    encoders: dict[str, Cnn14],
) -> None:
    encoder = encoders["cnn14_16k"]
    short, long = tones(23, 3000, 16_000), tones(24, 50_000, 16_000)
    padded = torch.cat([short, torch.zeros(13_000)])

    found = encoder.encode_audio([short, long, padded, long[:40_000]])

    assert found.isfinite().all()
    torch.testing.assert_close(found[0], found[2], atol=1e-5, rtol=0)
    assert not torch.allclose(found[1], found[3], atol=1e-4)


def test_a_published_checkpoint_is_recognised(checkpoint: Path) -> None:
    assert check(checkpoint) == "CNN14 at 32 kHz"


def test_a_checkpoint_of_the_other_rate_is_refused(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="another sample rate than 16000 Hz"):
        check_16k(checkpoint)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    state = hollow(LAYOUT)
    del state["conv_block6.conv2.weight"]
    torch.save({"model": state | {"att_block.att.weight": torch.zeros(2)}}, tmp_path / "cnn.pth")

    with pytest.raises(CheckpointError, match=r"conv_block6.conv2.weight[\s\S]*att_block"):
        check(tmp_path / "cnn.pth")


def test_something_else_under_model_is_refused(tmp_path: Path) -> None:
    torch.save({"model": torch.zeros(3)}, tmp_path / "cnn.pth")

    with pytest.raises(CheckpointError, match="not a state dict"):
        check(tmp_path / "cnn.pth")
