"""The separator asked through CNN14, with small networks in the places of the large ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sepbench.baselines.encoders import cnn14
from sepbench.baselines.encoders.log_mel import PANNS
from sepbench.baselines.stsed import adapter
from sepbench.baselines.stsed.cnn14 import Cnn14Segments, StSedCnn14
from sepbench.baselines.stsed.network_separator import Separator, SeparatorConfig
from sepbench.harness.api import AudioEncoder, Example, Query, QuerySeparator
from sepbench.harness.errors import BaselineLoadError, CheckpointError, QueryError, SettingError

RATE = 32_000


class Small(nn.Module):
    """In CNN14's place: peak and mean over time, then one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 2048)

    def forward(self, log_mel: Tensor) -> Tensor:
        return torch.relu(self.layer(log_mel.amax(1) + log_mel.mean(1)))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Small:
    torch.manual_seed(0)
    small = Small().eval()
    monkeypatch.setattr(cnn14, "build", lambda state, front, what: small)
    return small


@pytest.fixture
def model(network: Small, monkeypatch: pytest.MonkeyPatch) -> StSedCnn14:
    separator = Separator(SeparatorConfig(widths=(2, 4))).eval()
    monkeypatch.setattr(adapter, "separator_of", lambda state, what: separator)
    monkeypatch.setattr(cnn14, "checkpoint_path", lambda given, name: name)
    monkeypatch.setattr(cnn14, "read_state", lambda path: {})
    made = StSedCnn14()
    made.load_state({}, "cpu")
    return made


def noise(samples: int, seed: int = 0, level: float = 0.1) -> Tensor:
    return level * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def ask(*clips: Tensor) -> Query:
    return Query(
        examples=tuple(
            Example(clip_id=f"clip-{k}", waveform=clip[None], sample_rate=RATE)
            for k, clip in enumerate(clips)
        )
    )


def test_it_keeps_the_harnesss_contracts() -> None:
    model = StSedCnn14(threshold=0.2, at_once=2)

    assert isinstance(model, QuerySeparator)
    assert isinstance(model.audio_encoder, AudioEncoder)
    assert isinstance(model.audio_encoder, Cnn14Segments)
    assert (model.audio_encoder.threshold, model.audio_encoder.at_once) == (0.2, 2)


@torch.inference_mode()
def test_a_query_is_the_mean_over_loud_segments_then_over_clips(
    model: StSedCnn14, network: Small
) -> None:
    first, quiet, second = noise(64_000), noise(64_000, 1, level=1e-3), noise(64_000, 2)
    long, short = torch.cat([first, quiet, second, noise(9_000, 3)]), noise(20_000, 4)

    (condition,) = model.condition([ask(long, short)])

    padded = torch.nn.functional.pad(short, (0, RATE - 20_000))
    one, other, third = (network(PANNS(clip[None]))[0] for clip in (first, second, padded))
    expected = ((one + other) / 2 + third) / 2
    torch.testing.assert_close(condition, expected, atol=1e-4, rtol=1e-5)


@torch.inference_mode()
def test_estimates_depend_on_the_query(model: StSedCnn14) -> None:
    mixture = noise(70_001)[None, None]
    conditions = model.condition([ask(noise(64_000, 1)), ask(noise(64_000, 2, level=0.5))])

    one, other = (model.separate(mixture, condition[None]) for condition in conditions)

    assert one.shape == mixture.shape
    assert one.isfinite().all()
    assert (one - other).abs().max() > 1e-3


def test_batches_of_the_encoder_change_nothing(network: Small) -> None:
    encoder = Cnn14Segments(at_once=2)
    encoder.load_state({}, "cpu")
    clips = [noise(samples, seed) for seed, samples in enumerate((30_000, 200_000, 64_000))]

    together = encoder.encode_audio(clips)
    alone = torch.cat([encoder.encode_audio([clip]) for clip in clips])

    assert together.shape == (3, 2048)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-5)
    assert encoder.encode_audio([]).shape == (0, 2048)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (torch.zeros(64_000), "no 2-s segment louder"),
        (torch.zeros(2, 64_000), "give mono"),
        (torch.full((64_000,), torch.nan), "NaN or infinite"),
    ],
)
def test_clips_without_an_embedding_are_refused(clip: Tensor, words: str, network: Small) -> None:
    encoder = Cnn14Segments()
    encoder.load_state({}, "cpu")

    with pytest.raises(QueryError, match=rf"cnn14: clip 1.*{words}"):
        encoder.encode_audio([noise(64_000), clip])


def test_a_separator_with_the_detector_it_was_trained_with_is_refused() -> None:
    state = {"at_model.sed_model.tscam_conv.weight": torch.zeros(1)}

    with pytest.raises(CheckpointError, match=r"full\.ckpt was trained with .*Use stsed"):
        StSedCnn14().load_state(state, "cpu", what="full.ckpt")


def test_nothing_is_done_before_loading_and_no_setting_is_guessed() -> None:
    with pytest.raises(BaselineLoadError, match="stsed-cnn14"):
        StSedCnn14().separate(torch.zeros(1, 1, 64_000), torch.zeros(1, 2048))
    with pytest.raises(BaselineLoadError, match="cnn14"):
        Cnn14Segments().encode_audio([noise(64_000)])
    with pytest.raises(SettingError, match="at_once"):
        StSedCnn14(at_once=0)
