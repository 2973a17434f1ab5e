"""Queries, clip lengths and refusals, with small networks in the places of the large ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from transformers import ClapAudioConfig, ClapAudioModel

from sepbench.baselines.encoders.logmel_stats import LogMelStats
from sepbench.baselines.stsed import adapter, encoder
from sepbench.baselines.stsed.adapter import StSed
from sepbench.baselines.stsed.encoder import HtsatLatent
from sepbench.baselines.stsed.latent import loud_segments
from sepbench.baselines.stsed.localise import localise
from sepbench.baselines.stsed.network_sed import SoundEventDetector
from sepbench.baselines.stsed.network_separator import Separator, SeparatorConfig
from sepbench.datasets.audioset import class_names as audioset_classes
from sepbench.harness.api import AudioEncoder, EncoderCard, Example, Query, QuerySeparator
from sepbench.harness.errors import BaselineLoadError, QueryError, SettingError

RATE = 32_000


def noise(samples: int, seed: int = 0, channels: int = 1, level: float = 0.1) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return level * torch.randn(channels, samples, generator=draw)


def ask(*waveforms: torch.Tensor | None, rate: int | None = RATE) -> Query:
    return Query(
        examples=tuple(
            Example(clip_id=f"clip-{number}", waveform=waveform, sample_rate=rate)
            for number, waveform in enumerate(waveforms)
        )
    )


class Loudness:
    """An encoder that tells how loud a clip is, and how often it was asked."""

    card = EncoderCard(name="loudness", kind="audio", dimension=2048, sample_rate=RATE)

    def __init__(self) -> None:
        self.asked = 0

    def load(self, device: str) -> None:
        """Nothing to load."""

    def encode_audio(self, clips: Sequence[torch.Tensor]) -> torch.Tensor:
        self.asked += len(clips)
        return torch.stack([clip.square().mean().expand(2048) for clip in clips])


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> StSed:
    """ST-SED with a small separator and another encoder."""
    torch.manual_seed(0)
    small = Separator(SeparatorConfig(widths=(2, 4)))
    monkeypatch.setattr(adapter, "separator_of", lambda state, what: small.eval())
    made = StSed()
    made.audio_encoder = Loudness()
    made.load_state({}, "cpu")
    return made


@pytest.fixture
def htsat(monkeypatch: pytest.MonkeyPatch) -> HtsatLatent:
    """The encoder with a small detector."""
    torch.manual_seed(0)
    config = ClapAudioConfig(
        patch_embeds_hidden_size=16,
        hidden_size=128,
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 4, 8],
        hidden_dropout_prob=0.0,
    )
    detector = SoundEventDetector(ClapAudioModel(config), dimension=128, classes=5).eval()
    monkeypatch.setattr(encoder, "detector_of", lambda state, what: detector)
    made = HtsatLatent()
    made.load_state({}, "cpu")
    return made


# --- contracts ------------------------------------------------------------------------------


def test_the_model_and_its_encoder_keep_the_harnesss_contracts() -> None:
    model = StSed()

    assert isinstance(model, QuerySeparator)
    assert isinstance(model.audio_encoder, AudioEncoder)
    assert set(model.weights) == {"checkpoint", "sed_checkpoint"}


@pytest.mark.parametrize(
    "settings", [{"overlap": "yes"}, {"overlap": 1}, {"threshold": -1.0}, {"at_once": 0}]
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=next(iter(settings))):
        StSed(**settings)


def test_an_encoder_whose_vectors_do_not_fit_is_refused() -> None:
    model = StSed()
    model.audio_encoder = LogMelStats()

    with pytest.raises(SettingError, match="logmel-stats"):
        model.load("cpu")


def test_nothing_is_separated_before_loading() -> None:
    with pytest.raises(BaselineLoadError, match="load"):
        StSed().separate(torch.zeros(1, 1, 64_000), torch.zeros(1, 2048))


# --- queries --------------------------------------------------------------------------------


def test_clips_weigh_the_same_whatever_their_length(model: StSed) -> None:
    long, short = noise(320_000, level=0.1), noise(64_000, level=0.2)

    (condition,) = model.condition([ask(long, short)])

    expected = (long.square().mean() + short.square().mean()) / 2
    torch.testing.assert_close(condition, expected.expand(2048), atol=1e-6, rtol=0)


def test_examples_are_mixed_down(model: StSed) -> None:
    stereo = noise(64_000, channels=2)

    (condition, mono) = model.condition([ask(stereo), ask(stereo.mean(0, keepdim=True))])

    assert torch.equal(condition, mono)


def test_a_clip_that_queries_share_is_encoded_once(model: StSed) -> None:
    asked = model.audio_encoder
    first, second = (
        Example(clip_id=name, waveform=noise(64_000, seed=k), sample_rate=RATE, sha256=name)
        for k, name in enumerate("ab")
    )

    model.condition([Query(examples=(first,)), Query(examples=(first, second))])
    model.condition([Query(examples=(second,))])

    assert isinstance(asked, Loudness)
    assert asked.asked == 2


def test_a_silent_example_is_left_out_of_the_mean(model: StSed) -> None:
    clip = noise(64_000)

    (alone, beside) = model.condition([ask(clip), ask(torch.zeros(1, 64_000), clip)])

    assert torch.equal(alone, beside)


def test_a_query_of_which_nothing_is_left_is_refused(model: StSed) -> None:
    with pytest.raises(QueryError, match=r"nothing is left of the query.*clip-0, clip-1"):
        model.condition([ask(torch.zeros(1, 64_000), noise(128_000, level=1e-4))])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (Query(text="a dog"), "needs audio examples"),
        (ask(None), "not loaded"),
        (ask(noise(88_200), rate=44_100), "at 44100 Hz; resample it to 32000 Hz"),
        (ask(torch.full((1, 64_000), torch.nan)), "NaN"),
        (ask(noise(512)), "512 samples"),
        (ask(torch.zeros(1, 0)), "0 samples"),
    ],
)
def test_queries_that_cannot_be_heard_are_refused(query: Query, words: str, model: StSed) -> None:
    with pytest.raises(QueryError, match=words):
        model.condition([query])


# --- mixtures -------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("length", [1, 40_000, 64_000, 150_001])
def test_estimates_are_as_long_as_their_mixtures(length: int, overlap: bool, model: StSed) -> None:
    model.overlap = overlap

    with torch.inference_mode():
        estimate = model.separate(noise(length)[None], torch.randn(1, 2048))

    assert estimate.shape == (1, 1, length)
    assert estimate.isfinite().all()


@torch.inference_mode()
def test_channels_are_separated_one_by_one(model: StSed) -> None:
    stereo, conditions = noise(70_000, channels=4).reshape(2, 2, -1), torch.randn(2, 2048)

    together = model.separate(stereo, conditions)
    left = model.separate(stereo[:, :1], conditions)

    torch.testing.assert_close(together[:, :1], left, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_a_silent_mixture_gives_silence(model: StSed) -> None:
    estimate = model.separate(torch.zeros(1, 1, 100_000), torch.randn(1, 2048))

    assert estimate.abs().max() == 0


@torch.inference_mode()
def test_compiled_it_computes_the_same(model: StSed, monkeypatch: pytest.MonkeyPatch) -> None:
    # Traced as for any backend, without the minute that the one for C++ takes.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    mixture, condition = noise(64_000)[None], torch.randn(1, 2048)
    before = model.separate(mixture, condition)

    model.compile_network()
    after = model.separate(mixture, condition)

    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


# --- the encoder ----------------------------------------------------------------------------


def test_batches_of_the_encoder_change_nothing(htsat: HtsatLatent) -> None:
    clips = [noise(samples, seed)[0] for seed, samples in enumerate((30_000, 200_000, 64_000))]

    together = htsat.encode_audio(clips)
    alone = torch.cat([htsat.encode_audio([clip]) for clip in clips])

    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("samples", [513, 63_999, 327_680, 700_000])
def test_clips_of_any_length_have_a_latent(samples: int, htsat: HtsatLatent) -> None:
    latent = htsat.encode_audio([noise(samples)[0]])

    assert latent.shape == (1, 128)
    assert latent.isfinite().all()


def test_quiet_segments_and_the_tail_do_not_count(htsat: HtsatLatent) -> None:
    loud, quiet, tail = noise(64_000)[0], noise(64_000, level=1e-3)[0], noise(50_000)[0]

    found = htsat.encode_audio([loud, torch.cat([quiet, loud, tail])])

    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=0)


def test_the_threshold_is_strict_and_counts_per_second() -> None:
    level = (0.1 / 64_000) ** 0.5
    clip = torch.full((128_000,), 0.99 * level)
    clip[64_000:] *= 1.02

    assert loud_segments(clip).shape == (1, 64_000)
    assert loud_segments(clip[64_000:96_000]).shape == (1, 32_000)
    assert loud_segments(clip[:32_000]).shape == (0, 32_000)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (torch.zeros(64_000), "no 2-s segment louder"),
        (torch.zeros(2, 64_000), "give mono"),
        (torch.ones(100), "100 samples"),
        (torch.full((64_000,), torch.inf), "NaN or infinite"),
    ],
)
def test_clips_without_a_latent_are_refused(
    clip: torch.Tensor, words: str, htsat: HtsatLatent
) -> None:
    with pytest.raises(QueryError, match=rf"clip 1.*{words}"):
        htsat.encode_audio([noise(64_000)[0], clip])


def test_an_encoder_that_is_not_loaded_says_so() -> None:
    with pytest.raises(BaselineLoadError, match="htsat"):
        HtsatLatent().encode_audio([noise(64_000)[0]])


@pytest.mark.parametrize("samples", [512, 327_680])
def test_the_detector_says_which_lengths_it_takes(samples: int, htsat: HtsatLatent) -> None:
    with pytest.raises(QueryError, match=r"513 to 327679"):
        htsat.detect(noise(samples))


def test_events_are_told_for_every_frame_of_the_grid(htsat: HtsatLatent) -> None:
    found = htsat.detect(noise(327_679))

    assert found.clipwise.shape == (1, 5)
    assert found.framewise.shape == (1, 1024, 5)
    assert ((found.framewise > 0) & (found.framewise < 1)).all()


def test_probabilities_of_clips_do_not_depend_on_their_batch(htsat: HtsatLatent) -> None:
    clips = [noise(samples, seed)[0] for seed, samples in enumerate((513, 200_000, 64_000, 64_000))]

    together = htsat.clipwise(clips)
    alone = torch.cat([htsat.clipwise([clip]) for clip in clips])

    assert together.shape == (4, 5)
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    torch.testing.assert_close(together[1], htsat.detect(clips[1][None]).clipwise[0])


def test_a_long_clip_is_heard_in_equal_pieces(htsat: HtsatLatent) -> None:
    clip = noise(327_681)[0]  # one sample more than two pieces hold

    found = htsat.clipwise([clip])

    halves = htsat.detect(clip[:-1].reshape(2, -1)).clipwise
    torch.testing.assert_close(found, halves.mean(0, keepdim=True), atol=1e-6, rtol=0)


def test_silence_has_probabilities_and_no_clips_have_none(htsat: HtsatLatent) -> None:
    silent, none = htsat.clipwise([torch.zeros(320_000)]), htsat.clipwise([])

    assert silent.isfinite().all()
    assert none.shape == (0, 527)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (torch.zeros(2, 64_000), "give mono"),
        (torch.ones(512), "512 samples"),
        (torch.full((64_000,), torch.nan), "NaN or infinite"),
    ],
)
def test_clips_that_say_nothing_are_refused(
    clip: torch.Tensor, words: str, htsat: HtsatLatent
) -> None:
    with pytest.raises(QueryError, match=rf"clip 1.*{words}"):
        htsat.clipwise([noise(64_000)[0], clip])
    with pytest.raises(QueryError, match=words):
        htsat.locate(clip, 0)


@pytest.mark.parametrize("length", [64_000, 160_000, 320_000, 327_679])
def test_a_class_is_located_in_seconds(length: int, htsat: HtsatLatent) -> None:
    clip = noise(length)[0]

    found = htsat.locate(clip, 3)

    (located,) = localise(htsat.detector, clip[None], [3])
    assert (found.start, found.end) == (located.begin / RATE, located.end / RATE)
    assert 0 <= found.start < found.end <= length / RATE
    assert found.end - found.start == pytest.approx(2.0)
    assert found.framewise.shape == (length // 320,)
    assert ((found.framewise > 0) & (found.framewise < 1)).all()


def test_classes_have_the_names_that_the_corpus_has() -> None:
    names = HtsatLatent().class_names

    assert names == tuple(audioset_classes().values())
    assert (len(names), names[0], names[486]) == (527, "Speech", "Creak")


def test_clips_in_which_nothing_can_be_located_are_refused(htsat: HtsatLatent) -> None:
    with pytest.raises(QueryError, match="no segment"):
        localise(htsat.detector, noise(63_999), [0])
    with pytest.raises(QueryError, match=r"513 to 327679 samples .*not of 327680"):
        htsat.locate(noise(327_680)[0], 0)
    with pytest.raises(QueryError, match="no class 5, only 0 to 4"):
        localise(htsat.detector, noise(64_000), [5])
