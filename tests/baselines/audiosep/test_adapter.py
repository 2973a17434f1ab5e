from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sepbench_testkit.filled import fill_state_dict, gliding_tones
from sepbench_testkit.tokenizers import write_tokenizer
from torchaudio.functional import resample

from sepbench.baselines.audiosep.adapter import AudioSepClap, AudioSepClip, AudioSepHive
from sepbench.harness.api import Example, Query, QuerySeparator
from sepbench.harness.errors import (
    BaselineLoadError,
    CheckpointError,
    MissingWeightsError,
    QueryError,
    SettingError,
)

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "audiosep"
MODELS = [AudioSepClap, AudioSepHive, AudioSepClip]


@pytest.fixture(scope="module")
def files(tmp_path_factory, separator_state, clap_state):
    """A whole checkpoint as published, the separator alone, and a tokenizer."""
    folder = tmp_path_factory.mktemp("audiosep")
    state = {f"ss_model.{name}": tensor for name, tensor in separator_state.items()}
    state |= {f"query_encoder.model.{name}": tensor for name, tensor in clap_state.items()}
    torch.save({"state_dict": state, "optimizer_states": []}, folder / "whole.ckpt")
    torch.save(separator_state, folder / "bare.ckpt")
    return {
        "whole": str(folder / "whole.ckpt"),
        "bare": str(folder / "bare.ckpt"),
        "tokenizer": str(write_tokenizer(folder / "tokenizer", "roberta")),
    }


@pytest.fixture(scope="module")
def model(files):
    loaded = AudioSepClap(checkpoint=files["whole"], tokenizer=files["tokenizer"])
    loaded.load("cpu")
    return loaded


def sound(seed, samples=32_000):
    return torch.from_numpy(gliding_tones(seed, 1, samples, 32_000))


def heard(*waveforms):
    examples = [
        Example(clip_id=f"clip-{i}", waveform=w, sample_rate=32_000)
        for i, w in enumerate(waveforms)
    ]
    return Query(examples=tuple(examples))


@pytest.mark.parametrize("made", MODELS)
def test_every_model_answers_single_queries_at_32_khz(made):
    assert isinstance(made(), QuerySeparator)
    assert (made().card.sample_rate, made().card.channels) == (32_000, 1)
    assert made().card.min_samples == 1025


@pytest.mark.parametrize("made", MODELS)
def test_every_model_takes_words_and_sounds_alone_and_together(made):
    assert made.card.query_kinds == ("text", "label", "audio", "text+audio")


@pytest.mark.parametrize(
    ("chunking", "on_card"), [("harness", "harness"), ("original", "own"), ("whole", "none")]
)
@pytest.mark.parametrize("made", MODELS)
def test_the_card_says_who_cuts_long_audio(made, chunking, on_card):
    assert made(chunking=chunking).card.chunking == on_card
    assert made.card.chunking == "harness"


@pytest.mark.parametrize("made", MODELS)
def test_another_chunking_is_refused(made):
    with pytest.raises(SettingError, match=r"chunking=.own. is not possible\. Give harness"):
        made(chunking="own")


def test_a_text_and_the_label_of_the_same_words_are_one_condition(model):
    text, label = model.condition([Query(text="a dog"), Query(label="a_dog")])

    assert text.shape == (512,)
    assert text.norm().item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(text, label)


def test_conditions_come_in_the_order_of_the_queries(model):
    queries = [Query(text="a dog"), heard(sound(1)), Query(text="rain")]

    together = model.condition(queries)
    alone = [model.condition([query])[0] for query in queries]

    torch.testing.assert_close(torch.stack(together), torch.stack(alone), atol=1e-6, rtol=0)


def test_several_examples_are_the_direction_of_their_mean(model):
    first, second, both = model.condition(
        [heard(sound(1)), heard(sound(2)), heard(sound(1), sound(2))]
    )

    mean = (first + second) / 2
    torch.testing.assert_close(both, mean / mean.norm(), atol=1e-6, rtol=0)


def test_a_text_with_examples_is_the_direction_of_the_mean_of_both(model):
    sounds = heard(sound(1), sound(2))
    text, audio, both = model.condition(
        [Query(text="a dog"), sounds, replace(sounds, text="a dog")]
    )

    mean = (text + audio) / 2
    torch.testing.assert_close(both, mean / mean.norm(), atol=1e-6, rtol=0)


def test_a_label_beside_examples_does_not_count(model):
    sounds = heard(sound(1))

    plain, labelled = model.condition([sounds, replace(sounds, label="dog")])

    assert torch.equal(plain, labelled)


@pytest.fixture
def hearing(tmp_path):
    """The CLIP model with a filled Wav2CLIP, and texts whose directions are known."""

    class Axes:
        def encode_text(self, texts):
            return torch.eye(512)[: len(texts)]

    layout = GOLDEN.parent / "encoders" / "wav2clip" / "state_dict.json"
    torch.save(fill_state_dict(layout, 1), tmp_path / "Wav2CLIP.pt")
    made = AudioSepClip(wav2clip_checkpoint=str(tmp_path / "Wav2CLIP.pt"))
    made.text_encoder = Axes()
    return made


def test_the_clip_model_hears_examples_with_wav2clip(hearing):
    clips = [sound(1), sound(2)]

    first, second, both = hearing.condition([heard(clips[0]), heard(clips[1]), heard(*clips)])

    at_16_khz = [resample(clip[0], 32_000, 16_000) for clip in clips]
    expected = torch.nn.functional.normalize(hearing.audio_encoder.encode_audio(at_16_khz), dim=1)
    mean = expected.mean(0)
    torch.testing.assert_close(torch.stack([first, second]), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(both, mean / mean.norm(), atol=1e-6, rtol=0)


def test_the_clip_model_takes_a_text_with_examples(hearing):
    sounds = heard(sound(1))

    audio, both = hearing.condition([sounds, replace(sounds, text="a dog")])

    mean = torch.eye(512)[0] + audio
    torch.testing.assert_close(both, mean / mean.norm(), atol=1e-6, rtol=0)


def test_the_clip_model_without_wav2clip_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path))

    with pytest.raises(MissingWeightsError, match=r"wav2clip .*is not installed"):
        AudioSepClip().condition([heard(sound(1))])


def test_a_stereo_mixture_is_separated_by_channel(model):
    left, right = sound(1, 8000), sound(2, 8000)
    condition = model.condition([Query(text="a dog")])[0][None]

    stereo = model.separate(torch.stack([left, right], dim=1), condition)

    torch.testing.assert_close(stereo[:, 1], model.separate(right[None], condition)[:, 0])
    assert stereo.shape == (1, 2, 8000)


def test_a_lone_separator_takes_its_clap_from_another_file(files, model):
    lone = AudioSepClap(
        checkpoint=files["bare"], clap_checkpoint=files["whole"], tokenizer=files["tokenizer"]
    )
    lone.load("cpu")
    query = Query(text="a dog")

    assert torch.equal(lone.condition([query])[0], model.condition([query])[0])


def test_a_lone_separator_without_a_clap_is_refused(files):
    with pytest.raises(CheckpointError, match=r"models.audiosep-clap.clap_checkpoint=FILE"):
        AudioSepClap(checkpoint=files["bare"]).load("cpu")


def test_the_clip_model_refuses_a_checkpoint_trained_with_clap(files):
    with pytest.raises(CheckpointError, match="Use audiosep-clap for it"):
        AudioSepClip(checkpoint=files["whole"]).load("cpu")


@pytest.mark.parametrize("made", MODELS)
def test_weights_that_are_not_there_are_named(made, monkeypatch, tmp_path):
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path))

    with pytest.raises(MissingWeightsError, match=f"{made.card.name} .*is not installed"):
        made().load("cpu")


def test_nothing_is_separated_before_loading():
    with pytest.raises(BaselineLoadError, match="audiosep-clap is not loaded"):
        AudioSepClap().separate(torch.zeros(1, 1, 2000), torch.zeros(1, 512))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (Query(), "needs words or examples, and a query has none"),
        (Query(text=" "), "needs words or examples, and a query has none"),
        (heard(torch.zeros(1, 0)), "query example clip-0 is empty"),
        (heard(torch.full((1, 9), torch.nan)), "query example clip-0 holds NaN"),
        (Query(examples=(Example(clip_id="x"),)), "query example x is not loaded"),
        (
            Query(examples=(Example(clip_id="x", waveform=torch.ones(1, 9), sample_rate=8000),)),
            "query example x is at 8000 Hz; resample it to 32000 Hz",
        ),
    ],
)
def test_a_query_that_says_nothing_is_refused(model, query, words):
    with pytest.raises(QueryError, match=words):
        model.condition([query])
